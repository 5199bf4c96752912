"""``python -m benchmarks.shoe_stages``: the stages of the sneaker paper's training, measured on white and on scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.machine import describe_machine
from benchmarks.mask_sheet import Pipelines, choose_some, draw_photos, draw_sheet
from benchmarks.report import Report, Row, Table, console, publish
from benchmarks.runs import Run, export_run, finished_runs
from benchmarks.shoe_sets import LIST, SCENES, WHITE, write_sets
from training.experiments.plan import read_plan
from training.masks.layout import IMAGES, MASKS, list_photos
from weakseg.commands.terminal import explained
from weakseg.evaluation.evaluator import ArchiveOpener
from weakseg.evaluation.folder_run import FolderOrder, run_folders
from weakseg.evaluation.folders import read_folders
from weakseg.evaluation.results import Document

CRF = "crf"
NOTE = (
    "IoU of the shoe in percent, pixels accumulated over a set, photos at their own size through the whole pipeline, "
    "with refine=none, or crf where it says so. White: every held-out shoe as it was photographed. Scenes: held-out "
    "shoes pasted on held-out photos of scenes. No stage has learned from a shoe or a scene of either set, which the "
    "command checks. Truth is computed from the white background, not drawn; shoes that persons in a scene wear are "
    "background. Minutes: on the machine that trained."
)


def main(
    runs: Annotated[Path, typer.Option(help="Folder of the experiment's runs.")] = Path("runs/shoes"),
    plan: Annotated[str, typer.Option(help="The experiment: a name or a YAML file.")] = "shoes",
    objects: Annotated[Path, typer.Option(help="Photos on white, those of the trainings.")] = Path(
        "../shared/data/shoes_on_white"
    ),
    scenes: Annotated[Path, typer.Option(help="Photos of scenes, those of the trainings.")] = Path(
        "../shared/data/VOCdevkit/VOC2012/JPEGImages"
    ),
    store: Annotated[Path, typer.Option(help="Folder of the archives; what is missing there is exported.")] = Path(
        "out/shoe_store"
    ),
    work: Annotated[Path, typer.Option(help="Folder of test sets, evaluations and sheets.")] = Path("out/shoe_stages"),
    pictures: Annotated[int, typer.Option(min=1, help="On scenes.")] = 120,
    sheet: Annotated[int, typer.Option(min=1, help="Photos of each sheet.")] = 10,
    photos: Annotated[Path | None, typer.Option(help="Folder of any other photos, for a third sheet.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes.", show_default="all cores")] = None,
    out: Annotated[Path | None, typer.Option(help="Write FILE.md and FILE.json.")] = None,
) -> None:
    """Export every finished stage, measure it on two sets of unseen shoes, and draw sheets of its masks.

    The same command goes on where a stopped one ended. The sheets, `WORK/white.png`, `WORK/scenes.png` and, with
    --photos, `WORK/photos.png`, show the data set's photos: mind their licence.
    """
    with explained():
        machine = describe_machine()
        found = finished_runs(read_plan(plan), runs)
        sets = write_sets(found, objects, scenes, work, pictures=pictures)
        archives = {run.row.name: export_run(run, store, console.print) for run in found}
        rows = []
        for run in found:
            archive = archives[run.row.name]
            results = {name: measure(archive, folder, work, jobs=jobs) for name, folder in sets.items()}
            rows.append(make_row(run, results))
        draw_sheets({name: ArchiveOpener(path)() for name, path in archives.items()}, sets, photos, work, sheet)
        setup = {"pictures": f"{_count(sets[WHITE])} on white, {_count(sets[SCENES])} on scenes"}
        publish(Report("Shoes: stages of the training", machine, setup, [Table("Stages", rows, NOTE)]), out)


def measure(archive: Path, folder: Path, work: Path, *, jobs: int | None = None) -> Document:
    """``weakseg evaluate --images --masks`` of one stage on one set, into ``work/results/STAGE/SET``."""
    order = FolderOrder(
        images=folder / IMAGES,
        masks=folder / MASKS,
        names=folder / LIST,
        model=str(archive),
        store=archive.parent,
        out=work / "results" / archive.stem / folder.name,
        options={"refine": "none"},
        refines=(CRF,),
        jobs=jobs,
    )
    return run_folders(order, say=lambda words: console.print(f"{archive.stem}, {folder.name}: {words}", markup=False))


def draw_sheets(pipelines: Pipelines, sets: dict[str, Path], photos: Path | None, work: Path, count: int) -> None:
    """``work/white.png``, ``work/scenes.png`` and ``work/photos.png``."""
    for name, folder in sets.items():
        samples = read_folders(folder / IMAGES, folder / MASKS, folder / LIST, classes=1, void=None)
        draw_sheet(pipelines, choose_some(samples, count), work / f"{name}.png")
    if photos is not None:
        draw_photos(pipelines, choose_some(list(list_photos(photos).values()), count), work / "photos.png")
    console.print(f"Sheets in {work}", markup=False)


def make_row(run: Run, results: dict[str, Document]) -> Row:
    """One line: what the stage is, and percent on each set."""
    (name,) = run.facts["classes"]
    row: dict[str, Any] = {
        "stage": run.row.says,
        "epochs": run.recipe.epochs,
        "minutes": round(run.facts["minutes"], 1),
        "start": run.start,
    }
    for part in (WHITE, SCENES):
        row[f"{part}: IoU"] = _iou(results[part], name)
        row[f"{part}: IoU + CRF"] = _iou(results[part]["refines"][CRF], name)
    return row | {f"{SCENES}: pixel accuracy": round(100 * results[SCENES]["pixel_accuracy"], 1)}


def _iou(scores: Document, name: str) -> float:
    return round(100 * scores["per_class"][name]["iou"], 1)


def _count(folder: Path) -> int:
    return len((folder / LIST).read_text(encoding="utf-8").splitlines())


if __name__ == "__main__":
    typer.run(main)
