"""TorchServe's way into `benchmarks.naive`: one photo at a time, no options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import torch

from benchmarks.naive import load_saliency, naive_answer
from benchmarks.recipe import Recipe


class NaiveHandler:
    """One worker's network. Section ``naive`` of model-config.yaml holds the recipe and the number of threads."""

    def initialize(self, context: Any) -> None:
        settings = dict(context.model_yaml_config["naive"])
        threads = settings.pop("threads")
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
        self._recipe = Recipe(**settings)
        self._saliency = load_saliency()

    def handle(self, rows: Sequence[Mapping[str, Any]], context: Any) -> list[bytes]:
        return [self._answer(row, index, context) for index, row in enumerate(rows)]

    def _answer(self, row: Mapping[str, Any], index: int, context: Any) -> bytes:
        context.set_response_content_type(index, "application/json")
        return naive_answer(bytes(row["body"]), self._saliency, self._recipe)
