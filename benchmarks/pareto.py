"""``python -m benchmarks.pareto``: for every model x refinement, quality against milliseconds on one core."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmarks.machine import describe_machine
from benchmarks.report import Report, Row, Table, console, progress_bar, publish
from benchmarks.stages import ROOT, bind_to_one_core

if TYPE_CHECKING:
    from benchmarks.pareto_plot import Point
    from benchmarks.pareto_run import Curve

Model = Annotated[list[str], typer.Option(help="Archive, by name or path; several are drawn into one plot.")]
Store = Annotated[Path, typer.Option(help="Folder of the archives.")]
Voc = Annotated[Path, typer.Option(help="Holds VOCdevkit/VOC2012, or is that folder.")]
Split = Annotated[str, typer.Option(help="Photos to report on.")]
Every = Annotated[int, typer.Option(min=1, help="Use each n-th photo: quicker, and noisier.")]
TuneOn = Annotated[
    str | None,
    typer.Option(help="Photos on which the threshold of each refinement is chosen.", show_default="the cards are"),
]
Sides = Annotated[
    list[int] | None, typer.Option("--side", min=32, help="Long sides to compare.", show_default="the card's")
]
Refines = Annotated[
    list[str] | None, typer.Option("--refine", help="Refinements to compare.", show_default="all that differ in kind")
]
Engines = Annotated[list[str] | None, typer.Option("--engine", help="CRF engines to compare.", show_default="all")]
Cpu = Annotated[int | None, typer.Option(help="Core to run on.", show_default="the last one allowed")]
Records = Annotated[Path, typer.Option(help="Folder of the records from which a stopped run goes on.")]
Out = Annotated[Path | None, typer.Option(help="Write FILE.md, FILE.json and FILE.png.", show_default="print only")]

HELD_OUT = ("val", "test")
NOTE = (
    "mIoU in percent over the classes that have boxes; class task, known tags, one request per class. Times are "
    "medians of processor time on one core; `total` is decode + forward + refine + encode. Numbers in a name are long "
    "sides, pixels. `front`: no other point is both quicker and better, in the whole request."
)


def main(
    voc: Voc = Path("../shared/data"),
    model: Model = ["weakseg"],  # noqa: B006  (typer copies it)
    store: Store = ROOT / "model_store",
    split: Split = "val",
    every: Every = 1,
    tune_on: TuneOn = None,
    tune_every: Every = 4,
    sides: Sides = None,
    refines: Refines = None,
    engines: Engines = None,
    cpu: Cpu = None,
    records: Records = Path("out/pareto"),
    out: Out = None,
) -> None:
    """Draw the curve of quality against time, and list its points.

    The network runs once per photo and class; every refinement, engine and size is tried on its maps. Thresholds are
    the card's, or are swept on another split (--tune-on), with the default engines, which the other engines share.
    A run that was stopped goes on where it was: type the same command again.
    """
    if tune_on in HELD_OUT:
        raise typer.BadParameter(f"--tune-on {tune_on}: what is chosen on it makes every result on it worthless.")
    bind_to_one_core(cpu)
    # Only now: libraries size their thread pools when they are loaded.
    from benchmarks.pareto_plot import draw_pareto
    from benchmarks.pareto_run import Measurement, Order, number_points
    from weakseg.archive import find_archive
    from weakseg.options import CrfEngineName, Refine

    machine = describe_machine()
    order = Order(
        voc,
        split,
        every,
        tune_on,
        tune_every,
        tuple(sides or ()),
        tuple(Refine(name) for name in refines or ()),
        tuple(CrfEngineName(name) for name in engines or ()),
        records,
    )
    with progress_bar() as progress:
        curves = [Measurement(order, find_archive(name, store), progress).run() for name in model]
    photos = f"{curves[0].photos} photos of {split}"
    setup = {
        "photos": photos,
        "thresholds": f"each refinement's best on {tune_on}, every {tune_every}." if tune_on else "the cards'",
    }
    points = number_points(curves)
    tables = [
        Table("Points", _point_rows(points, curves), NOTE),
        Table("Stages that they share, ms", _shared_rows(curves)),
    ]
    publish(Report("Quality against time", machine, setup, tables), out)
    if out is not None:
        draw_pareto(points, f"VOC, {photos}", out.with_suffix(".png"))
        console.print(f"Drew {out.with_suffix('.png')}.", markup=False)


def _point_rows(points: Sequence[Point], curves: Sequence[Curve]) -> list[Row]:
    """Each model's, in the order of their numbers."""
    from benchmarks.pareto_plot import find_front

    thresholds = {curve.model: curve.thresholds for curve in curves}
    front = find_front(points, "total_ms")
    return [
        {
            "#": point.number,
            "model": point.model,
            "refinement": point.title,
            "t or levels": thresholds[point.model][point.title],
            "mIoU": 100 * point.miou,
            "refine ms": point.refine_ms,
            "total ms": point.total_ms,
            "front": "*" if point in front else "",
        }
        for point in points
    ]


def _shared_rows(curves: Sequence[Curve]) -> list[Row]:
    return [{"model": curve.model, **curve.shared_ms} for curve in curves]


if __name__ == "__main__":
    typer.run(main)
