"""``python -m benchmarks.pixel_networks``: networks trained on VOC's masks, as served: quality, size and time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.machine import describe_machine
from benchmarks.photo import HEIGHT, WIDTH, benchmark_photo
from benchmarks.pixel_cost import Cost, cost
from benchmarks.pixel_latency import measure_latencies
from benchmarks.pixel_table import CRF, OVER, Measured, Quality, make_row, read_quality, say_bridge
from benchmarks.report import Report, Table, console, progress_bar, publish
from benchmarks.runs import Run, export_run, finished_runs
from benchmarks.stage_times import use_one_thread
from training.experiments.plan import read_plan
from weakseg.archive import open_archive
from weakseg.commands.terminal import explained
from weakseg.evaluation.run import Order, run
from weakseg.models.pixel.load import load_pixel_model
from weakseg.preprocess import fit_within

NOTE = (
    "Percent, on the photos at their own size, through the whole pipeline with refine=none, or crf where it says so: "
    "all classes of a network asked for at once, one label per pixel, one confusion matrix. Means over background and "
    f"{', '.join(OVER)}; true pixels of VOC's other classes are background. A network that was not taught `person` "
    "finds none. Mean IU, animals: over background and the five animals, so that all rows compare: a person is "
    "background, and so is whatever was taken for one. Minutes: of training and measuring, on the machine that trained."
)
COST_NOTE = (
    f" GFLOPs and milliseconds: for one {WIDTH} x {HEIGHT} photo at the size as served (long side at most the card's "
    "max_side); medians on one thread of the CPU, cases in turns. ONNX Runtime, TorchScript and GPU: the graph alone. "
    "Request: from the JPEG's bytes to the mask's, ONNX Runtime, refine=none."
)


def main(
    runs: Annotated[Path, typer.Option(help="Folder of the experiment's runs.")] = Path("runs/voc_masks"),
    plan: Annotated[str, typer.Option(help="The experiment: a name or a YAML file.")] = "voc_masks",
    store: Annotated[Path, typer.Option(help="Folder of the archives; what is missing there is exported.")] = Path(
        "out/pixel_store"
    ),
    voc: Annotated[Path, typer.Option(help="Holds VOCdevkit/VOC2012, or is that folder.")] = Path("../shared/data"),
    split: Annotated[str, typer.Option(help="A list in ImageSets/Segmentation.")] = "val",
    work: Annotated[Path, typer.Option(help="Folder of the evaluations, one for each row.")] = Path(
        "out/pixel_networks"
    ),
    every: Annotated[int, typer.Option(min=1, help="Use each n-th photo: quicker, and noisier.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Measurements of each latency, after a warm-up.")] = 15,
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes.", show_default="all cores")] = None,
    out: Annotated[Path | None, typer.Option(help="Write FILE.md and FILE.json.")] = None,
) -> None:
    """Export, evaluate and time every finished run of an experiment; one table.

    The same command goes on where a stopped one ended, and takes in the rows that were trained meanwhile. About two
    minutes a network on one core.
    """
    with explained():
        machine = describe_machine()
        found = finished_runs(read_plan(plan), runs)
        archives = {each.row.name: export_run(each, store, console.print) for each in found}
        qualities = {
            each.row.name: evaluate(each, archives[each.row.name], voc, split, work, every=every, jobs=jobs)
            for each in found
        }
        use_one_thread()
        opened = {name: open_archive(path) for name, path in archives.items()}
        with progress_bar() as progress:
            bar = progress.add_task("latency", total=None)
            latencies = measure_latencies(opened, benchmark_photo(), repeats, lambda: progress.advance(bar))
        rows = [
            Measured(each, cost_as_served(each), qualities[each.row.name], latencies[each.row.name]) for each in found
        ]
        publish(_report(rows, machine, {"split": f"{split}, each {every}. photo" if every > 1 else split}), out)


def evaluate(
    trained: Run, archive: Path, voc: Path, split: str, work: Path, *, every: int = 1, jobs: int | None = None
) -> Quality:
    """``weakseg evaluate`` over the classes that the network knows, without and with CRF, into ``work/ROW``."""
    folder = work / trained.row.name
    order = Order(
        voc=voc,
        split=split,
        model=str(archive),
        store=archive.parent,
        out=folder,
        options={"refine": "none"},
        over=tuple(name for name in OVER if name in trained.facts["classes"]),
        refines=(CRF,),
        every=every,
        jobs=jobs,
    )
    run(order, say=lambda words: console.print(f"{trained.row.name}: {words}", markup=False))
    return read_quality(folder / "records.jsonl")


def cost_as_served(trained: Run) -> Cost:
    """At the size at which a photo of VOC's usual size is fed."""
    model = load_pixel_model(trained.checkpoint)
    return cost(model.model, fit_within((HEIGHT, WIDTH), model.max_side))


def _report(rows: list[Measured], machine: dict[str, str], setup: dict[str, str]) -> Report:
    bridge = say_bridge(rows)
    sizes = sorted({fit_within((HEIGHT, WIDTH), row.run.facts["max_side"]) for row in rows})
    setup = {**setup, "size as served": ", ".join(f"{height} x {width}" for height, width in sizes)}
    setup |= {"bridge": bridge} if bridge else {}
    table = Table("Networks", [make_row(row) for row in rows], NOTE + COST_NOTE)
    return Report("Networks that learned VOC's masks, as served", machine, setup, [table])


if __name__ == "__main__":
    typer.run(main)
