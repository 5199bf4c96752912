"""Objects pasted on photos of scenes, with their masks (sneaker paper, section "Data")."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.masks.sources import Masked
from training.masks.white import Cutout
from weakseg.types import Rgb

Floats = NDArray[np.float32]

MARGIN_PX = 2  # around a cut-out object, so that its soft edge is whole
LEAST_SIDE_PX = 8  # of a pasted object
MOST_TINT = 0.15  # of each channel, at full light


@dataclass(frozen=True, slots=True)
class PasteSettings:
    """How objects get into a scene.

    Args:
        objects: Least and largest number of objects.
        size: Least and largest longer side of an object, as a share of the scene's shorter side.
        turn_deg: Largest turn to either side.
        outside: Largest share of the object's height and width that may be out of the picture.
        light: From 0 (as photographed) to 1: how far an object takes on brightness and tint of its scene, at most.
    """

    objects: tuple[int, int] = (1, 1)
    size: tuple[float, float] = (0.3, 1.0)
    turn_deg: float = 20.0
    outside: float = 0.2
    light: float = 0.3


@dataclass(frozen=True, slots=True)
class _Layer:
    """An object at its size and turn, not yet placed."""

    rgb: Floats  # (h, w, 3) in [0, 255], times cover
    cover: Floats  # (h, w) in [0, 1]


def trim(cutout: Cutout) -> Cutout:
    """The same object without the empty space around it."""
    rows, columns = (np.flatnonzero(cutout.cover.any(axis)) for axis in (1, 0))
    part = tuple(slice(max(0, line[0] - MARGIN_PX), line[-1] + 1 + MARGIN_PX) for line in (rows, columns))
    return Cutout(cutout.rgb[part].copy(), cutout.cover[part].copy(), cutout.mask[part].copy())


def paste(
    scene: Rgb, cutouts: Sequence[Cutout], rng: np.random.Generator, settings: PasteSettings = PasteSettings()
) -> Masked:
    """Objects at random size, place, mirroring and turn on a scene; later ones may hide earlier ones.

    Args:
        scene: (H, W, 3) uint8; not modified.
        cutouts: One for each object that is pasted.
    Returns:
        (H, W, 3) uint8, and (H, W) uint8: 1 where an object covers more than half of a pixel, else 0.
    """
    rgb, targets = scene.astype(np.float32), np.zeros(scene.shape[:2], np.uint8)
    for cutout in cutouts:
        layer = _light(_pose(cutout, scene.shape[:2], rng, settings), scene, rng, settings)
        _place(rgb, targets, layer, rng, settings)
    return Masked(np.rint(rgb).clip(0, 255).astype(np.uint8), targets)


def _pose(cutout: Cutout, hw: tuple[int, int], rng: np.random.Generator, settings: PasteSettings) -> _Layer:
    """Mirrored in half of the cases, shrunk by averaging or enlarged, and turned."""
    side_px = max(LEAST_SIDE_PX, rng.uniform(*settings.size) * min(hw))
    is_mirrored, turn_deg = rng.random() < 0.5, rng.uniform(-settings.turn_deg, settings.turn_deg)
    cover = cutout.cover.astype(np.float32)[..., None] / 255
    whole = np.concatenate([cutout.rgb * cover, cover], 2).astype(np.float32)  # (H, W, 4)
    whole = whole[:, ::-1] if is_mirrored else whole
    scale = side_px / max(whole.shape[:2])
    wh = [max(1, round(length * scale)) for length in whole.shape[1::-1]]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    posed = _turn(cv2.resize(np.ascontiguousarray(whole), wh, interpolation=method), turn_deg)  # (h, w, 4)
    return _Layer(posed[..., :3], posed[..., 3])


def _turn(whole: Floats, turn_deg: float) -> Floats:
    """Turned about its centre, on a canvas that holds all of it."""
    height, width = whole.shape[:2]
    cosine, sine = abs(math.cos(math.radians(turn_deg))), abs(math.sin(math.radians(turn_deg)))
    wh = (math.ceil(width * cosine + height * sine), math.ceil(width * sine + height * cosine))
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn_deg, 1.0)
    matrix[:, 2] += (wh[0] - width) / 2, (wh[1] - height) / 2
    return np.asarray(cv2.warpAffine(whole, matrix, wh, flags=cv2.INTER_LINEAR), np.float32)


def _light(layer: _Layer, scene: Rgb, rng: np.random.Generator, settings: PasteSettings) -> _Layer:
    """Darker or brighter as the scene is, and tinted at random: channels are scaled, so that black stays black."""
    strength = settings.light * rng.random()
    mean = scene.reshape(-1, 3).mean(0)  # (3,)
    towards = np.clip(mean / 128, 0.4, 1.2)  # of a scene of medium brightness: nothing changes
    tint = 1 + rng.uniform(-MOST_TINT, MOST_TINT, 3)
    factors = (1 - strength) + strength * towards * tint  # (3,)
    lit = np.minimum(layer.rgb * factors, 255 * layer.cover[..., None])
    return _Layer(lit.astype(np.float32), layer.cover)


def _place(
    rgb: Floats, targets: NDArray[np.uint8], layer: _Layer, rng: np.random.Generator, settings: PasteSettings
) -> None:
    """Put a layer into the picture, which changes."""
    offsets = [
        _draw_offset(length, own, settings.outside, rng)
        for length, own in zip(targets.shape, layer.cover.shape, strict=True)
    ]
    into = tuple(
        slice(max(0, offset), min(length, offset + own))
        for offset, length, own in zip(offsets, targets.shape, layer.cover.shape, strict=True)
    )
    of = tuple(slice(part.start - offset, part.stop - offset) for part, offset in zip(into, offsets, strict=True))
    cover = layer.cover[of]
    rgb[into] = rgb[into] * (1 - cover[..., None]) + layer.rgb[of]
    targets[into][cover > 0.5] = 1


def _draw_offset(length: int, own: int, outside: float, rng: np.random.Generator) -> int:
    """Where an object of a length begins: inside, or with up to the share ``outside`` of it beyond either end."""
    beyond = outside * own
    low, high = sorted((-beyond, length - own + beyond))
    return round(float(rng.uniform(low, high)))
