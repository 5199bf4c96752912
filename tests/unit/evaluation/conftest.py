from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.colour_archive import write_colour_archive
from tests.helpers.tiny_voc import write_voc
from weakseg.evaluation.run import Order


@dataclass(frozen=True)
class Bench:
    """A drawn data set, a model whose masks are known by hand, and a place for results."""

    order: Order
    said: list[str]

    @property
    def out(self) -> Path:
        return self.order.out


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.chdir(tmp_path)
    write_colour_archive(Path("store/colours.mar"))
    voc = write_voc(Path("data"))
    return Bench(Order(voc=voc, split="val", model="colours", store=Path("store"), out=Path("out"), jobs=1), [])
