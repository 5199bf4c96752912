"""``weakseg tune``: defaults of refinement, chosen on training photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from weakseg.archive import DEFAULT_MODEL
from weakseg.commands import flags
from weakseg.commands.terminal import explained
from weakseg.options import Refine

tune = typer.Typer(
    help="Choose thresholds and CRF settings on training photos, for an archive to carry.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Voc = Annotated[Path, typer.Option(help="Holds VOCdevkit/VOC2012, or is that folder.", show_default=False)]
Split = Annotated[
    str, typer.Option(help="A list in ImageSets/Segmentation. Photos to choose on, never those to report on.")
]
Over = Annotated[
    str | None,
    typer.Option(help="VOC classes, comma separated.", show_default="the classes that have boxes in the split"),
]
Card = Annotated[
    Path | None,
    typer.Option(help="An earlier tuned.yaml: its fields replace the model card's before the search starts."),
]
Grid = Annotated[
    Path | None,
    typer.Option(help="YAML with values to try, `{confidence: [7, 10], steps: [5]}`; one value fixes a parameter."),
]
Maps = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the network's maps, which several searches may share. Nothing in it is deleted.",
        show_default="OUT/maps",
    ),
]
Folds = Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")]
Every = Annotated[int, typer.Option(min=1, help="Use each n-th photo of the split: quicker, and noisier.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Worker processes, one thread each.", show_default="all cores")]
Restart = Annotated[bool, typer.Option("--restart", help="Forget what an earlier run tried.")]
EvenHeldOut = Annotated[
    bool,
    typer.Option("--even-held-out", help="Choose on val or test all the same. Results there are worthless afterwards."),
]


@tune.command()
def threshold(
    voc: Voc,
    split: Split = "train_official",
    model: flags.Model = DEFAULT_MODEL,
    store: flags.Store = None,
    refine: Annotated[str, typer.Option(help="`none` or `gaussian`.")] = Refine.GAUSSIAN.value,
    over: Over = None,
    card: Card = None,
    grid: Grid = None,
    maps: Maps = None,
    folds: Folds = 5,
    every: Every = 1,
    jobs: Jobs = None,
    restart: Restart = False,
    even_held_out: EvenHeldOut = False,
    out: Annotated[Path, typer.Option(help="Folder for tuned.yaml, the report and the records.")] = Path("out/tune"),
) -> None:
    """Where a map, smoothed or not, is cut: the best threshold, and the best sigma with it.

    The network runs once per photo; then one pass per sigma counts all thresholds from 0.01 to 0.99. Measured is the
    mean IoU with known tags, as `weakseg evaluate` does. `tuned.yaml` goes into an archive:
    `python -m export ... --card out/tune/tuned.yaml`.
    """
    given = locals()
    _run("threshold", [Refine.NONE, Refine.GAUSSIAN], given)


@tune.command()
def guided(
    voc: Voc,
    split: Split = "train_official",
    model: flags.Model = DEFAULT_MODEL,
    store: flags.Store = None,
    refine: Annotated[str, typer.Option(help="`guided` or `gaussian+guided`.")] = Refine.GUIDED.value,
    side: Annotated[
        int | None, typer.Option(min=32, help="Long side of the filter, pixels.", show_default="the card's")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Times that all parameters are gone through, at most.")] = 3,
    over: Over = None,
    card: Card = None,
    grid: Grid = None,
    maps: Maps = None,
    folds: Folds = 5,
    every: Every = 1,
    jobs: Jobs = None,
    restart: Restart = False,
    even_held_out: EvenHeldOut = False,
    out: Annotated[Path, typer.Option(help="Folder for tuned.yaml, the report and the records.")] = Path("out/tune"),
) -> None:
    """The guided filter's threshold, radius and eps; sigma too where a Gaussian runs.

    The grid is climbed, as `weakseg tune crf` does it.
    """
    given = locals()
    _run("guided", [Refine.GUIDED, Refine.GAUSSIAN_GUIDED], given)


@tune.command()
def crf(
    voc: Voc,
    split: Split = "train_official",
    model: flags.Model = DEFAULT_MODEL,
    store: flags.Store = None,
    refine: Annotated[
        str, typer.Option(help="`crf`, `gaussian+crf`, `crf+grabcut` or `gaussian+crf+grabcut`.")
    ] = Refine.CRF.value,
    side: Annotated[
        int | None, typer.Option(min=32, help="Long side of the CRF, pixels.", show_default="the card's refine_side")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Times that all parameters are gone through, at most.")] = 3,
    over: Over = None,
    card: Card = None,
    grid: Grid = None,
    maps: Maps = None,
    folds: Folds = 5,
    every: Every = 1,
    jobs: Jobs = None,
    restart: Restart = False,
    even_held_out: EvenHeldOut = False,
    out: Annotated[Path, typer.Option(help="Folder for tuned.yaml, the report and the records.")] = Path("out/tune"),
) -> None:
    """The dense CRF's threshold, confidence, kernels and steps; sigma and GrabCut's levels where those run too.

    The whole grid has millions of points, so it is climbed: one parameter after the other moves to the next value as
    long as the mean IoU (known tags, as in `weakseg evaluate`) rises, round after round until nothing gets better.
    At the end the fewest steps win that cost no more than 0.1 points. The network runs once per photo.

    A search that was stopped goes on where it was: type the same command again.

    Examples:

    - `weakseg tune crf --voc DIR --every 4` : a first look, on a quarter of the photos

    - `weakseg tune crf --voc DIR --refine gaussian+crf --card out/tune/tuned.yaml --out out/tune_both`

    - `weakseg tune crf --voc DIR --side 256` : smaller and quicker; `tuned.yaml` then sets `refine_side` too
    """
    given = locals()
    _run("crf", [refine for refine in Refine if refine.has_crf], given)


def _run(command: str, allowed: list[Refine], given: dict[str, Any]) -> None:
    names = [refine.value for refine in allowed]
    if given["refine"] not in names:
        raise typer.BadParameter(f"--refine {given['refine']}: give one of {', '.join(names)}.")
    with explained():
        from weakseg.tuning.run import Order, run  # here, as PyTorch takes seconds to import

        given = dict(given)
        over, side = given.pop("over"), given.pop("side", None)
        given["over"] = tuple(name.strip() for name in over.split(",")) if over else None
        given["store"] = flags.find_store(given["store"])
        given["refine"] = Refine(given["refine"])
        document = run(Order(command=command, side_px=side, **given), say=print)
    winner = document["winner"]
    print(f"  mIoU {winner['miou']:.1%}, cross-validated {document['cross_validated_miou']:.1%}")
    print(f"  {given['out'] / 'tuned.yaml'}; the report is in {given['out'] / 'tune.md'}")
