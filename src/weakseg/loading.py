"""A model archive to a pipeline that is ready to answer, for whatever calls it without a server's context."""

from __future__ import annotations

from pathlib import Path

import torch

from weakseg.archive import open_archive
from weakseg.pipeline import Pipeline
from weakseg.runtime import open_runtime
from weakseg.threads import limit_threads


def open_pipeline(archive: Path) -> Pipeline:
    """Loaded and warmed up, on the first GPU where there is one; this process has the card's threads from then on."""
    opened = open_archive(archive)
    limit_threads(opened.card.threads)
    gpu = 0 if torch.cuda.is_available() else None
    pipeline = Pipeline(opened.card, open_runtime(opened.card, opened.read_file, gpu=gpu))
    pipeline.warm_up()
    return pipeline
