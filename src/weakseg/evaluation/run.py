"""One evaluation from the order to the report."""

from __future__ import annotations

import dataclasses
import os
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weakseg.archive import find_archive, open_archive
from weakseg.card import ModelCard
from weakseg.errors import DataError
from weakseg.evaluation.counting import Plan, Record
from weakseg.evaluation.evaluator import ArchiveOpener, evaluate
from weakseg.evaluation.gallery import draw_gallery
from weakseg.evaluation.records import RecordFile, take_fingerprint, take_stamps
from weakseg.evaluation.report import write_report
from weakseg.evaluation.results import (
    BACKGROUND,
    OTHERS,
    OWN,
    Document,
    build_results,
    read_thresholds,
    software_versions,
)
from weakseg.evaluation.techniques import SWEEP_SIDE_PX
from weakseg.evaluation.voc import Sample, read_split
from weakseg.evaluation.workers import count_cores
from weakseg.voc import VOC_CLASSES
from weakseg.work import check_settings


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for; see ``weakseg evaluate --help``.

    Args:
        model: Name in ``store``, or path of an archive.
        options: Options of every request (refine, grabcut_mode, iterations, threshold) as text.
        over: VOC classes; None: those that have boxes in the split.
        refines: More values of the option ``refine``, on the same maps, some with a threshold: ``crf@0.3``.
        others: What true pixels of other classes are with predicted tags, see `weakseg.evaluation.results.OTHERS`;
            None: background where the model labels pixels, otherwise pixels of a class of their own.
        every: Use each n-th photo of the split.
        gallery_images: Rows of the gallery's three parts; 0: no gallery.
        jobs: Worker processes; None: one per core.
    """

    voc: Path
    split: str
    model: str
    store: Path
    out: Path
    options: Mapping[str, str] = field(default_factory=dict)
    over: tuple[str, ...] | None = None
    others: str | None = None
    refines: tuple[str, ...] = ()
    sweep: bool = False
    sweep_side_px: int = SWEEP_SIDE_PX
    thresholds_from: Path | None = None
    every: int = 1
    gallery_images: int = 0
    jobs: int | None = None
    restart: bool = False


def run(order: Order, say: Callable[[str], None]) -> Document:
    """Evaluate, or go on where a stopped run was; write the report into ``order.out``.

    Args:
        say: Told in words what happens.
    Returns:
        The results document.
    Raises:
        DataError: the folder lacks something. ModelError: no such archive. RequestError: a wrong option, or a class
            that the model does not have.
    """
    started = time.monotonic()
    if order.others not in (None, *OTHERS):
        raise DataError(f"--others {order.others}: give one of {', '.join(OTHERS)}.")
    model = find_archive(order.model, order.store)
    card = open_archive(model).card
    chosen = read_thresholds(order.thresholds_from) if order.thresholds_from else None
    samples = read_split(order.voc, order.split)[:: order.every]
    plan = Plan(choose_classes(order.over, samples), order.options, order.refines, order.sweep, order.sweep_side_px)
    _check(card, plan)
    fingerprint = take_fingerprint(model, _inputs(order, samples, plan))
    records = RecordFile(order.out / "records.jsonl", fingerprint, Record, restart=order.restart)
    announce(records, order.out, len(samples), say)
    found = evaluate(ArchiveOpener(model), samples, plan, records, jobs=order.jobs or count_cores())
    others = order.others or (BACKGROUND if card.labels_pixels else OWN)
    results = build_results(
        card, found, plan, split=order.split, command=command_line(order), chosen=chosen, others=others
    )
    write_report(results, order.out)
    if order.gallery_images:
        page = draw_gallery(ArchiveOpener(model)(), samples, found, plan, order.out / "gallery", order.gallery_images)
        say(f"gallery in {page}")
    say(f"{len(samples)} photos in {time.monotonic() - started:.0f} s; results in {order.out / 'results.md'}")
    return results


def choose_classes(over: Sequence[str] | None, samples: Sequence[Sample]) -> tuple[str, ...]:
    """The classes that were asked for, or those that have boxes, in VOC's order.

    Raises:
        DataError: a name that VOC does not have, or no class at all.
    """
    unknown = [name for name in over or () if name not in VOC_CLASSES]
    if unknown:
        raise DataError(f"--over {', '.join(unknown)}: VOC's classes are {', '.join(VOC_CLASSES)}.")
    wanted = set(over or (labelled.name for sample in samples for labelled in sample.boxes))
    if not wanted:
        raise DataError("No photo of the split has a box. Name the classes with --over.")
    return tuple(name for name in VOC_CLASSES if name in wanted)


def command_line(order: Order) -> str:
    """The command that repeats an evaluation from the same working directory, to which its paths are relative."""
    parts = [
        "weakseg",
        "evaluate",
        "--voc",
        show_path(order.voc),
        "--split",
        order.split,
        "--model",
        show_model(order.model),
    ]
    for name, value in order.options.items():
        parts += [f"--{name.replace('_', '-')}", value]
    parts += ["--every", str(order.every)] if order.every > 1 else []
    parts += ["--over", ",".join(order.over)] if order.over else []
    parts += ["--others", order.others] if order.others else []
    parts += ["--refines", ",".join(order.refines)] if order.refines else []
    parts += ["--sweep", "--sweep-side", str(order.sweep_side_px)] if order.sweep else []
    parts += ["--thresholds-from", show_path(order.thresholds_from)] if order.thresholds_from else []
    return shlex.join([*parts, "--out", show_path(order.out)])


def show_model(model: str) -> str:
    """A path as `show_path` has it, a name as it is."""
    return show_path(Path(model)) if Path(model).exists() else model


def show_path(path: Path) -> str:
    """Relative to the working directory."""
    return Path(os.path.relpath(path)).as_posix()


def _check(card: ModelCard, plan: Plan) -> None:
    """Before hours of work: are all options valid, and does the model know all classes?"""
    for asked in (plan, *map(plan.with_refine, plan.refines)):
        options = asked.tag_options(card.vocabulary(), labels_pixels=card.labels_pixels)
        if options.is_auto:
            raise DataError(
                "refine=auto depends on the speed of this machine: evaluate what it may choose (--refines)."
            )
        check_settings(card.settings(options))
    for name in plan.over:
        card.vocabulary().resolve(name)


def _inputs(order: Order, samples: Sequence[Sample], plan: Plan) -> dict[str, Any]:
    """What the counts depend on beside the model and the code; JSON-ready."""
    boxes = {sample.image_id: [[item.name, *item.box.as_list()] for item in sample.boxes] for sample in samples}
    return {
        "split": order.split,
        "photos": boxes,
        "files": take_stamps(samples),
        "software": software_versions(),
        **dataclasses.asdict(plan),
    }


def announce(records: RecordFile[Any], out: Path, count: int, say: Callable[[str], None]) -> None:
    """Say whether a run goes on where another one stopped."""
    if records.finished:
        say(f"{len(records.finished)} of {count} photos are finished already; --restart forgets them.")
    elif records.started_anew:
        say(f"{out} held another evaluation (other model, options, photos, code or libraries): it starts anew.")
