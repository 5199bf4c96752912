"""``weakseg evaluate --gallery``: the best, the median and the worst masks of an evaluation as a page of pictures."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weakseg.codec.pictures import encode_heatmap, encode_overlay
from weakseg.errors import OptionValueError
from weakseg.evaluation.counting import KNOWN, VOC_VALUES, Plan, Record
from weakseg.evaluation.metrics import count_pixels
from weakseg.evaluation.page import Figure, Row, Section, render_page
from weakseg.evaluation.techniques import IN_FORCE
from weakseg.evaluation.voc import Sample
from weakseg.options import Refine
from weakseg.pipeline import Pipeline
from weakseg.refine.bench import shrink_to_side
from weakseg.types import Geometry, Mask, Rgb
from weakseg.voc import VOID

SIDE_PX = 360  # long side of a picture: sharp at half a phone's width
JPEG_QUALITY = 85
TITLES = ("Best", "Median", "Worst")


@dataclass(frozen=True, slots=True)
class Ranked:
    """One class of one photo, with the options in force."""

    image: str
    name: str  # of VOC_CLASSES
    iou: float


def draw_gallery(
    pipeline: Pipeline, samples: Sequence[Sample], records: Sequence[Record], plan: Plan, folder: Path, images: int
) -> Path:
    """Write ``folder/index.html`` and its JPEG pictures; pictures of an earlier gallery are removed.

    Args:
        samples, records: Of the same photos; the records say which rows are shown.
        images: Rows of each of the three parts, at most.
    Returns:
        The page.
    """
    clear_folder(folder)
    by_id = {sample.image_id: sample for sample in samples}
    painter = _Painter(pipeline, plan, folder)
    sections = [
        Section(title, [painter.draw_row(by_id[ranked.image], ranked) for ranked in chosen])
        for title, chosen in zip(TITLES, choose_rows(rank(records), images), strict=True)
    ]
    page = folder / "index.html"
    page.write_text(render_page(f"{pipeline.card.name} {pipeline.card.version}", sections), encoding="utf-8")
    return page


def clear_folder(folder: Path) -> None:
    """Make a gallery's folder, or remove the pictures of an earlier one."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.jpg"):
        stale.unlink()


def rank(records: Sequence[Record]) -> list[Ranked]:
    """Every photo and class of the known-tags task, best IoU first; of equal ones by name."""
    rows = [
        Ranked(record.image, name, share_of_union(counts))
        for record in records
        for name, counts in record.counts[KNOWN].get(IN_FORCE, {}).items()
    ]
    return sorted(rows, key=lambda row: (-row.iou, row.image, row.name))


def choose_rows(ranked: Sequence[Ranked], images: int) -> tuple[list[Ranked], list[Ranked], list[Ranked]]:
    """Best, median and worst rows, ``images`` each at most, none of them twice."""
    count = min(images, max(len(ranked) // 3, 1))
    best, rest = list(ranked[:count]), list(ranked[count:])
    worst = rest[-count:]
    others = rest[:-count]
    start = max((len(ranked) - count) // 2 - count, 0)  # of the rows around the median, counted from the first other
    return best, others[start : start + count], worst


def accepted_refines(pipeline: Pipeline, plan: Plan) -> tuple[str, ...]:
    """The refinements of the plan; where it names none, those of one step that do not contradict its flags."""
    single = [refine.value for refine in Refine if "+" not in refine]
    return plan.refines or tuple(refine for refine in single if _is_accepted(pipeline, plan, refine))


def _is_accepted(pipeline: Pipeline, plan: Plan, refine: str) -> bool:
    try:
        pipeline.card.settings(plan.with_refine(refine).options("auto"))
    except OptionValueError:
        return False
    return True


class _Painter:
    """Draws rows into a folder, one forward pass each."""

    def __init__(self, pipeline: Pipeline, plan: Plan, folder: Path) -> None:
        self._pipeline = pipeline
        self._folder = folder
        in_force = pipeline.card.settings(plan.options("auto")).refine.value
        self._plans = {refine: plan.with_refine(refine) for refine in accepted_refines(pipeline, plan)}
        self._plans = {f"{in_force} (in force)": plan} | self._plans
        self._plans.pop(in_force, None)

    def draw_row(self, sample: Sample, ranked: Ranked) -> Row:
        rgb, values = sample.read(self._pipeline.limits)
        truth, valid = values == VOC_VALUES[ranked.name], values != VOID
        class_map, masks = self._segment(rgb, ranked.name)
        small = shrink_to_side(rgb, SIDE_PX)
        stem = f"{ranked.image}_{ranked.name}"
        restored = Geometry((small.shape[0], small.shape[1])).restore(class_map)[None]  # (1, H, W)
        figures = [
            self._save(f"{stem}_photo", "photo", small),
            self._save(f"{stem}_map", "map", _decode(encode_heatmap(small, restored))),
            *(
                self._save(f"{stem}_{index}", caption_mask(name, truth, mask, valid), paint_mask(small, mask))
                for index, (name, mask) in enumerate(masks.items())
            ),
            self._save(f"{stem}_truth", "ground truth", paint_mask(small, truth)),
        ]
        return Row(ranked.image, ranked.name, ranked.iou, figures)

    def _segment(self, rgb: Rgb, name: str) -> tuple[NDArray[np.float32], dict[str, Mask]]:
        """The class map (h', w'), and the (H, W) mask of each refinement."""
        plans = {title: plan.options(name) for title, plan in self._plans.items()}
        first = self._pipeline.plan(rgb, next(iter(plans.values())))
        output = self._pipeline.forward([first])[0]
        settings = {title: self._pipeline.card.settings(options) for title, options in plans.items()}
        found = {
            title: self._pipeline.finish(dataclasses.replace(first, settings=chosen), output)
            for title, chosen in settings.items()
        }
        return output.maps[0, 0], {title: segmentation.label_map > 0 for title, segmentation in found.items()}

    def _save(self, stem: str, caption: str, rgb: Rgb) -> Figure:
        return save_figure(self._folder / f"{stem}.jpg", caption, rgb)


def save_figure(path: Path, caption: str, rgb: Rgb) -> Figure:
    """Write a (H, W, 3) uint8 picture as a JPEG beside the page."""
    Image.fromarray(rgb).save(path, quality=JPEG_QUALITY)
    return Figure(path.name, caption, rgb.shape[1], rgb.shape[0])


def caption_mask(name: str, truth: Mask, mask: Mask, valid: Mask) -> str:
    """What stands under a mask: its refinement and its IoU."""
    return f"{name}: {share_of_union(count_pixels(truth, mask, valid)):.1%}"


def share_of_union(counts: Sequence[int]) -> float:
    """TP, FP, FN, TN to IoU; 0 where nothing is true and nothing found."""
    hits, false_alarms, misses, _ = counts
    return hits / max(hits + false_alarms + misses, 1)


def paint_mask(rgb: Rgb, mask: Mask) -> Rgb:
    """The photo with a mask of any size laid over it."""
    labels = cv2.resize(mask.astype(np.uint8), rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return _decode(encode_overlay(rgb, labels.astype(np.uint8, copy=False), ()))


def _decode(png: bytes) -> Rgb:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB"))
