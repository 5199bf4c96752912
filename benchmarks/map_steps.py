"""``python -m benchmarks.map_steps``: what each step of the default model's maps brings, one after the other."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from benchmarks.machine import describe_machine
from benchmarks.report import Report, Row, Table, console, progress_bar, publish
from export.build import build_archive
from weakseg.archive import open_archive
from weakseg.attribution.cam import CamSettings
from weakseg.card import Settings
from weakseg.evaluation.counting import VOC_VALUES
from weakseg.evaluation.metrics import count_pixels, score
from weakseg.evaluation.run import choose_classes
from weakseg.evaluation.voc import Sample, read_split
from weakseg.models.classifier import Classifier, load_classifier
from weakseg.options import Levels, Refine, parse_options
from weakseg.pipeline import Pipeline
from weakseg.runtime import open_runtime
from weakseg.voc import VOID, voc_groups

THRESHOLDS = np.round(np.arange(0.05, 0.96, 0.02), 2)
PLAIN, SHARP = (0.0, 0.3, 1.0), (0.15, 0.4, 0.8)  # PF PB at the paper's t, and the default model's levels

NOTE = (
    "mIoU in percent over the classes that have boxes; class task, known tags. `map`: the thresholded map, its t "
    "chosen on the first split and used on the second. `network ms`: one forward pass, one thread, median over the "
    "second split. GrabCut's levels belong to the row."
)


@dataclass(frozen=True)
class Step:
    """One row: what is new, how maps are made then, and with which levels GrabCut runs (None: it does not)."""

    title: str
    maps: CamSettings
    hw: tuple[int, int] = (224, 224)
    levels: Levels | None = None


def ladder() -> list[Step]:
    """From the paper's map to the default model's; each row keeps what the rows before brought."""
    steps = [Step("plain CAM, 224 px, mean over members; GrabCut PF PB t = 0.3", CamSettings(), levels=PLAIN)]
    changes: list[tuple[str, dict[str, Any]]] = [
        ("+ members weighted by softmax, T = 2", {"member_weighting": "softmax", "temperature": 2.0}),
        ("+ positive weights only", {"positive_weights": True}),
        ("+ views of 448 and 224 px", {"scales": (1.0, 0.5)}),
        ("+ contrast 0.9 to the mean class", {"contrast": 0.9}),
        ("+ similarity averaging: the default model; GrabCut four levels", {"similarity": True}),
        ("(+ mirrored views: not adopted)", {"flip": True}),
    ]
    for title, change in changes:
        last = steps[-1]
        hw = (448, 448) if "scales" in change else last.hw
        levels = SHARP if "similarity" in change else None
        steps.append(Step(title, dataclasses.replace(last.maps, **change), hw, levels))
    return steps


@dataclass
class Tally:
    """Counts of one step on one split."""

    over: tuple[str, ...]
    maps: NDArray[np.int64] = field(init=False)  # (thresholds, classes, 4)
    cuts: NDArray[np.int64] = field(init=False)  # (classes, 4)
    network_ms: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.maps = np.zeros((len(THRESHOLDS), len(self.over), 4), np.int64)
        self.cuts = np.zeros((len(self.over), 4), np.int64)

    def best(self) -> int:
        """Index of the threshold with the highest mIoU."""
        return int(np.argmax([score(counts, self.over).miou or 0 for counts in self.maps]))


def main(
    voc: Annotated[Path, typer.Option(help="Holds VOCdevkit/VOC2012, or is that folder.")] = Path("../shared/data"),
    choose_on: Annotated[str, typer.Option(help="Split on which t is chosen.")] = "train_official",
    report_on: Annotated[str, typer.Option(help="Split that is reported with that t.")] = "val",
    every: Annotated[int, typer.Option(min=1, help="Use each n-th photo: quicker, and noisier.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Write FILE.md and FILE.json.")] = None,
) -> None:
    """Build the default model's maps step by step, and measure each on two splits of a VOC-layout folder.

    About 20 minutes on one core for all photos; needs SqueezeNet's ImageNet weights.
    """
    torch.set_num_threads(1)
    splits = [read_split(voc, split)[::every] for split in (choose_on, report_on)]
    over = choose_classes(None, splits[0])
    classifier = load_classifier("squeezenet1_1")
    steps = ladder()
    rows: list[Row] = []
    with progress_bar() as progress, tempfile.TemporaryDirectory() as folder:
        bar = progress.add_task("photos", total=len(steps) * sum(map(len, splits)))
        for step in steps:
            pipeline = open_step(step, classifier, Path(folder))
            tallies: list[Tally] = []
            for samples in splits:
                tallies.append(measure(pipeline, step, samples, over))
                progress.advance(bar, len(samples))
            rows.append(make_row(step, tallies, (choose_on, report_on)))
            console.print(rows[-1], markup=False)
    setup = {"photos": f"{len(splits[0])} of {choose_on}, {len(splits[1])} of {report_on}"}
    publish(Report("Maps, step by step", describe_machine(), setup, [Table("Ladder", rows, NOTE)]), out)


def open_step(step: Step, classifier: Classifier, folder: Path) -> Pipeline:
    """Export a step's graph and open it as the service does."""
    fields = {"refine_side": 320}
    built = build_archive(
        classifier,
        name="step",
        directory=folder,
        groups=voc_groups(),
        settings=step.maps,
        hw=step.hw,
        card_fields=fields,
    )
    archive = open_archive(built.path)
    return Pipeline(archive.card, open_runtime(archive.card, archive.read_file))


def measure(pipeline: Pipeline, step: Step, samples: Sequence[Sample], over: tuple[str, ...]) -> Tally:
    """Known tags: one forward pass per photo and class, refined at every threshold, and by GrabCut if the step says."""
    tally = Tally(over)
    for sample in samples:
        rgb, truth = sample.read(pipeline.limits)
        valid = truth != VOID
        for index, name in enumerate(over):
            if not (truth == VOC_VALUES[name]).any():
                continue
            plan = pipeline.plan(rgb, parse_options({"classes": name}))
            started = time.perf_counter()
            (output,) = pipeline.forward([plan])
            tally.network_ms.append((time.perf_counter() - started) * 1000)
            for settings, counts in _variants(step, tally, index):
                found = pipeline.finish(dataclasses.replace(plan, settings=settings), output)
                counts += count_pixels(truth == VOC_VALUES[name], found.label_map == 1, valid)
    return tally


def _variants(step: Step, tally: Tally, index: int) -> Iterator[tuple[Settings, NDArray[np.int64]]]:
    """Every way in which a step's maps are refined, and the (4,) counts that it adds to."""
    for number, threshold in enumerate(THRESHOLDS):
        yield _settings(Refine.NONE, None, float(threshold)), tally.maps[number, index]
    if step.levels is not None:
        yield _settings(Refine.GRABCUT, step.levels, None), tally.cuts[index]


def _settings(refine: Refine, levels: Levels | None, threshold: float | None) -> Settings:
    iterations = None if levels is None else 1
    return Settings(refine=refine, grabcut_mode=levels, levels=levels, iterations=iterations, threshold=threshold)


def make_row(step: Step, tallies: Sequence[Tally], splits: tuple[str, str]) -> Row:
    best = tallies[0].best()
    row: dict[str, Any] = {"step": step.title, "t": float(THRESHOLDS[best])}
    for tally, split in zip(tallies, splits, strict=True):
        row[f"{split} map"] = round(100 * (score(tally.maps[best], tally.over).miou or 0), 1)
        cut = score(tally.cuts, tally.over).miou
        row[f"{split} + GrabCut"] = "–" if cut is None else round(100 * cut, 1)
    row["network ms"] = round(float(np.median(tallies[1].network_ms)), 1)
    return row


if __name__ == "__main__":
    typer.run(main)
