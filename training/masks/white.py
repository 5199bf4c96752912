"""Photos of an object on a white or otherwise plain background: its mask, and the object cut out with soft edges."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import watershed

from weakseg.errors import DataError
from weakseg.types import Mask, Rgb

Floats = NDArray[np.float32]

LARGEST_PX = 1024  # a larger photo's mask is found in a reduced copy
BORDER_SHARE = 0.02  # of the short side: where nothing but background is expected
NOISES = 4.0  # a pixel that differs from the background by so many deviations of its noise is none of it
FLAT = 0.8  # mean difference around a pixel, in grey values, up to which it is surely background
REACH = 0.07, 0.12  # of the object's side: gaps that are bridged, and how far beyond them its outline may lie
SHADOW_BAND = 0.1  # of the object's height: a shadow on the ground is no higher,
SHADOW_FROM = 0.6  # lies in the lower part, from this share on,
SHADOW_CHROMA = 10.0  # has the background's hue, up to so many grey values,
SHADOW_DARKEST = 0.25  # and keeps this share of its brightness
RING_PX, RING = 15, 0.1  # JPEG rings so far around an edge (two blocks), by up to this share of its height
MEDIAN_PX = 5
ALIKE = 0.2  # a pixel resembles its neighbours if it is nearer to them than this share of what sets them apart
FRINGE = 0.4  # a pixel on the rim that differs less than this share of what lies behind it is mostly background
EDGE_PX = 0.7  # sigma of the soft edge
SPREAD_PX = 7  # holds all of the soft edge
LEAST_COVER = 0.3  # below, a pixel's own colour is too uncertain


@dataclass(frozen=True, slots=True)
class WhiteSettings:
    """How a mask is told from a plain background.

    Args:
        threshold: Least difference from the background in one channel, in grey values of 255. More where it is noisy.
        holes: Holes up to this share of the object are filled; larger ones show the background.
        specks: Parts up to this share of the largest one are removed.
        shadows: Look for a shadow below the object, and leave it out.
    """

    threshold: float = 5.0
    holes: float = 0.01
    specks: float = 0.01
    shadows: bool = True


@dataclass(frozen=True, slots=True)
class Cutout:
    """An object, ready to be pasted."""

    rgb: Rgb  # (H, W, 3): without the background's colour on the edges
    cover: NDArray[np.uint8]  # (H, W): 255 inside, 0 outside, between them on the edge
    mask: Mask  # (H, W)


def mask_white(rgb: Rgb, settings: WhiteSettings = WhiteSettings()) -> Mask:
    """What is not background in a photo with a plain one.

    Sneaker paper, section "Data": "setting the white backgrounds to a value of 0 and anything not within some small
    range of white to 1". Differs from it: the background's colour is measured at the photo's border, as #f5f5f5 is
    common and pale shoes are brighter; the threshold only finds what is surely object and surely background, and a
    watershed on the colour gradient puts the outline in between, which closes pale outlines and separates soft shadows
    from soles; fringes, holes and specks are cleaned up.

    Args:
        rgb: (H, W, 3) uint8.
    Returns:
        (H, W) bool; all False where everything is background.
    """
    scale = LARGEST_PX / max(rgb.shape[:2])
    if scale >= 1:
        return _find(rgb, settings)
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    mask = _find(np.asarray(small, np.uint8), settings).astype(np.float32)
    return cv2.resize(mask, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR) >= 0.5  # (H, W)


def cut_out(rgb: Rgb, settings: WhiteSettings = WhiteSettings()) -> Cutout:
    """The object of a photo with a plain background.

    A pixel on the edge is a mixture of object and background; the background's share of its colour is taken out.

    Raises:
        DataError: there is nothing but background.
    """
    mask = mask_white(rgb, settings)
    if not mask.any():
        raise DataError("there is nothing but background in the photo.")
    cover = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), EDGE_PX)  # (H, W)
    colour, _ = measure_background(rgb)
    own = np.clip(colour + (rgb - colour) / np.maximum(cover, LEAST_COVER)[..., None], 0, 255)  # (H, W, 3)
    return Cutout(_to_bytes(_spread(own, mask)), _to_bytes(cover * 255), mask)


def _spread(rgb: Floats, mask: Mask) -> Floats:
    """Colours (H, W, 3) of a mask, carried on a little beyond it."""
    weights = cv2.blur(mask.astype(np.float32), (SPREAD_PX, SPREAD_PX))[..., None]  # (H, W, 1)
    around = cv2.blur((rgb * mask[..., None]).astype(np.float32), (SPREAD_PX, SPREAD_PX))
    return np.where(mask[..., None], rgb, around / np.maximum(weights, 1e-6))


def measure_background(rgb: Rgb) -> tuple[Floats, float]:
    """The median colour (3,) of the photo's border, and the deviation of the border's pixels from it."""
    width = max(1, round(min(rgb.shape[:2]) * BORDER_SHARE))
    sides = (rgb[:width], rgb[-width:], rgb[:, :width], rgb[:, -width:])
    pixels = np.concatenate([side.reshape(-1, 3) for side in sides]).astype(np.float32)  # (N, 3)
    colour = np.median(pixels, axis=0)
    return colour, 1.4826 * float(np.median(np.abs(pixels - colour).max(1)))  # MAD to standard deviation


def _find(rgb: Rgb, settings: WhiteSettings) -> Mask:
    colour, noise = measure_background(rgb)
    difference = rgb.astype(np.float32) - colour  # (H, W, 3)
    threshold = max(settings.threshold, NOISES * noise)
    distance = np.abs(difference).max(2)  # (H, W)
    strong = drop_specks(_differs(difference, threshold), settings.specks / 5)
    strong = fill_holes(strong, settings.holes)
    if not strong.any():
        return strong
    shadow = _find_shadow(strong, difference, threshold) if settings.shadows else np.zeros_like(strong)
    inside = _surely_inside(strong, shadow)
    outside = _surely_outside(strong, difference, max(FLAT, 2 * noise))
    mask = watershed(_gradient(rgb), inside + 2 * outside.astype(np.int32)) == 1
    mask |= strong & _grow(mask) & (~shadow | _resembles(mask, difference))  # a gradient's ridge is two pixels wide
    mask = _smooth(_trim_fringe(mask, distance))
    return drop_specks(fill_holes(mask, settings.holes), settings.specks)


def _differs(difference: Floats, threshold: float) -> Mask:
    """Pixels that are neither background nor what a JPEG adds beside a strong edge.

    That is ringing, which has no median, and colour that bleeds, which has no brightness: a white sole beside a black
    shoe has both.
    """
    distance = np.abs(cv2.GaussianBlur(difference, (0, 0), 0.8)).max(2)  # (H, W)
    rings = RING * cv2.dilate(distance, np.ones((RING_PX, RING_PX), np.uint8))
    light = np.abs(cv2.medianBlur(difference.mean(2), MEDIAN_PX))  # (H, W)
    return (distance >= np.maximum(threshold, rings)) | (light >= threshold)


def _surely_inside(strong: Mask, shadow: Mask) -> Mask:
    """Without its rim and the shadow; thin parts, which have nothing else, in full, but not a shadow's rim."""
    core = cv2.erode((strong & ~shadow).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    return core | (strong & ~_grow(core | shadow, 2))


def _surely_outside(strong: Mask, difference: Floats, flat: float) -> Mask:
    """Flat as the background, in holes and beyond the object and its gaps; and all that is far away."""
    side = float(np.sqrt(strong.sum()))
    bridged, far = (max(2, round(share * side)) for share in REACH)
    closed = cv2.morphologyEx(strong.astype(np.uint8), cv2.MORPH_CLOSE, _disc(bridged)).astype(bool)
    is_flat = cv2.blur(np.abs(difference).max(2), (5, 5)) < flat
    beyond = cv2.dilate(closed.astype(np.uint8), _disc(far)) == 0
    holes = fill_holes(strong, 1) & ~strong
    return beyond | (is_flat & (~closed | holes))


def _find_shadow(strong: Mask, difference: Floats, threshold: float) -> Mask:
    """Neutral, darker than the background but not dark, and at the lower contour: a shadow, or a sole like one."""
    rows = np.flatnonzero(strong.any(1))
    height = int(rows[-1] - rows[0]) + 1
    band = max(2, round(SHADOW_BAND * height))
    ends_below = np.cumsum(strong[::-1], axis=0)[::-1] <= band  # (H, W): at most so many pixels follow below
    ends_below[: rows[0] + round(SHADOW_FROM * height)] = False
    light = difference.mean(2)  # (H, W)
    chroma = np.abs(difference - light[..., None]).max(2)
    darkest = -(1 - SHADOW_DARKEST) * 255
    return strong & ends_below & (chroma < SHADOW_CHROMA) & (light < -threshold) & (light > darkest)


def _gradient(rgb: Rgb) -> Floats:
    """(H, W): length of the colour gradient, largest channel per direction."""
    smooth = cv2.GaussianBlur(rgb.astype(np.float32), (0, 0), EDGE_PX)
    slopes = [np.abs(cv2.Sobel(smooth, cv2.CV_32F, dx, 1 - dx)).max(2) for dx in (0, 1)]
    return np.hypot(*slopes)


def _resembles(mask: Mask, difference: Floats) -> Mask:
    """Pixels that differ from the background as the mask's pixels around them do on average."""
    weights = mask.astype(np.float32)
    count = np.maximum(cv2.blur(weights, (3, 3)), 1e-6)[..., None]  # (H, W, 1)
    around = cv2.blur(difference * weights[..., None], (3, 3)) / count  # (H, W, 3)
    return np.abs(difference - around).max(2) <= ALIKE * np.abs(around).max(2)


def _trim_fringe(mask: Mask, distance: Floats) -> Mask:
    """Without pixels on the rim that are mostly background, judged by the strongest of their neighbours."""
    rim = mask & _grow(~mask)
    behind = cv2.dilate(distance * mask, np.ones((3, 3), np.uint8))  # (H, W)
    return mask & ~(rim & (distance < FRINGE * behind))


def _smooth(mask: Mask) -> Mask:
    """Fill notches and take off spurs of one pixel; straight edges and corners stay."""
    count = cv2.filter2D(mask.astype(np.float32), -1, np.ones((3, 3), np.float32))  # (H, W) in the 3 x 3 around
    return (mask & (count > 3)) | (count >= 6)


def fill_holes(mask: Mask, share: float) -> Mask:
    """Fill enclosed holes of up to this share of the mask's area."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    is_hole = stats[:, cv2.CC_STAT_AREA] <= share * mask.sum()
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    is_hole[border] = is_hole[0] = False
    return mask | is_hole[labels]


def drop_specks(mask: Mask, share: float) -> Mask:
    """Remove parts of up to this share of the largest one."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count == 1:
        return mask
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0  # the background
    return (areas > share * areas.max())[labels]


def _grow(mask: Mask, steps: int = 1) -> Mask:
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=steps).astype(bool)


def _disc(radius_px: int) -> NDArray[np.uint8]:
    side = 2 * radius_px + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def _to_bytes(values: Floats) -> NDArray[np.uint8]:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
