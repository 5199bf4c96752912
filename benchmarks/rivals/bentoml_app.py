"""The pipeline in BentoML: photos as base64 in JSON, the same answers as base64.

An API that batches takes and gives lists, and BentoML's HTTP answers hold no list of files.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from pathlib import Path

import bentoml

from weakseg.loading import open_pipeline
from weakseg.types import RawRequest

_setting = os.environ.__getitem__  # BentoML imports this module in each of its processes: no arguments reach it


@bentoml.service(workers=int(_setting("RIVAL_WORKERS")), traffic={"timeout": 120, "max_concurrency": 1000})
class Segmenter:
    """One worker's pipeline; BentoML makes lists of up to ``max_batch_size``; it finds out itself how long to wait."""

    def __init__(self) -> None:
        self._pipeline = open_pipeline(Path(_setting("RIVAL_ARCHIVE")))

    @bentoml.api(batchable=True, max_batch_size=int(_setting("RIVAL_BATCH")))
    def predict(self, images: list[str]) -> list[str]:
        requests = [RawRequest(b64decode(image), {"format": "mask"}) for image in images]
        return [b64encode(answer.body).decode() for answer in self._pipeline.answer(requests)]
