"""``weakseg evaluate``: how good the masks are, on a VOC-layout folder or on photos and masks in two folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from weakseg.archive import DEFAULT_MODEL
from weakseg.commands import flags
from weakseg.commands.terminal import explained
from weakseg.evaluation.techniques import SWEEP_SIDE_PX

DEFAULT_SPLIT = "val"

Voc = Annotated[Path | None, typer.Option(help="Holds VOCdevkit/VOC2012, or is that folder.", show_default=False)]
Images = Annotated[
    Path | None,
    typer.Option(help="Instead of --voc: a folder of photos. For models that label pixels.", show_default=False),
]
Masks = Annotated[
    Path | None,
    typer.Option(
        help="Their masks: PNG files of the same names. 0 is background, then the model's classes from 1 on; with one"
        " class, 255 is that class too.",
        show_default=False,
    ),
]
Names = Annotated[
    Path | None,
    typer.Option("--list", help="A text file of names, one a line.", show_default="every photo that has a mask"),
]
Void = Annotated[
    int | None,
    typer.Option(help="Value of --masks that counts nowhere.", show_default="255; with one class none does"),
]
Split = Annotated[
    str | None,
    typer.Option(help="A list in ImageSets/Segmentation of --voc.", show_default=DEFAULT_SPLIT, metavar="TEXT"),
]
Others = Annotated[
    str | None,
    typer.Option(
        help="What true pixels of VOC classes that are not in --over are with predicted tags: background, void (they"
        " count nowhere), or own (of a class that is in no mean).",
        show_default="background where the model labels pixels, else own",
        metavar="TEXT",
    ),
]
Out = Annotated[Path, typer.Option(help="Folder for results.json, results.md, the figures and the records.")]
Over = Annotated[
    str | None,
    typer.Option(
        help="VOC classes, comma separated, over which the class task with known tags and the object task run.",
        show_default="the classes that have boxes in the split, so that both tasks average over the same ones",
    ),
]
Refines = Annotated[
    str | None,
    typer.Option(
        help="Values of --refine, comma separated, to compare on the same maps beside the one in force; with a"
        " threshold of its own: crf@0.3.",
        show_default="none",
        metavar="TEXT",
    ),
]
Gallery = Annotated[bool, typer.Option("--gallery", help="Also gallery/index.html: photos, maps, masks, truth.")]
GalleryImages = Annotated[int, typer.Option(min=1, help="Best, median and worst rows of the gallery, so many each.")]
Sweep = Annotated[bool, typer.Option("--sweep", help="Also the paper's techniques at t = 0.1 ... 0.9.")]
SweepSide = Annotated[
    int, typer.Option(min=32, help="GrabCut's long side in the sweep, at most, pixels. Larger is slower.")
]
ThresholdsFrom = Annotated[
    Path | None,
    typer.Option(
        help="results.json of a sweep on another split: the tables then show the t that was best there.",
        show_default="the best t of this very split, as in the paper",
    ),
]
Every = Annotated[int, typer.Option(min=1, help="Use each n-th photo of the split: quicker, and noisier.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Worker processes, one thread each.", show_default="all cores")]
Restart = Annotated[bool, typer.Option("--restart", help="Forget the finished photos of an earlier run.")]

_TASKS = {  # as results.json names them
    "known_tags": "class task, known tags",
    "predicted_tags": "class task, predicted tags",
    "object_task": "object task",
}


@flags.takes_options("classes", "pick", "box", "format", "budget_ms")  # the task sets these; no auto
def evaluate(
    voc: Voc = None,
    images: Images = None,
    masks: Masks = None,
    names: Names = None,
    void: Void = None,
    split: Split = None,
    model: flags.Model = DEFAULT_MODEL,
    store: flags.Store = None,
    over: Over = None,
    others: Others = None,
    refines: Refines = None,
    gallery: Gallery = False,
    gallery_images: GalleryImages = 8,
    sweep: Sweep = False,
    sweep_side: SweepSide = SWEEP_SIDE_PX,
    thresholds_from: ThresholdsFrom = None,
    every: Every = 1,
    jobs: Jobs = None,
    restart: Restart = False,
    out: Out = Path("out/evaluation"),
    *,
    options: dict[str, str],
) -> None:
    """Measure masks against a folder in PASCAL VOC's layout, or against photos and masks in two folders.

    Three tasks, never mixed:

    - **class task, known tags**: the classes of a photo are given, one request and one binary mask for each, as in
      the paper.

    - **class task, predicted tags**: the model picks the best-scoring of VOC's classes itself (`pick=best`); one
      label per pixel over background and 20 classes. Its means include the background. A model that labels pixels
      is asked for all of its VOC classes at once: its mIoU is the usual mean IU.

    - **object task**: class and box are given (boxes.json, or Annotations/*.xml).

    With `--images` and `--masks` a model that labels pixels is asked for all its classes at once: pixel accuracy,
    mean accuracy, mean IU and frequency-weighted IU, IoU of each class, mean latency.

    Without option flags the model card decides, as in the service. `--sweep` adds naked GrabCut, CAM and the three
    GrabCut-CAM variants at nine thresholds, tables like the paper's Tables 1 and 2 and its figures 7 to 12. A sweep
    chooses the best t on the split that it reports, as the paper does. For an honest table, sweep on one split and
    give its results to `--thresholds-from` when you sweep on another.

    `--refines` compares refinements of the same maps: one forward pass per photo and request. `--gallery` writes a
    page of pictures for the eye; they are cuts of the data set's photos, so mind their licence before you publish it.

    A run that was stopped goes on where it was: type the same command again. Another model, other options,
    changed photos or masks, and another version of the code or of a library start anew.

    Examples:

    - `weakseg evaluate --voc DIR --split val --out out/val`

    - `weakseg evaluate --voc DIR --split val --refines none@0.2,gaussian,crf --gallery --out out/val`

    - `weakseg evaluate --images hair/images --masks hair/masks --list hair/val.txt --model hair --out out/hair`

    - `weakseg evaluate --voc DIR --split train_official --sweep --out out/train`

    - `weakseg evaluate --voc DIR --split val --sweep --thresholds-from out/train/results.json --out out/val`
    """
    if thresholds_from is not None and voc is not None and not sweep:
        raise typer.BadParameter("--thresholds-from chooses rows of a sweep: give --sweep too.")
    common: dict[str, Any] = {
        "model": model,
        "store": flags.find_store(store),
        "options": options,
        "refines": _items(refines),
        "every": every,
        "gallery_images": gallery_images if gallery else 0,
        "jobs": jobs,
        "restart": restart,
        "out": out,
    }
    if voc is None:
        if images is None or masks is None:
            raise typer.BadParameter("Give --voc, or --images and --masks.")
        if any((split, over, others, sweep, thresholds_from)):
            raise typer.BadParameter("--split, --over, --others, --sweep and --thresholds-from go with --voc.")
        _evaluate_folders(images=images, masks=masks, names=names, void=void, **common)
        return
    if any(given is not None for given in (images, masks, names, void)):
        raise typer.BadParameter("--images, --masks, --list and --void do not go with --voc.")
    with explained():
        from weakseg.evaluation.run import Order, run  # here, as PyTorch takes seconds to import

        order = Order(
            voc=voc,
            split=split or DEFAULT_SPLIT,
            over=_items(over) or None,
            others=others,
            sweep=sweep,
            sweep_side_px=sweep_side,
            thresholds_from=thresholds_from,
            **common,
        )
        results = run(order, say=print)
    for task, words in _TASKS.items():
        miou = results[task]["miou"]
        print(f"  {words:<27} mIoU {'none' if miou is None else f'{miou:.1%}'}")


def _evaluate_folders(**order: Any) -> None:
    with explained():
        from weakseg.evaluation.folder_run import FolderOrder, run_folders  # here, as PyTorch takes seconds to import

        results = run_folders(FolderOrder(**order), say=print)
    for name in ("pixel_accuracy", "mean_accuracy", "mean_iu", "fw_iu"):
        value = results[name]
        print(f"  {name.replace('_', ' '):<27} {'none' if value is None else f'{value:.1%}'}")


def _items(text: str | None) -> tuple[str, ...]:
    """Comma separated, without repeats."""
    return tuple(dict.fromkeys(item.strip() for item in text.split(","))) if text else ()
