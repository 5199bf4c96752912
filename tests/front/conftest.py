"""A front before a fake TorchServe with one model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.fake_torchserve import FakeTorchServe
from tests.helpers.front import Front, running_front


@pytest.fixture
def torchserve() -> Iterator[FakeTorchServe]:
    with FakeTorchServe() as fake:
        fake.add_model("weakseg")
        yield fake


@pytest.fixture
def front(torchserve: FakeTorchServe, tmp_path: Path) -> Iterator[Front]:
    with running_front(torchserve, tmp_path) as running:
        yield running
