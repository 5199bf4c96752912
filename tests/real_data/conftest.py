"""The default model, opened."""

from pathlib import Path

import pytest

from weakseg.archive import open_archive
from weakseg.pipeline import Pipeline
from weakseg.runtime import open_runtime


@pytest.fixture(scope="session")
def default_pipeline(default_archive: Path) -> Pipeline:
    archive = open_archive(default_archive)
    return Pipeline(archive.card, open_runtime(archive.card, archive.read_file))
