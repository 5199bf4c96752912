"""What several kinds of tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.tiny import build_tiny_archive


@pytest.fixture(scope="session")
def tiny_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``tiny_cam.mar``, a real archive of a network with random weights. Copy it, do not change it."""
    return build_tiny_archive(tmp_path_factory.mktemp("archives"))
