"""The command line: ``python -m training.zoomout --help``."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from training.zoomout.run import Order, run
from training.zoomout.stages import Recipe
from weakseg.commands.terminal import explained
from weakseg.models.classifier import load_classifier

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@app.command()
def zoomout(
    voc: Annotated[Path, typer.Option(help="Holds VOCdevkit/VOC2012, or is that folder.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for results.json, results.md and the cache.")],
    network: Annotated[str, typer.Option(help="A torchvision classifier.")] = "squeezenet1_1",
    checkpoint: Annotated[
        Path | None, typer.Option(help="Weights of the network, such as best.pt.", show_default="ImageNet's")
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="Class names of the checkpoint: text, one a line, or JSON.", show_default="none")
    ] = None,
    train_on: Annotated[str, typer.Option(help="Split whose image labels train the SVM.")] = "train",
    choose_on: Annotated[str, typer.Option(help="Split whose masks choose thresholds and CRF.")] = "train_official",
    report_on: Annotated[str, typer.Option(help="Splits to measure, comma separated.")] = "train_official,val",
    photos_per_class: Annotated[int, typer.Option(min=2, help="Photos of each class that train the SVM.")] = 120,
    every: Annotated[int, typer.Option(min=1, help="Use each n-th photo of every split: quicker, and noisier.")] = 1,
) -> None:
    """Segment by zoom-out features and guided backprop ("ZOF with GBP", Shimoda & Yanai, MIRU 2016).

    Superpixels, described by a classifier's layers, are scored by one linear SVM per class (mi-SVM: trained on image
    labels alone); the scores are combined with maps of guided backprop, and cut, with a dense CRF and without.
    A run that was stopped goes on where it was: type the same command again.

    Example: `python -m training.zoomout --voc DIR --network squeezenet1_1 --out out/zoomout`
    """
    with explained():
        weights = "imagenet" if checkpoint is None else checkpoint
        classifier = load_classifier(network, weights, classes=classes)
        recipe = Recipe(network, classifier.weights.sha256, photos_per_class=photos_per_class)
        report = tuple(name.strip() for name in report_on.split(","))
        shown = {
            "--voc": voc,
            "--network": network,
            "--checkpoint": checkpoint,
            "--classes": classes,
            "--train-on": train_on,
            "--choose-on": choose_on,
            "--report-on": ",".join(report),
            "--photos-per-class": photos_per_class,
            "--every": every,
            "--out": out,
        }
        order = Order(voc, out, _command(shown), train_on, choose_on, report, every)
        run(order, classifier, recipe)
    print(f"results in {out / 'results.md'}")


def _command(shown: dict[str, object]) -> str:
    """The command that repeats the run; paths are relative to the working directory."""
    parts = ["python", "-m", "training.zoomout"]
    for flag, value in shown.items():
        if value is not None:
            parts += [flag, Path(os.path.relpath(value)).as_posix() if isinstance(value, Path) else str(value)]
    return shlex.join(parts)


if __name__ == "__main__":
    app()
