"""What is computed once for each photo and kept on disk, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.zoomout.observer import Observer
from training.zoomout.superpixels import Superpixels
from training.zoomout.svm import LinearScorer, train_mi_svm
from weakseg.codec.decode import Limits
from weakseg.evaluation.records import take_fingerprint, take_stamps
from weakseg.evaluation.results import software_versions
from weakseg.evaluation.voc import Sample
from weakseg.refine.bench import shrink_to_side
from weakseg.types import Maps, Rgb
from weakseg.voc import ANIMALS

Arrays = dict[str, NDArray[Any]]
Advance = Callable[[], None]

_CODE = Path(__file__).parent
_NAME_LENGTH = 12  # hexadecimal digits of a hash


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that the numbers depend on beside the photos and the code."""

    network: str
    weights: str  # SHA-256
    classes: tuple[str, ...] = ANIMALS
    side_px: int = 320  # photos are worked on with this long side at most
    input_px: int = 320  # h = w of the network's input
    superpixels: int = 150
    photos_per_class: int = 120  # of those that train the SVM
    sampled: int = 20  # superpixels of each of them
    rounds: int = 6
    penalty: float = 0.02
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of one photo before anything is chosen."""

    superpixels: Superpixels  # (H, W)
    scores: NDArray[np.float32]  # (S, K) of the SVM, K classes of the recipe
    guided: Maps  # (N, h', w') guided-backprop maps of the named classes
    named: NDArray[np.int64]  # (N,) in [0, K)

    @property
    def predicted(self) -> int:
        """The class that the photo most probably shows: the highest mean of its five highest superpixels."""
        return predict(self.scores)


class Stages:
    """The stages of one recipe, one set of training photos and one state of the code, in a folder below ``cache``."""

    def __init__(self, recipe: Recipe, observer: Observer, training: Sequence[Sample], cache: Path) -> None:
        self.recipe = recipe
        self._observer = observer
        self._training = training
        self._cache = cache / _name_cache(recipe, training)
        self._limits = Limits()

    def train(self, advance: Advance) -> tuple[LinearScorer, float]:
        """The SVM, from sampled superpixels of the training photos and the names of what they show; and its seconds."""
        found = keep(self._cache / "svm.npz", lambda: self._train(advance))
        return LinearScorer(found["weight"], found["bias"]), float(found["seconds"])

    def _train(self, advance: Advance) -> Arrays:
        started = time.monotonic()
        parts = [self._sample_features(sample, advance) for sample in self._training]  # (n, D) each
        bags = np.repeat(np.arange(len(parts)), [len(part) for part in parts])  # (N,)
        tags = np.array(
            [[name in tags_of(sample) for name in self.recipe.classes] for sample in self._training]
        )  # (P, K)
        features = np.concatenate(parts).astype(np.float32)  # (N, D)
        scorer = train_mi_svm(features, bags, tags, penalty=self.recipe.penalty, rounds=self.recipe.rounds)
        return {"weight": scorer.weight, "bias": scorer.bias, "seconds": np.array(time.monotonic() - started)}

    def _sample_features(self, sample: Sample, advance: Advance) -> NDArray[np.float16]:
        found = keep(self._cache / "features" / f"{sample.image_id}.npz", lambda: self._describe(sample))
        advance()
        return found["features"]

    def _describe(self, sample: Sample) -> Arrays:
        rgb, _ = self.read(sample)
        _, features = self._observer.describe(rgb, self._observer.run(rgb))  # (S, D)
        draw = np.random.default_rng([self.recipe.seed, zlib.crc32(sample.image_id.encode())])
        chosen = draw.permutation(len(features))[: self.recipe.sampled]
        return {"features": features[chosen].astype(np.float16)}

    def look(self, sample: Sample, shown: Collection[str], scorer: LinearScorer) -> Look:
        """Scores of every class; guided maps of the classes that the photo shows, and of the predicted one."""
        path = self._cache / "looks" / f"{sample.image_id}-{_hash(take_stamps([sample]))}.npz"
        return Look(**keep(path, lambda: self._look(sample, shown, scorer)))

    def _look(self, sample: Sample, shown: Collection[str], scorer: LinearScorer) -> Arrays:
        rgb, _ = self.read(sample)
        values = self._observer.run(rgb)
        superpixels, features = self._observer.describe(rgb, values)
        scores = scorer.score(features)  # (S, K)
        named = sorted({predict(scores), *(self.recipe.classes.index(name) for name in shown)})
        guided = self._observer.guide(values, tuple(self.recipe.classes[k] for k in named))  # (N, h', w')
        return {"superpixels": superpixels, "scores": scores, "guided": guided, "named": np.array(named)}

    def read(self, sample: Sample) -> tuple[Rgb, NDArray[np.uint8]]:
        """The photo at working size, and its mask at the photo's own size."""
        rgb, truth = sample.read(self._limits)
        return shrink_to_side(rgb, self.recipe.side_px), truth


def _name_cache(recipe: Recipe, training: Sequence[Sample]) -> str:
    """Another one as soon as recipe, training photos, code or libraries change."""
    inputs = {**asdict(recipe), "training": list(take_stamps(training).items()), "software": software_versions()}
    return take_fingerprint(None, inputs, code=[_CODE])[:_NAME_LENGTH]


def _hash(stamps: dict[str, list[int]]) -> str:
    return hashlib.sha256(json.dumps(stamps).encode()).hexdigest()[:_NAME_LENGTH]


def predict(scores: NDArray[np.float32]) -> int:
    """(S, K) superpixel scores to the class that the photo most probably shows."""
    return int(np.sort(scores, axis=0)[-5:].mean(axis=0).argmax())


def tags_of(sample: Sample) -> set[str]:
    """What a photo shows. Of its boxes nothing but the names is used."""
    return {labelled.name for labelled in sample.boxes}


def pick_training(
    samples: Sequence[Sample], without: Iterable[str], classes: Sequence[str], per_class: int, seed: int
) -> list[Sample]:
    """Photos for the SVM, drawn until each class has ``per_class`` of them or there are no more.

    Args:
        without: Ids of photos that are measured on.
    """
    excluded, counts, picked = set(without), dict.fromkeys(classes, 0), []
    for index in np.random.default_rng(seed).permutation(len(samples)):
        shown = tags_of(samples[index]) & counts.keys()
        if samples[index].image_id not in excluded and any(counts[name] < per_class for name in shown):
            picked.append(samples[index])
            for name in shown:
                counts[name] += 1
    return picked


def keep(path: Path, make: Callable[[], Arrays]) -> Arrays:
    """The arrays of a file; made, and written in one step, where it is not there yet."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        with draft.open("wb") as file:
            np.savez(file, **make())
        draft.replace(path)
    with np.load(path) as found:
        return dict(found)
