"""``python -m benchmarks.grabcut_engines``: the coarse-to-fine GrabCut against OpenCV's, on real photos."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks.machine import describe_machine
from benchmarks.report import Report, Row, Table, progress_bar, publish
from benchmarks.samples import percentile
from benchmarks.stages import bind_to_one_core

if TYPE_CHECKING:
    from benchmarks.grabcut_problems import CutProblem

ITERATIONS = (1, 5)
SIDES = ("500", "2000")  # long sides, pixels
NOISE_SIDE = "500"

AGREEMENT_NOTE = (
    "`IoU with OpenCV`: of both engines' masks, from the same seeds, both at full size. `against truth`: mean IoU in "
    "percent with the photo's mask, and what `fast` adds to OpenCV's. `map`: seeds from the model's map by the card's "
    "levels; `box`: background outside, perhaps object inside. `skimage`: boxes drawn by hand, no truth. Aims: 0.97 in "
    "the mean, and no more than 0.3 points lost."
)
SPEED_NOTE = (
    "One thread on one core; the engines took turns, photo by photo. Medians over photos; the ratio is the median of "
    "the ratios of the same photo. Aims: 4 times at 500 x 375, 10 times at 2000 x 1500."
)
NOISE_NOTE = (
    "How far OpenCV is from itself when its random generator starts elsewhere (cv2.setRNGSeed(1) for 0): its first "
    "clusters are drawn at random. `fast` draws the same random numbers as OpenCV does from 0."
)


@dataclass
class Tally:
    """What came of one kind of seeds, at one size and number of iterations."""

    overlaps: list[float] = field(default_factory=list)
    scores: list[tuple[float, float]] = field(default_factory=list)  # OpenCV, fast
    times_ms: list[tuple[float, float]] = field(default_factory=list)  # OpenCV, fast
    noise: list[float] = field(default_factory=list)

    def agreement(self) -> Row:
        scored = [statistics.fmean(each) for each in zip(*self.scores, strict=True)] or [None, None]
        opencv, fast = scored
        return {
            "cuts": len(self.overlaps),
            "IoU with OpenCV": f"{statistics.fmean(self.overlaps):.4f}",
            "5th percentile": f"{percentile(self.overlaps, 5):.3f}",
            "worst": f"{min(self.overlaps):.3f}",
            "OpenCV against truth": "-" if opencv is None else f"{100 * opencv:.2f}",
            "fast against truth": "-" if fast is None else f"{100 * fast:.2f}",
            "difference": "-" if opencv is None or fast is None else f"{100 * (fast - opencv):+.2f}",
        }

    def speed(self) -> Row:
        opencv, fast = (statistics.median(each) for each in zip(*self.times_ms, strict=True))
        ratio = statistics.median(slow / quick for slow, quick in self.times_ms)
        return {"cuts": len(self.times_ms), "OpenCV ms": opencv, "fast ms": fast, "OpenCV / fast": ratio}

    def noise_row(self) -> Row:
        return {
            "cuts": len(self.noise),
            "IoU of OpenCV with itself": f"{statistics.fmean(self.noise):.4f}",
            "5th percentile": f"{percentile(self.noise, 5):.3f}",
            "worst": f"{min(self.noise):.3f}",
        }


Tallies = dict[tuple[str, str, int], Tally]  # by long side, kind of seeds, iterations


def main(
    model: Annotated[Path, typer.Option(help="Archive whose maps are the seeds.")] = Path("model_store/weakseg.mar"),
    voc: Annotated[Path, typer.Option(help="Holds VOCdevkit/VOC2012, or is that folder.")] = Path("../shared/data"),
    split: Annotated[str, typer.Option(help="Of that folder; val has photos of their original size.")] = "val",
    photos: Annotated[int, typer.Option(min=1, help="At a long side of 500, evenly spread over the split.")] = 40,
    large: Annotated[int, typer.Option(min=0, help="Enlarged to 2000; each takes OpenCV a minute.")] = 5,
    skimage: Annotated[bool, typer.Option(help="Cut scikit-image's photos too, at both sizes.")] = True,
    cpu: Annotated[int | None, typer.Option(help="Core to run on.", show_default="the last one allowed")] = None,
    out: Annotated[Path | None, typer.Option(help="Write FILE.md and FILE.json.", show_default="print only")] = None,
) -> None:
    """Time both GrabCut engines on one core, and compare their masks with each other and with the truth.

    Photos of the VOC folder, with seeds from the model's maps and from boxes, 1 and 5 iterations. About two seconds a
    photo at a long side of 500, most of it OpenCV's, and a minute at 2000.
    """
    bind_to_one_core(cpu)
    # Only now: libraries size their thread pools when they are loaded.
    from benchmarks.grabcut_problems import read_problems, sample_problems
    from benchmarks.stage_times import use_one_thread
    from weakseg.archive import open_archive
    from weakseg.evaluation.voc import read_split
    from weakseg.pipeline import Pipeline
    from weakseg.refine.compiled import native
    from weakseg.refine.grabcut import BAND, COARSE_PX
    from weakseg.runtime import open_runtime

    if native is None:
        raise typer.BadParameter("the compiled part is not built: pip install -e . with a C++ compiler")
    use_one_thread()
    machine = describe_machine()
    archive = open_archive(model)
    pipeline = Pipeline(archive.card, open_runtime(archive.card, archive.read_file))
    samples = read_split(voc, split)
    tallies: Tallies = {}
    for side, count in zip(SIDES, (photos, large), strict=True):
        chosen = samples[:: max(len(samples) // count, 1)][:count] if count else []
        with progress_bar() as progress:
            shown = progress.track(chosen, description=f"long side {side}")
            measure(read_problems(pipeline, shown, int(side)), side, tallies)
        if skimage and count:
            measure(sample_problems(int(side)), side, tallies)
    setup = {
        "photos": f"{photos} of {split} at 500, {large} at 2000 pixels",
        "model": f"{archive.card.name} {archive.card.version}",
        "fast": f"whole up to {COARSE_PX:,} undecided pixels, else on every 2nd, 4th ... first; band {BAND}",
    }
    tables = [
        Table("Speed", list_rows(tallies, Tally.speed), SPEED_NOTE),
        Table("Agreement", list_rows(tallies, Tally.agreement), AGREEMENT_NOTE),
        Table("OpenCV's own noise", list_rows(tallies, Tally.noise_row, [NOISE_SIDE]), NOISE_NOTE),
    ]
    publish(Report("GrabCut engines", machine, setup, tables), out)


def measure(problems: Iterator[CutProblem], side: str, tallies: Tallies) -> None:
    from benchmarks.grabcut_problems import cut_otherwise, overlap
    from weakseg.options import GrabCutEngine
    from weakseg.refine.grabcut import cut

    for problem in problems:
        for iterations in ITERATIONS:
            kind = problem.kind if problem.truth is not None else "skimage"
            tally = tallies.setdefault((side, kind, iterations), Tally())
            masks, times_ms = [], []
            for engine in (GrabCutEngine.OPENCV, GrabCutEngine.FAST):
                started = time.perf_counter()
                masks.append(cut(problem.rgb, problem.seeds, iterations=iterations, engine=engine))
                times_ms.append((time.perf_counter() - started) * 1000)
            tally.times_ms.append((times_ms[0], times_ms[1]))
            tally.overlaps.append(overlap(masks[0], masks[1]))
            opencv, fast = map(problem.score, masks)
            if opencv is not None and fast is not None:
                tally.scores.append((opencv, fast))
            if side == NOISE_SIDE:
                tally.noise.append(overlap(masks[0], cut_otherwise(problem, iterations)))


def list_rows(tallies: Tallies, make_row: Callable[[Tally], Row], sides: Sequence[str] = SIDES) -> list[Row]:
    """One row per size, kind of seeds and number of iterations."""
    return [
        {"long side": side, "seeds": kind, "iterations": iterations, **make_row(tally)}
        for (side, kind, iterations), tally in tallies.items()
        if side in sides
    ]


if __name__ == "__main__":
    typer.run(main)
