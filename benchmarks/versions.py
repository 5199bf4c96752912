"""``python -m benchmarks.versions``: each stage of a request, in another checkout and in this one, taking turns."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from benchmarks.machine import describe_machine
from benchmarks.photo import benchmark_photo
from benchmarks.report import Report, Row, Table, progress_bar, publish
from benchmarks.stages import ROOT, bind_to_one_core

Before = Annotated[Path, typer.Option(help="The other checkout: `git worktree add FOLDER COMMIT`.")]
Model = Annotated[list[str], typer.Option(help="Archive, by name or path; several make a table each.")]
Store = Annotated[Path, typer.Option(help="Folder of the archives, which both checkouts can read.")]
Large = Annotated[bool, typer.Option(help="For the first model also a photo of 4000 x 3000.")]
Repeats = Annotated[int, typer.Option(min=1, help="Measurements per case and checkout, after a warm-up.")]
Cpu = Annotated[int | None, typer.Option(help="Core to run on.", show_default="the last one allowed")]
Out = Annotated[Path | None, typer.Option(help="Write FILE.md and FILE.json.", show_default="print only")]

CHILD = Path(__file__).with_name("version_child.py")
LARGE_WH = (4000, 3000)
STAGES = ("decode", "forward", "refine", "encode", "total")  # `refine` with `maps`: see `version_child`
REQUESTS: tuple[Mapping[str, str], ...] = (
    {"refine": "none"},
    {"refine": "gaussian"},
    {"refine": "crf"},
    {"refine": "gaussian+crf"},
    {"refine": "grabcut"},
    {"refine": "crf+grabcut"},
    *({"refine": "crf", "format": name} for name in ("json", "cutout", "overlay", "heatmap", "npz")),
)
NOTE = (
    "Medians of processor time, ms, before > after, from the answers' own timings; both checkouts took turns on one "
    "core. `decode` includes resizing for the network; `total` is from the request's bytes to the answer's bytes."
)


def main(
    before: Before,
    model: Model = ["weakseg"],  # noqa: B006  (typer copies it)
    store: Store = ROOT / "model_store",
    large: Large = True,
    repeats: Repeats = 9,
    cpu: Cpu = None,
    out: Out = None,
) -> None:
    """Time every stage of a request for every refinement and format, before and after: no server, no HTTP."""
    bind_to_one_core(cpu)
    from weakseg.archive import find_archive

    machine = describe_machine()
    tables = []
    with tempfile.TemporaryDirectory() as folder, progress_bar() as progress:
        for name in model:
            photos = write_photos(Path(folder), large=large and name == model[0])
            cases = list(product(range(len(photos)), REQUESTS))
            bar = progress.add_task(name, total=len(cases) * (repeats + 1))
            rounds = measure(before, find_archive(name, store), list(photos.values()), cases, repeats)
            measured = []
            for done in rounds:
                measured.append(done)
                progress.advance(bar)
            tables.append(Table(name, _rows(list(photos), cases, measured), NOTE))
    setup = {"before": _commit(before), "after": _commit(ROOT), "repeats": str(repeats)}
    publish(Report("Stages of a request, before and after", machine, setup, tables), out)


def write_photos(folder: Path, *, large: bool) -> dict[str, Path]:
    """The benchmark's photo, and the same enlarged, by size."""
    from PIL import Image

    small = folder / "small.jpg"
    small.write_bytes(benchmark_photo())
    photos = {"500 x 375": small}
    if large:
        photos["4000 x 3000"] = folder / "large.jpg"
        picture = Image.open(io.BytesIO(small.read_bytes())).resize(LARGE_WH, Image.Resampling.LANCZOS)
        picture.save(photos["4000 x 3000"], quality=90)
    return photos


@dataclass(frozen=True)
class Side:
    """A process that runs one checkout."""

    process: subprocess.Popen[str]

    def ask(self, photo: int, options: Mapping[str, str]) -> dict[str, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([photo, options]), file=self.process.stdin, flush=True)
        return dict(json.loads(self.process.stdout.readline()))


@contextmanager
def start(checkout: Path, archive: Path, photos: Sequence[Path]) -> Iterator[Side]:
    """A checkout's side, on the core of this process; it ends with the block."""
    command = [sys.executable, str(CHILD), str(archive.resolve()), *map(str, photos)]
    environment = os.environ | {"PYTHONPATH": f"{checkout.resolve() / 'src'}"}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=checkout
    ) as process:
        yield Side(process)
        assert process.stdin is not None
        process.stdin.close()


Case = tuple[int, Mapping[str, str]]
Timings = dict[str, float]


def measure(
    before: Path, archive: Path, photos: Sequence[Path], cases: Sequence[Case], repeats: int
) -> Iterator[tuple[int, Timings, Timings]]:
    """Every case once per round, on both sides one after the other: its number, and the stages before and after.

    The first round only warms up, and is not given out but as empty timings.
    """
    with ExitStack() as stack:
        sides = [stack.enter_context(start(checkout, archive, photos)) for checkout in (before, ROOT)]
        for turn in range(repeats + 1):
            for number, (photo, options) in enumerate(cases):
                old, new = (side.ask(photo, options) for side in sides)
                yield (number, old, new) if turn else (number, {}, {})


def _rows(sizes: Sequence[str], cases: Sequence[Case], measured: Sequence[tuple[int, Timings, Timings]]) -> list[Row]:
    rows: list[Row] = []
    for number, (photo, options) in enumerate(cases):
        pairs = [(old, new) for case, old, new in measured if case == number and old]
        medians = {
            stage: [median(times[stage] for times in side) for side in zip(*pairs, strict=True)] for stage in STAGES
        }
        request = ", ".join([options["refine"], *([options["format"]] if "format" in options else [])])
        row = {"photo": sizes[photo], "request": request}
        stages = {stage: " > ".join(map(_shown, both)) for stage, both in medians.items()}
        ratio = median(old["total"] / new["total"] for old, new in pairs)
        rows.append({**row, **stages, "times as quick": ratio})
    return rows


def _shown(time_ms: float) -> str:
    return f"{time_ms:.0f}" if time_ms >= 100 else f"{time_ms:.1f}"


def _commit(checkout: Path) -> str:
    told = subprocess.run(["git", "describe", "--always"], cwd=checkout, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "no git checkout"


if __name__ == "__main__":
    typer.run(main)
