"""Class maps on disk, so that a search runs the network once per photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import DataError, RequestError
from weakseg.evaluation.counting import VOC_VALUES
from weakseg.evaluation.voc import Sample
from weakseg.options import Options
from weakseg.pipeline import Pipeline

ClassMap = NDArray[np.float32]  # (h', w') in [0, 1]

_NAME_LENGTH = 16  # hexadecimal digits of a fingerprint
_STEPS = 65535  # of a stored map: errors below 1e-5, as between runtimes; float16 would be 30 times as far off


class MapFolder:
    """One file per photo: the map of each class that its mask shows. Nothing is ever deleted.

    Args:
        folder: Maps of each fingerprint (model, photos, code) have a subfolder of their own in it.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder / fingerprint[:_NAME_LENGTH]
        self.folder.mkdir(parents=True, exist_ok=True)

    def missing(self, samples: Sequence[Sample]) -> list[Sample]:
        return [sample for sample in samples if not self._path(sample).is_file()]

    def save(self, sample: Sample, maps: Mapping[str, ClassMap]) -> None:
        """In one step, so that whoever is killed here leaves no half file."""
        draft = self._path(sample).with_suffix(".draft")
        with draft.open("wb") as file:
            np.savez_compressed(file, **{name: _pack(class_map) for name, class_map in maps.items()})  # type: ignore[arg-type]
        draft.replace(self._path(sample))

    def load(self, sample: Sample) -> dict[str, ClassMap]:
        with np.load(self._path(sample)) as stored:
            return {name: (stored[name] / np.float32(_STEPS)).astype(np.float32) for name in stored.files}

    def _path(self, sample: Sample) -> Path:
        return self.folder / f"{sample.image_id}.npz"


def _pack(class_map: ClassMap) -> NDArray[np.uint16]:
    return np.rint(class_map * _STEPS).astype(np.uint16)


def make_maps(pipeline: Pipeline, sample: Sample, over: Sequence[str]) -> dict[str, ClassMap]:
    """The map of every class of ``over`` that the photo's mask shows, each asked for alone as `evaluate` does.

    Raises:
        DataError: the files are broken, or the model cannot answer (names the photo).
    """
    rgb, truth = sample.read(pipeline.limits)
    shown = [name for name in over if (truth == VOC_VALUES[name]).any()]
    try:
        plans = [pipeline.plan(rgb, Options(classes=(name,))) for name in shown]
    except RequestError as error:
        raise DataError(f"{sample.image_id}: {error}") from error
    return {name: pipeline.forward([plan])[0].maps[0, 0] for name, plan in zip(shown, plans, strict=True)}
