"""Thousands of photos take no more memory than hundreds. ``python -m tests.load.batch_memory`` does ten thousand."""

from pathlib import Path

import psutil
import pytest

from tests.helpers.fake_service import FakeService
from tests.helpers.many_photos import Watching, draw_photos
from weakseg.batch.endpoint import Address
from weakseg.batch.patience import Patience
from weakseg.batch.run import Order, run

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

COUNT = 2500
LIMIT = 6e6  # bytes between the first and the end; 4 kB more for each photo would pass it


def test_thousands_of_photos(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos", COUNT)
    resident: dict[int, int] = {}

    def look(met: int) -> None:
        if met % 100 == 0:
            resident[met] = psutil.Process().memory_info().rss

    with FakeService(keeps=False).running() as service:
        address = Address(service.url, "weakseg")
        order = Order(str(photos), tmp_path / "out", "weakseg", address=address, patience=Patience(), concurrency=8)
        summary = run(order, Watching(look))
    assert (summary["done"], summary["failed"]) == (COUNT, 0)
    assert len(resident) == COUNT / 100
    assert max(resident.values()) - resident[1000] < LIMIT, resident
