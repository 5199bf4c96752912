"""A card and a runtime whose answers a test can work out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weakseg.card import ModelCard
from weakseg.types import GraphOutput, Query

CLASSES = ("tabby", "Siamese cat", "beagle", "crane", "crane", "table lamp")


def make_card(**changes: Any) -> ModelCard:
    """Six classes, groups cat = {tabby, Siamese cat} and dog = {beagle}, a network input of 32 x 48."""
    fields: dict[str, Any] = {
        "name": "fake_cam",
        "network": "fake",
        "method": "cam",
        "classes": CLASSES,
        "groups": {"cat": (0, 1), "dog": (2,)},
        "preprocessing": {"height": 32, "width": 48, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
        "weights": {"source": "made by a test", "licence": "none", "sha256": "0" * 64},
    }
    return ModelCard.model_validate(fields | changes)


class FakeRuntime:
    """Scores are fixed; the map of label l is the network input's red channel for even l, green for odd l.

    Records each call's photos and query. ``fail_when`` makes a batch raise.
    """

    name = "onnx"
    device = "cpu"

    def __init__(
        self, card: ModelCard, scores: list[float], fail_when: Callable[[NDArray[np.uint8]], bool] | None = None
    ) -> None:
        self.scores = np.array(scores, np.float32)  # (L,)
        assert len(scores) == len(card.vocabulary())
        self._fail_when = fail_when
        self.calls: list[tuple[tuple[int, ...], Query]] = []

    def run(self, images: NDArray[np.uint8], query: Query) -> GraphOutput:
        self.calls.append((images.shape, query))
        if self._fail_when is not None and self._fail_when(images):
            raise RuntimeError("made to fail")
        chosen = np.stack([self._resolve(*photo) for photo in zip(query.labels, query.among, strict=True)])  # (B, K)
        channels = np.moveaxis(images[..., :2], 3, 1).astype(np.float32) / 255  # (B, 2, h, w)
        maps = np.take_along_axis(channels, (chosen % 2)[:, :, None, None], axis=1)  # (B, K, h, w)
        return GraphOutput(np.tile(self.scores, (len(images), 1)), maps, chosen.astype(np.int64))

    def _resolve(self, labels: NDArray[np.int64], among: NDArray[np.int64]) -> NDArray[np.int64]:
        """One photo's (K,) labels by number."""
        ranked = sorted((label for label in among if label >= 0), key=lambda label: -self.scores[label])
        return np.array([label if label >= 0 else ranked[-label - 1] for label in labels], np.int64)


def make_pixel_card(**changes: Any) -> ModelCard:
    """A network that learned masks of cat and dog: photos at a long side of 48 at most, tiles of 16 x 24."""
    fields: dict[str, Any] = {
        "name": "fake_pixels",
        "method": "pixels",
        "classes": ("cat", "dog"),
        "groups": {},
        "tag_threshold": 0.5,
        "preprocessing": {"height": 16, "width": 24, "max_side": 48, "mean": (0, 0, 0), "std": (1, 1, 1)},
        "photo_task": {"refine": "none", "threshold": 0.5, "crf": {"confidence": 1.0}},
        "box_task": {"refine": "none", "threshold": 0.5, "crf": {"confidence": 1.0}},
    }
    return make_card(**fields | changes)


class FakePixelRuntime:
    """A pointwise network: the probability of the l-th label is the l-th colour channel of the input, of 255.

    A label's score is its highest probability. Records each call's photos and query.
    """

    name = "onnx"
    device = "cpu"

    def __init__(self, fail_when: Callable[[NDArray[np.uint8]], bool] | None = None) -> None:
        self._fail_when = fail_when
        self.calls: list[tuple[tuple[int, ...], Query]] = []

    def run(self, images: NDArray[np.uint8], query: Query) -> GraphOutput:
        self.calls.append((images.shape, query))
        if self._fail_when is not None and self._fail_when(images):
            raise RuntimeError("made to fail")
        labels = int(max(query.labels.max(), query.among.max())) + 1
        probs = np.moveaxis(images[..., : max(labels, 2)], 3, 1).astype(np.float32) / 255  # (B, L, h, w)
        scores = probs.max(axis=(2, 3))  # (B, L)
        chosen = np.stack([_resolve(*photo) for photo in zip(query.labels, query.among, scores, strict=True)])  # (B, K)
        return GraphOutput(scores, np.take_along_axis(probs, chosen[:, :, None, None], axis=1), chosen)


def _resolve(labels: NDArray[np.int64], among: NDArray[np.int64], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """One photo's (K,) labels by number."""
    ranked = sorted((label for label in among if label >= 0), key=lambda label: -scores[label])
    return np.array([label if label >= 0 else ranked[-label - 1] for label in labels], np.int64)
