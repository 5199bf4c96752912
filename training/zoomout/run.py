"""The whole way: train on image labels, choose on masks of one split, measure on others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from training.zoomout.combine import Way
from training.zoomout.measure import Case, Choice, choose_crf, choose_threshold, measure
from training.zoomout.observer import Observer
from training.zoomout.stages import Recipe, Stages, pick_training
from training.zoomout.svm import LinearScorer
from training.zoomout.tables import render
from weakseg.evaluation.counting import VOC_VALUES
from weakseg.evaluation.voc import Sample, read_split
from weakseg.models.classifier import Classifier

METHODS = {  # title to the ways that compete for it
    "ZOF (forward only)": (Way.ZOF,),
    "GBP (backward only)": (Way.GBP,),
    "ZOF with GBP": (Way.PRODUCT, Way.MEAN),
}
CRF = " + CRF"
CRF_EVERY = 6  # the CRF is chosen on each n-th photo: it is slow

Results = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for; see ``python -m training.zoomout --help``."""

    voc: Path
    out: Path
    command: str
    train_on: str = "train"
    choose_on: str = "train_official"
    report_on: tuple[str, ...] = ("train_official", "val")
    every: int = 1


def run(order: Order, classifier: Classifier, recipe: Recipe) -> Results:
    """Train, choose, measure, and write results.json and results.md. A stopped run goes on where it was.

    Raises:
        DataError: the folder lacks something. ModelError: the network does not know the classes.
    """
    torch.set_num_threads(1)
    splits = {name: read_split(order.voc, name)[:: order.every] for name in {order.choose_on, *order.report_on}}
    train = read_split(order.voc, order.train_on)[:: order.every]
    measured = {sample.image_id for samples in splits.values() for sample in samples}
    train = pick_training(train, measured, recipe.classes, recipe.photos_per_class, recipe.seed)
    observer = Observer(classifier, input_px=recipe.input_px, superpixels=recipe.superpixels)
    bench = _Bench(Stages(recipe, observer, train, order.out / "cache"), len(train), recipe.classes)
    scorer, seconds = bench.train()
    choices = bench.choose(splits[order.choose_on], scorer)
    results = {
        "command": order.command,
        "recipe": asdict(recipe),
        "weights_source": classifier.weights.source,
        "training": {"photos": len(train), "split": order.train_on, "seconds": seconds},
        "chosen_on": order.choose_on,
        "choices": {title: _describe(choice) for title, choice in choices.items()},
        "splits": {name: bench.measure(name, splits[name], scorer, choices) for name in order.report_on},
    }
    _write(results, order.out)
    return results


class _Bench:
    """The stages over many photos, with progress."""

    def __init__(self, stages: Stages, training_photos: int, classes: tuple[str, ...]) -> None:
        self._stages = stages
        self._training_photos = training_photos
        self._classes = classes

    def train(self) -> tuple[LinearScorer, float]:
        with _bar() as bar:
            task = bar.add_task("features of the training photos, then the SVM", total=self._training_photos)
            return self._stages.train(lambda: bar.advance(task))

    def choose(self, samples: Sequence[Sample], scorer: LinearScorer) -> dict[str, Choice]:
        choices: dict[str, Choice] = {}
        with _bar() as bar:
            few = list(self._cases(samples[::CRF_EVERY], scorer, bar, "photos for choosing the CRF"))
            for title, ways in METHODS.items():
                cases = self._cases(samples, scorer, bar, f"threshold of {title}")
                choices[title] = choose_threshold(cases, ways, self._classes)
                choices[title + CRF] = choose_crf(few, choices[title], self._classes)
        return choices

    def measure(
        self, name: str, samples: Sequence[Sample], scorer: LinearScorer, choices: dict[str, Choice]
    ) -> Results:
        with _bar() as bar:
            found = measure(self._cases(samples, scorer, bar, f"measuring {name}"), choices, self._classes)
        return {"images": len(samples), "methods": found}

    def _cases(self, samples: Sequence[Sample], scorer: LinearScorer, bar: Progress, title: str) -> Iterator[Case]:
        for sample in bar.track(samples, description=title):
            rgb, truth = self._stages.read(sample)
            shown = tuple(k for k, name in enumerate(self._classes) if (truth == VOC_VALUES[name]).any())
            look = self._stages.look(sample, [self._classes[k] for k in shown], scorer)
            yield Case(rgb, truth, look, shown)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left:"), TimeRemainingColumn(), console=Console(stderr=True),
    )  # fmt: skip


def _describe(choice: Choice) -> Results:
    confidence = None if choice.cut.crf is None else choice.cut.crf.confidence
    return {
        "way": choice.way.value,
        "threshold": choice.cut.threshold,
        "crf_confidence": confidence,
        "mean_iu_where_chosen": choice.mean_iu,
    }


def _write(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (folder / "results.md").write_text(render(results), encoding="utf-8")
