"""``python -m benchmarks.crf_accuracy``: how far the fast dense CRF engines are from pydensecrf on real photos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated, TypeVar

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray

from benchmarks.crf_engines import CONTENDERS, choose_contenders
from benchmarks.crf_problems import LABELS, UNARIES, Photo, Setting, open_photos, read_photos
from benchmarks.machine import describe_machine
from benchmarks.report import Report, Row, Table, progress_bar, publish
from weakseg.card import ModelCard
from weakseg.evaluation.metrics import confuse, count_pixels, one_against_rest, score
from weakseg.options import Refine
from weakseg.refine.densecrf.problem import CrfEngine, CrfProblem
from weakseg.refine.densecrf.reference import infer_with_pydensecrf
from weakseg.voc import VOC_CLASSES, VOID

Value = TypeVar("Value")

REFERENCE, MIRRORED, NONE = "pydensecrf", "pydensecrf, mirrored", "no CRF"

NOTE = (
    "Equal: percent of a photo's pixels with the same label as pydensecrf's, mean over photos, 5th percentile and "
    "worst. Off: mean absolute difference of marginals, over pixels and labels. IoU in percent against the masks, "
    "accumulated over photos, mean over classes: cat, cow, dog, horse, sheep for one map, all that occur for 21. "
    "`pydensecrf, mirrored` is pydensecrf on the mirrored photo, mirrored back: how far it is from itself. Aims: exact "
    "99.9 and at most 0.01 off, fast 99.7 with a 5th percentile of 99.5, fastest 99."
)


@dataclass
class Tally:
    """One engine's answers to one kind of problem."""

    equal: list[float] = field(default_factory=list)
    off: list[float] = field(default_factory=list)
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros((LABELS, 4), np.int64))

    def add(self, found: NDArray[np.float32], expected: NDArray[np.float32], photo: Photo) -> None:
        labels = found.argmax(0).astype(np.uint8)  # (H, W)
        self.equal.append(100 * float((labels == expected.argmax(0)).mean()))
        self.off.append(float(np.abs(found - expected).mean()))
        truth = photo.truth_at(labels.shape)
        if len(found) == LABELS:
            self.counts += one_against_rest(confuse(truth, labels, LABELS, VOID))
        else:
            self.counts[photo.value] += count_pixels(truth == photo.value, labels == 1, truth != VOID)

    def row(self, unary: str, setting: Setting, engine: str) -> Row:
        return {
            "unary": unary,
            "kernels": setting.name,
            "engine": engine,
            "equal": f"{np.mean(self.equal):.2f}",
            "5th percentile": f"{np.percentile(self.equal, 5):.2f}",
            "worst": f"{np.min(self.equal):.2f}",
            "off": f"{np.mean(self.off):.5f}",
            "IoU": f"{100 * (score(self.counts, ['background', *VOC_CLASSES]).miou or 0):.2f}",
        }


def main(
    model: Annotated[Path, typer.Option(help="Archive whose maps are the unaries.")] = Path("model_store/weakseg.mar"),
    voc: Annotated[Path, typer.Option(help="Holds VOCdevkit/VOC2012, or is that folder.")] = Path("../shared/data"),
    split: Annotated[str, typer.Option(help="Of that folder; val has photos of their original size.")] = "val",
    photos: Annotated[int, typer.Option(min=1, help="Evenly spread over the split.")] = 100,
    engines: Annotated[
        str, typer.Option(help="Comma-separated beginnings of: " + ", ".join(one.name for one in CONTENDERS) + ".")
    ] = "native,torch",
    unaries: Annotated[
        str,
        typer.Option(
            help="Comma-separated numbers of: "
            + "; ".join(f"{number}: {name}" for number, name in enumerate(UNARIES, 1))
            + "."
        ),
    ] = "1,2,3,4",
    settings: Annotated[
        str,
        typer.Option(
            help="Comma-separated numbers of: 1: pydensecrf's customary kernels, photos "
            "at full size; 2: the model's own, at full size; 3: the model's own at the size at which it refines."
        ),
    ] = "1,2,3",
    out: Annotated[Path | None, typer.Option(help="Write FILE.md and FILE.json.")] = None,
) -> None:
    """Compare labels, marginals and IoU of dense CRF engines with pydensecrf's on VOC photos.

    Four kinds of unaries: the default model's map of one class that the photo shows, steep as the service has it; its
    maps of all 20 VOC classes in one CRF; and, as pydensecrf's own example does, masks: a quarter of the pixels get a
    label drawn at random, and each label is trusted by 0.7; and soft masks, as of a network
    that learned from masks. Needs the model and VOC photos. On one core a photo takes
    about a second in each setting with 2 labels, and five with 21, most of it in the PyTorch engine and in pydensecrf.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    pipeline, chosen = open_photos(model, voc, split, photos)
    card = pipeline.card
    cases = list(product(_numbered(UNARIES, unaries), _numbered(settings_of(card), settings)))
    contenders = {contender.name: contender.open() for contender in choose_contenders(engines)}
    with progress_bar() as progress:
        tallies = compare(card, read_photos(pipeline, progress.track(chosen, description="photos")), cases, contenders)
    rows = [
        tally.row(unary, setting, name) for (unary, setting), each in tallies.items() for name, tally in each.items()
    ]
    setup = {
        "photos": f"{len(chosen)} of {split}",
        **{f"kernels, {setting.name}": setting.describe() for setting in dict.fromkeys(case[1] for case in cases)},
        "unary of maps": "confidence {:g}, threshold {:g}".format(*steepness(card)),
    }
    publish(
        Report("Dense CRF engines against pydensecrf", describe_machine(), setup, [Table("Agreement", rows, NOTE)]), out
    )


def settings_of(card: ModelCard) -> list[Setting]:
    crf = card.photo_task.crf
    return [
        Setting("customary", None, None),
        Setting("card, full size", crf, None),
        Setting("card, as served", crf, card.refine_side),
    ]


def steepness(card: ModelCard) -> tuple[float, float]:
    """Confidence and threshold of the photo task's CRF."""
    return card.photo_task.crf.confidence, card.photo_task.threshold_of(Refine.CRF)


def compare(
    card: ModelCard,
    photos: Iterable[Photo],
    cases: Sequence[tuple[str, Setting]],
    contenders: Mapping[str, CrfEngine],
) -> dict[tuple[str, Setting], dict[str, Tally]]:
    """Every engine on every photo in every case; beside them pydensecrf, its mirror image, and no CRF at all."""
    confidence, threshold = steepness(card)
    engines = {REFERENCE: infer_with_pydensecrf, MIRRORED: infer_mirrored, NONE: infer_nothing, **contenders}
    tallies = {case: {name: Tally() for name in engines} for case in cases}
    for photo in photos:
        for unary, setting in cases:
            problem = photo.problem(unary, setting, confidence=confidence, threshold=threshold)
            [expected] = infer_with_pydensecrf([problem])
            for name, engine in engines.items():
                found = expected if name == REFERENCE else engine([problem])[0]
                tallies[unary, setting][name].add(found, expected, photo)
    return tallies


def infer_mirrored(problems: Sequence[CrfProblem]) -> list[NDArray[np.float32]]:
    """pydensecrf on the mirrored photos, mirrored back."""
    mirrored = [replace(one, logits=one.logits[..., ::-1], rgb=one.rgb[:, ::-1]) for one in problems]
    return [probs[..., ::-1] for probs in infer_with_pydensecrf(mirrored)]


def infer_nothing(problems: Sequence[CrfProblem]) -> list[NDArray[np.float32]]:
    """The unaries alone."""
    grown = [np.exp(problem.logits - problem.logits.max(0)) for problem in problems]  # (L, H, W) each
    return [each / each.sum(0) for each in grown]


def _numbered(values: Sequence[Value], numbers: str) -> list[Value]:
    """Those of the comma-separated numbers, counted from 1."""
    return [values[int(number) - 1] for number in numbers.split(",")]


if __name__ == "__main__":
    typer.run(main)
