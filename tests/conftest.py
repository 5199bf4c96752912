"""What several kinds of tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from export.default_models import build_default_model
from scripts import prometheus
from tests.helpers.tiny import build_tiny_archive
from weakseg.errors import WeightsUnavailableError
from weakseg.models.classifier import load_classifier

SHARED = Path(os.environ.get("WEAKSEG_DATA", "../shared")).resolve()


def pytest_configure() -> None:
    """Pretrained weights that lie beside the real photos are used, unless TORCH_HOME says where others are."""
    if (SHARED / "weights" / "hub").is_dir():
        os.environ.setdefault("TORCH_HOME", str(SHARED / "weights"))


def pytest_report_header() -> str:
    photos = SHARED / "data" if (SHARED / "data").is_dir() else "none (WEAKSEG_DATA)"
    return f"real photos: {photos}; TORCH_HOME: {os.environ.get('TORCH_HOME', 'not set')}"


@pytest.fixture(scope="session")
def voc_folder() -> Path:
    """The folder that holds VOCdevkit; skips where it is absent."""
    if not (SHARED / "data" / "VOCdevkit").is_dir():
        pytest.skip(f"no VOC photos in {SHARED / 'data'}; set WEAKSEG_DATA")
    return SHARED / "data"


@pytest.fixture(scope="session")
def default_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``weakseg.mar`` from the ImageNet weights; skips where they cannot be had."""
    try:
        classifier = load_classifier("squeezenet1_1")
    except WeightsUnavailableError as error:
        pytest.skip(str(error))
    return build_default_model(classifier, tmp_path_factory.mktemp("default")).path


@pytest.fixture(scope="session")
def tiny_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``tiny_cam.mar``, a real archive of a network with random weights. Copy it, do not change it."""
    return build_tiny_archive(tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Prometheus' own checker; tests that ask for it are marked ``prometheus``."""
    try:
        return prometheus.get("promtool")
    except prometheus.ToolError as error:
        pytest.skip(str(error))
