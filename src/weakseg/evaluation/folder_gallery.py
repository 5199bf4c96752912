"""``weakseg evaluate --images --masks --gallery``: best, median and worst masks of a network that labels pixels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from weakseg.evaluation.counting import Plan, refine_variants, sum_entries
from weakseg.evaluation.folder_records import FolderRecord, ask_for_all
from weakseg.evaluation.folders import FolderSample
from weakseg.evaluation.gallery import (
    SIDE_PX,
    TITLES,
    Ranked,
    caption_mask,
    choose_rows,
    clear_folder,
    paint_mask,
    save_figure,
    share_of_union,
)
from weakseg.evaluation.metrics import one_against_rest
from weakseg.evaluation.page import Row, Section, render_page
from weakseg.evaluation.techniques import IN_FORCE, refined
from weakseg.pipeline import Pipeline
from weakseg.refine.bench import shrink_to_side
from weakseg.types import LabelMap, Rgb
from weakseg.voc import VOID

NOTE = (
    "Rows are ranked by the IoU of the options in force, one class of one photo each; photos without a true pixel of a "
    "class are not among its rows. All classes were asked for at once. Under each mask stand its refinement and its "
    "IoU; void pixels count nowhere. The photos belong to the data set: mind their licence before you publish this "
    "page."
)


def draw_folder_gallery(
    pipeline: Pipeline,
    samples: Sequence[FolderSample],
    records: Sequence[FolderRecord],
    plan: Plan,
    folder: Path,
    images: int,
) -> Path:
    """Write ``folder/index.html`` and its JPEG pictures; pictures of an earlier gallery are removed.

    Args:
        samples, records: Of the same photos; the records say which rows are shown.
        plan: Its refinements are shown beside the one in force.
        images: Rows of each of the three parts, at most.
    Returns:
        The page.
    """
    clear_folder(folder)
    by_id = {sample.image_id: sample for sample in samples}
    ranked = rank_photos(records, pipeline.card.classes)
    sections = [
        Section(title, [_draw_row(pipeline, by_id[each.image], each, plan, folder) for each in chosen])
        for title, chosen in zip(TITLES, choose_rows(ranked, images), strict=True)
    ]
    page = folder / "index.html"
    page.write_text(render_page(f"{pipeline.card.name} {pipeline.card.version}", sections, NOTE), encoding="utf-8")
    return page


def rank_photos(records: Sequence[FolderRecord], classes: Sequence[str]) -> list[Ranked]:
    """Every photo and class that it truly shows, best IoU first; of equal ones by name."""
    rows = [
        Ranked(record.image, name, share_of_union(counts))
        for record in records
        for name, counts in _count_classes(record, classes).items()
        if counts[0] + counts[2]  # TP + FN
    ]
    return sorted(rows, key=lambda row: (-row.iou, row.image, row.name))


def _count_classes(record: FolderRecord, classes: Sequence[str]) -> Mapping[str, list[int]]:
    """Class to TP, FP, FN, TN, without the background."""
    confusion = sum_entries([record.confusions[IN_FORCE]], len(classes) + 1)  # (C + 1, C + 1)
    return dict(zip(classes, one_against_rest(confusion)[1:].tolist(), strict=True))


def _draw_row(pipeline: Pipeline, sample: FolderSample, ranked: Ranked, plan: Plan, folder: Path) -> Row:
    rgb, truth = sample.read(pipeline.limits)
    value = pipeline.card.classes.index(ranked.name) + 1
    stem = f"{ranked.image}_{_as_file_name(ranked.name, value)}"
    small = shrink_to_side(rgb, SIDE_PX)
    figures = [save_figure(folder / f"{stem}_photo.jpg", "photo", small)]
    for number, (name, labels) in enumerate(_segment(pipeline, rgb, plan).items()):
        caption = caption_mask(name, truth == value, labels == value, truth != VOID)
        figures.append(save_figure(folder / f"{stem}_{number}.jpg", caption, paint_mask(small, labels == value)))
    figures.append(save_figure(folder / f"{stem}_truth.jpg", "ground truth", paint_mask(small, truth == value)))
    return Row(ranked.image, ranked.name, ranked.iou, figures)


def _as_file_name(name: str, value: int) -> str:
    """A class's name without what file names must not have; then with its value, so that it stays the only one."""
    changed = re.sub(r'[\\/:*?"<>|\x00-\x1f]', "_", name)
    return name if changed == name else f"{changed}_{value}"


def _segment(pipeline: Pipeline, rgb: Rgb, plan: Plan) -> dict[str, LabelMap]:
    """What stands under a mask, to the label map (H, W): the options in force first."""
    request = pipeline.plan(rgb, ask_for_all(plan))
    _, found, _ = refine_variants(pipeline, request, plan, ask_for_all)
    in_force = request.settings.refine.value
    maps = {f"{in_force} (in force)": found[IN_FORCE].label_map}
    return maps | {name: found[refined(name)].label_map for name in plan.refines if name != in_force}
