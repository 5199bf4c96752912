"""TorchServe's way into `benchmarks.naive`: no batching; header X-Weakseg-Refine as weakseg's own handler reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import torch

from benchmarks.naive import Recipe, load_gradcam, naive_mask


class NaiveHandler:
    """One worker's network. Section ``naive`` of model-config.yaml holds the recipe and the number of threads."""

    def initialize(self, context: Any) -> None:
        settings = dict(context.model_yaml_config["naive"])
        threads = settings.pop("threads")
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
        self._recipe = Recipe(**settings)
        self._gradcam = load_gradcam()

    def handle(self, rows: Sequence[Mapping[str, Any]], context: Any) -> list[bytes]:
        return [self._answer(row, index, context) for index, row in enumerate(rows)]

    def _answer(self, row: Mapping[str, Any], index: int, context: Any) -> bytes:
        refine = context.get_request_header(index, "X-Weakseg-Refine") != "none"
        context.set_response_content_type(index, "image/png")
        return naive_mask(bytes(row["body"]), self._gradcam, self._recipe, refine=refine)
