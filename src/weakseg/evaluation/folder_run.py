"""``weakseg evaluate --images --masks``: a network that labels pixels, measured on photos and masks in two folders."""

from __future__ import annotations

import dataclasses
import functools
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from weakseg.archive import find_archive, open_archive
from weakseg.card import ModelCard
from weakseg.errors import DataError, RequestError
from weakseg.evaluation.counting import Plan, list_entries, refine_variants, sum_entries
from weakseg.evaluation.evaluator import ArchiveOpener, OpenPipeline, count_all, open_once
from weakseg.evaluation.folder_gallery import draw_folder_gallery
from weakseg.evaluation.folder_records import FolderRecord, ask_for_all
from weakseg.evaluation.folder_tables import render_folders
from weakseg.evaluation.folders import FolderSample, read_folders
from weakseg.evaluation.metrics import confuse, one_against_rest, score, score_masks
from weakseg.evaluation.records import RecordFile, take_fingerprint, take_stamps
from weakseg.evaluation.results import BACKGROUND, Document, describe_card, software_versions, write_results
from weakseg.evaluation.run import announce, show_model, show_path
from weakseg.evaluation.techniques import IN_FORCE, refined
from weakseg.evaluation.workers import count_cores
from weakseg.option_values import MAX_CLASSES
from weakseg.voc import VOID
from weakseg.work import check_settings


@dataclass(frozen=True, slots=True)
class FolderOrder:
    """What was asked for; see ``weakseg evaluate --help`` and `weakseg.evaluation.run.Order`.

    Args:
        names: A file of names; None: every photo that has a mask.
        void: Mask value that counts nowhere; None: 255, or none where the model has one class.
        gallery_images: Rows of the gallery's three parts; 0: no gallery.
    """

    images: Path
    masks: Path
    names: Path | None
    model: str
    store: Path
    out: Path
    void: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    refines: tuple[str, ...] = ()
    every: int = 1
    gallery_images: int = 0
    jobs: int | None = None
    restart: bool = False


def run_folders(order: FolderOrder, say: Callable[[str], None]) -> Document:
    """Measure, or go on where a stopped run was; write results.json and results.md into ``order.out``.

    Raises:
        DataError: the folders lack something, or the model labels no pixels or more than 20 classes. ModelError: no
            such archive. RequestError: a wrong option.
    """
    started = time.monotonic()
    model = find_archive(order.model, order.store)
    card = open_archive(model).card
    _check(card)
    if order.void is not None and not 0 <= order.void <= 255:
        raise DataError(f"--void {order.void}: values of masks are 0 to 255.")
    void = VOID if order.void is None and len(card.classes) > 1 else order.void
    samples = read_folders(order.images, order.masks, order.names, classes=len(card.classes), void=void)[:: order.every]
    plan = Plan(card.classes, order.options, order.refines)
    for asked in (plan, *map(plan.with_refine, plan.refines)):
        check_settings(card.settings(ask_for_all(asked)))
    inputs = {
        "photos": [sample.image_id for sample in samples],
        "files": take_stamps(samples),
        "void": void,
        "software": software_versions(),
        **dataclasses.asdict(plan),
    }
    fingerprint = take_fingerprint(model, inputs)
    records = RecordFile(order.out / "records.jsonl", fingerprint, FolderRecord, restart=order.restart)
    announce(records, order.out, len(samples), say)
    count = functools.partial(_count, ArchiveOpener(model), plan)
    found = count_all(count, samples, records, jobs=order.jobs or count_cores())
    results = build_folder_results(card, found, plan, order)
    write_results(results, order.out / "results.json")
    (order.out / "results.md").write_text(render_folders(results), encoding="utf-8")
    if order.gallery_images:
        opened = ArchiveOpener(model)()
        page = draw_folder_gallery(opened, samples, found, plan, order.out / "gallery", order.gallery_images)
        say(f"gallery in {page}")
    say(f"{len(samples)} photos in {time.monotonic() - started:.0f} s; results in {order.out / 'results.md'}")
    return results


def _check(card: ModelCard) -> None:
    if not card.labels_pixels:
        raise DataError(
            f"{card.name} makes {card.method} maps: --images and --masks measure models that label every pixel."
            " Measure this one with --voc."
        )
    if len(card.classes) > MAX_CLASSES:
        raise DataError(
            f"{card.name} has {len(card.classes)} classes; one request asks for {MAX_CLASSES} of them at most."
        )


def _count(open_pipeline: OpenPipeline, plan: Plan, sample: FolderSample) -> FolderRecord:
    return count_photo(open_once(open_pipeline), plan, sample)


def count_photo(pipeline: Any, plan: Plan, sample: FolderSample) -> FolderRecord:
    """One request for all classes, refined in every way, and compared with its mask.

    Raises:
        DataError: the files are broken, or the model cannot answer (names the photo).
    """
    rgb, truth = sample.read(pipeline.limits)
    try:
        request = pipeline.plan(rgb, ask_for_all(plan))
        _, found, times_ms = refine_variants(pipeline, request, plan, ask_for_all)
    except RequestError as error:
        raise DataError(f"{sample.image_id}: {error}") from error
    size = sample.classes + 1
    confusions = {
        variant: list_entries(confuse(truth, segmentation.label_map, size, VOID))
        for variant, segmentation in found.items()
    }
    return FolderRecord(sample.image_id, confusions, times_ms)


def build_folder_results(card: ModelCard, records: Sequence[FolderRecord], plan: Plan, order: FolderOrder) -> Document:
    """The results document, JSON-ready; fractions in [0, 1], null where there is nothing to say."""
    document: Document = {
        **describe_card(card),
        "data": (order.names or order.images).stem,
        "images": len(records),
        "command": command_line(order),
        "flags": dict(plan.flags),
        "software": software_versions(),
        "classes_from": "the model: all its classes asked for at once; one label per pixel",
        **_summarise(card, records, plan, IN_FORCE),
        "timings": _summarise_timings(records),
    }
    if plan.refines:
        document["refines"] = {
            refine: _summarise(card, records, plan.with_refine(refine), refined(refine)) for refine in plan.refines
        }
    return document


def _summarise(card: ModelCard, records: Sequence[FolderRecord], plan: Plan, variant: str) -> Document:
    names = (BACKGROUND, *card.classes)
    confusion = sum_entries((record.confusions[variant] for record in records), len(names))  # (C + 1, C + 1)
    return {
        "options": card.settings(ask_for_all(plan)).model_dump(mode="json", exclude_none=True),
        **score_masks(confusion).as_dict(),
        "per_class": score(one_against_rest(confusion), names).per_class,
    }


def _summarise_timings(records: Sequence[FolderRecord]) -> Document:
    """Means over photos, of the options in force, each on one thread of the machine that counted them."""
    network_ms, refine_ms = np.mean([record.times_ms for record in records], axis=0).tolist()
    return {
        "photos": len(records),
        "network_mean_ms": round(network_ms, 1),
        "refine_mean_ms": round(refine_ms, 1),
        "total_mean_ms": round(network_ms + refine_ms, 1),
    }


def command_line(order: FolderOrder) -> str:
    """The command that repeats a measurement from the same working directory, to which its paths are relative."""
    parts = ["weakseg", "evaluate", "--images", show_path(order.images), "--masks", show_path(order.masks)]
    parts += ["--list", show_path(order.names)] if order.names else []
    parts += ["--model", show_model(order.model)]
    parts += ["--void", str(order.void)] if order.void is not None else []
    for name, value in order.options.items():
        parts += [f"--{name.replace('_', '-')}", value]
    parts += ["--every", str(order.every)] if order.every > 1 else []
    parts += ["--refines", ",".join(order.refines)] if order.refines else []
    return shlex.join([*parts, "--out", show_path(order.out)])
