"""Pictures with true masks, made from nothing but a seed: patterned shapes on cluttered backgrounds.

A kind of object is known by its outline and by its surface pattern, as a zebra is by its stripes; its colours, place,
size and turn are random and tell nothing. All lengths are relative: a drawing looks the same at every size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Floats = NDArray[np.floating]
Cell = tuple[float, float, float, float]  # x, y, width, height in pixels

MOST_TURN = 0.6  # radians to either side
SUBPIXEL_BITS = 4  # OpenCV takes corners as fixed-point numbers
T = np.linspace(0, 1, 12)
BEZIER = np.stack([(1 - T) ** 2, 2 * T * (1 - T), T**2], axis=1)  # (12, 3): twelve points of a curve from its three


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object, in coordinates where it fills the unit circle, x to the right, y down."""

    outline: tuple[Floats, ...]  # closed curves (N, 2), filled by the even-odd rule
    pattern: Callable[[Floats, Floats], NDArray[np.bool_]]  # x, y to where the second colour is


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture and its truth."""

    rgb: Rgb  # (H, W, 3)
    background: Rgb  # (H, W, 3): the same picture without its objects
    label_map: NDArray[np.uint8]  # (H, W): 0 = background, 1 + i = CLASSES[i]

    @property
    def targets(self) -> NDArray[np.float32]:
        """(C,) 1 for every class that the picture shows, else 0: all that a weakly supervised training may see."""
        return np.isin(np.arange(1, len(CLASSES) + 1), self.label_map).astype(np.float32)


def _polygon(corners: int) -> Floats:
    """(corners, 2), the first one on top."""
    angles = np.arange(corners) * 2 * np.pi / corners
    return np.stack([np.sin(angles), -np.cos(angles)], axis=1)


def _rotation(angle: float) -> Floats:
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


_STAR = _polygon(10) * np.where(np.arange(10) % 2, 0.5, 1.0)[:, None]
_SQUARE = _polygon(4) @ _rotation(np.pi / 4)
_ARM = np.array([[0.32, -0.32], [0.32, -0.95], [-0.32, -0.95]])  # the upper arm of the cross
_CROSS = np.concatenate([_ARM @ _rotation(-turn * np.pi / 2) for turn in range(4)])

KINDS: dict[str, Kind] = {
    "cross": Kind((_CROSS,), lambda x, y: np.maximum(np.sin(14 * x), np.sin(14 * y)) > 0.8),  # a grid of lines
    "disc": Kind((_polygon(48),), lambda x, y: np.cos(11 * x) * np.cos(11 * y) > 0.4),  # dots
    "ring": Kind((_polygon(48), 0.45 * _polygon(48)), lambda x, y: np.sin(14 * np.arctan2(y, x)) > 0),  # spokes
    "square": Kind((_SQUARE,), lambda x, y: np.sin(11 * x) * np.sin(11 * y) > 0),  # checks
    "star": Kind((_STAR,), lambda x, y: np.sin(24 * np.hypot(x, y)) > 0),  # circles
    "triangle": Kind((_polygon(3),), lambda _x, y: np.sin(18 * y) > 0),  # stripes
}
CLASSES: tuple[str, ...] = tuple(KINDS)


def generate_drawings(seed: int, *, side_px: int = 96, most_objects: int = 2) -> Iterator[Drawing]:
    """An endless stream of drawings, the same for the same seed.

    Args:
        side_px: The shorter side. The longer one is up to a third longer, and the picture wide or tall.
        most_objects: 1, or 2 for pictures with one or two objects of different kinds.
    """
    rng = np.random.default_rng(seed)
    while True:
        longer_px = round(side_px * rng.uniform(1, 4 / 3))
        hw = (side_px, longer_px) if rng.random() < 0.5 else (longer_px, side_px)
        count = int(rng.integers(1, most_objects + 1))
        yield draw(rng, hw, [CLASSES[i] for i in rng.permutation(len(CLASSES))[:count]])


def draw(rng: np.random.Generator, hw: tuple[int, int], names: Sequence[str]) -> Drawing:
    """One drawing of height and width hw with one object, or two side by side along the longer side."""
    background = _draw_background(rng, hw)
    rgb = background.copy()  # (H, W, 3)
    label_map = np.zeros(hw, np.uint8)  # (H, W)
    for name, cell in zip(names, _split(rng, hw, len(names)), strict=True):
        centre, axes = _place(rng, hw, cell)
        cover = _cover(hw, KINDS[name], centre, axes)  # (H, W)
        x, y, width, height = cv2.boundingRect(cover)
        part = np.s_[y : y + height, x : x + width]
        surface = _draw_surface(rng, KINDS[name], rgb[part], centre - (x, y), axes)
        rgb[part] = _blend(rgb[part], surface, cover[part])
        label_map[cover > 127] = 1 + CLASSES.index(name)
    return Drawing(rgb, background, label_map)


def _split(rng: np.random.Generator, hw: tuple[int, int], count: int) -> list[Cell]:
    """The whole picture for one object; its two parts along the longer side for two."""
    height, width = hw
    if count == 1:
        return [(0, 0, width, height)]
    cut = rng.uniform(0.45, 0.55)
    if width >= height:
        return [(0, 0, cut * width, height), (cut * width, 0, (1 - cut) * width, height)]
    return [(0, 0, width, cut * height), (0, cut * height, width, (1 - cut) * height)]


def _place(rng: np.random.Generator, hw: tuple[int, int], cell: Cell) -> tuple[Floats, Floats]:
    """Where an object goes inside its cell: centre (2,) and axes (2, 2), pixel = unit @ axes + centre."""
    x, y, width, height = cell
    radius_px = min(rng.uniform(0.28, 0.46) * min(hw), 0.48 * min(width, height))
    centre = (x + rng.uniform(radius_px, width - radius_px), y + rng.uniform(radius_px, height - radius_px))
    squeeze = np.diag([1.0, rng.uniform(0.85, 1.0)])
    return np.array(centre), radius_px * squeeze @ _rotation(rng.uniform(-MOST_TURN, MOST_TURN))


def _cover(hw: tuple[int, int], kind: Kind, centre: Floats, axes: Floats) -> Rgb:
    """(H, W) uint8: 255 inside the object, 0 outside, between them on its edge."""
    cover = np.zeros(hw, np.uint8)
    curves = [_fixed_point(curve @ axes + centre) for curve in kind.outline]
    cv2.fillPoly(cover, curves, 255, cv2.LINE_AA, SUBPIXEL_BITS)
    return cover


def _draw_surface(rng: np.random.Generator, kind: Kind, below: Rgb, centre: Floats, axes: Floats) -> Rgb:
    """(H, W, 3): two colours that stand out from what is below, in the kind's pattern, lit from one side."""
    hw = below.shape[:2]
    x, y = _unit_coordinates(hw, centre, axes)
    candidates = rng.uniform(10, 245, (4, 3))
    first = candidates[np.linalg.norm(candidates - cv2.mean(below)[:3], axis=1).argmax()]  # (3,)
    second = first + np.where(first < 128, 1, -1) * rng.uniform(20, 90, 3)  # (3,)
    light = rng.uniform(-22, 22, 2)
    shade = _noise(rng, hw, np.zeros(1), spread=6, cells=40) + (light[0] * x + light[1] * y)[..., None]  # (H, W, 1)
    colours = np.where(kind.pattern(x, y)[..., None], second, first)  # (H, W, 3)
    return np.clip(colours + shade, 0, 255).astype(np.uint8)


def _unit_coordinates(hw: tuple[int, int], centre: Floats, axes: Floats) -> tuple[Floats, Floats]:
    """x (H, W) and y (H, W) float32 of every pixel in the object's own coordinates."""
    inverse = np.linalg.inv(axes).astype(np.float32)
    rows = np.arange(hw[0], dtype=np.float32)[:, None] - np.float32(centre[1])  # (H, 1)
    columns = np.arange(hw[1], dtype=np.float32)[None] - np.float32(centre[0])  # (1, W)
    return columns * inverse[0, 0] + rows * inverse[1, 0], columns * inverse[0, 1] + rows * inverse[1, 1]


def _draw_background(rng: np.random.Generator, hw: tuple[int, int]) -> Rgb:
    """Colours that flow into each other, grain, and strokes and specks as distractors."""
    base = rng.uniform(50, 205) + rng.normal(0, 22, 3)  # (3,)
    colours = _noise(rng, hw, base, spread=18, cells=4) + _noise(rng, hw, np.zeros(1), spread=9, cells=40)
    background = np.clip(colours, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(3, 9)):
        _draw_stroke(rng, background, base)
    return background


def _draw_stroke(rng: np.random.Generator, canvas: Rgb, base: Floats) -> None:
    """A curved line or a speck, drawn into the canvas."""
    height, width = canvas.shape[:2]
    points = rng.uniform(-0.1, 1.1, (3, 2)) * (width, height)  # (3, 2)
    if rng.random() < 0.4:  # a speck
        points = points[0] + rng.normal(0, 0.04, (3, 2)) * min(height, width)
    thickness_px = max(1, round(rng.uniform(0.01, 0.045) * min(height, width)))
    colour = np.clip(base + rng.normal(0, 45, 3), 0, 255).tolist()
    cv2.polylines(canvas, [_fixed_point(BEZIER @ points)], False, colour, thickness_px, cv2.LINE_AA, SUBPIXEL_BITS)


def _noise(rng: np.random.Generator, hw: tuple[int, int], mean: Floats, *, spread: float, cells: int) -> Floats:
    """(H, W, len(mean)) float32: smooth random values around a mean."""
    grid = rng.standard_normal((cells, cells, len(mean)), np.float32) * np.float32(spread) + mean.astype(np.float32)
    return cv2.resize(grid, hw[::-1], interpolation=cv2.INTER_LINEAR).reshape(*hw, len(mean))  # (H, W, len(mean))


def _fixed_point(curve: Floats) -> NDArray[np.int32]:
    return np.rint(curve * 2**SUBPIXEL_BITS).astype(np.int32)


def _blend(below: Rgb, above: Rgb, cover: Rgb) -> Rgb:
    """(H, W, 3): below where cover is 0, above where it is 255."""
    weight = cover[..., None] * np.float32(1 / 255)  # (H, W, 1)
    return np.rint(below + weight * (above.astype(np.float32) - below)).astype(np.uint8)
