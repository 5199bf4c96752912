"""One search from the order to the report."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from weakseg.archive import find_archive, open_archive
from weakseg.card import ModelCard
from weakseg.errors import DataError
from weakseg.evaluation.evaluator import ArchiveOpener
from weakseg.evaluation.records import RecordFile, take_fingerprint, take_stamps
from weakseg.evaluation.results import Document, software_versions
from weakseg.evaluation.run import choose_classes
from weakseg.evaluation.voc import Sample, read_split
from weakseg.evaluation.workers import Workers, count_cores
from weakseg.fields import merge_fields
from weakseg.options import Refine
from weakseg.tuning.grid import Axis, Point, crf_axes, guided_axes, read_values, starting_point, threshold_axes
from weakseg.tuning.maps import MapFolder
from weakseg.tuning.measure import Trials, fill_maps
from weakseg.tuning.report import write_report
from weakseg.tuning.search import Scoreboard, all_points, climb
from weakseg.tuning.trials import Trial

HELD_OUT = ("val", "test")  # splits on which results are reported


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for; see ``weakseg tune crf --help``.

    Args:
        command: ``crf`` or ``threshold``.
        card: YAML file of card fields that replace the archive's before the search starts: an earlier ``tuned.yaml``.
        grid: YAML file of values, see `weakseg.tuning.grid.read_values`.
        side_px: The ``refine_side`` to tune for; None: the card's.
        maps: Folder of the maps; None: inside ``out``.
        even_held_out: Whether splits that results are reported on are allowed.
    """

    command: str
    refine: Refine
    voc: Path
    split: str
    model: str
    store: Path
    out: Path
    over: tuple[str, ...] | None = None
    card: Path | None = None
    grid: Path | None = None
    side_px: int | None = None
    maps: Path | None = None
    rounds: int = 3
    folds: int = 5
    every: int = 1
    jobs: int | None = None
    restart: bool = False
    even_held_out: bool = False

    @property
    def climbs(self) -> bool:
        """Whether its grid is too large to be measured whole."""
        return self.refine.has_crf or self.refine.guides


def run(order: Order, say: Callable[[str], None]) -> Document:
    """Search, or go on where a stopped search was; write tuned.yaml and the report into ``order.out``.

    Args:
        say: Told in words what happens.
    Returns:
        The document of tune.json.
    Raises:
        DataError: the folder lacks something, or the split is not for choosing. ModelError: no such archive.
    """
    started = time.monotonic()
    _check_split(order)
    model = find_archive(order.model, order.store)
    card = change_card(open_archive(model).card, order.card, order.side_px)
    samples = read_split(order.voc, order.split)[:: order.every]
    over = choose_classes(order.over, samples)
    for name in over:
        card.vocabulary().resolve(name)
    axes = choose_axes(order)
    of_maps, of_trials = _take_fingerprints(order, model, card, samples, over, axes)
    folder = MapFolder(order.maps or order.out / "maps", of_maps)
    records = RecordFile(order.out / "trials.jsonl", of_trials, Trial, restart=order.restart)
    _announce(records, order, say)
    with Workers(order.jobs or count_cores()) as workers:
        fill_maps(folder, samples, over, ArchiveOpener(model), workers)
        trials = Trials(card, order.refine, samples, folder, records, workers, Scoreboard(over), say)
        winner = _search(axes, starting_point(card, order.refine, axes), trials.measure, order)
    document = write_report(order.out, card, order.refine, axes, trials.board, winner, _facts(order, card, samples))
    say(f"{len(samples)} photos, {len(trials.board.points)} points in {time.monotonic() - started:.0f} s")
    return document


def _take_fingerprints(
    order: Order, model: Path, card: ModelCard, samples: Sequence[Sample], over: Sequence[str], axes: Sequence[Axis]
) -> tuple[str, str]:
    """Of all that maps depend on, and of all that trials depend on."""
    of_maps = take_fingerprint(model, {"over": over, "photos": take_stamps(samples), "software": software_versions()})
    of_trials = {
        "maps": of_maps,
        "card": card.model_dump(mode="json"),
        "refine": order.refine,
        "axes": [[axis.name, axis.values] for axis in axes],
        "rounds": order.rounds,
    }
    return of_maps, take_fingerprint(model, of_trials)


def choose_axes(order: Order) -> tuple[Axis, ...]:
    list_axes = crf_axes if order.refine.has_crf else guided_axes if order.refine.guides else threshold_axes
    axes = list_axes(order.refine)
    return axes if order.grid is None else read_values(order.grid, axes)


def change_card(card: ModelCard, path: Path | None, side_px: int | None) -> ModelCard:
    """The archive's card with the fields of a YAML file and another ``refine_side`` in their place.

    Raises:
        DataError: the file cannot be read, or has a field that no card has.
    """
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8")) if path else {}
        side = (
            {}
            if side_px is None
            else {"refine_side": side_px, **dict.fromkeys(("guided_side", "crf_side", "grabcut_side"))}
        )
        return ModelCard.model_validate(merge_fields(card.model_dump(), {**fields, **side}))
    except (OSError, yaml.YAMLError, TypeError, ValueError) as error:
        raise DataError(f"{path} holds no fields of a model card: {error}") from error


def _check_split(order: Order) -> None:
    if order.split in HELD_OUT and not order.even_held_out:
        raise DataError(
            f"Settings that are chosen on {order.split!r} make every result on it worthless. Choose on training photos"
            " (--split train_official), or say --even-held-out."
        )


def _search(
    axes: Sequence[Axis], start: Point, measure: Callable[[Sequence[Point]], Sequence[float]], order: Order
) -> Point:
    """Thresholds share one pass, so that their whole grid is measured; larger grids are climbed."""
    if order.climbs:
        return climb(axes, start, measure, rounds=order.rounds)
    points = all_points(axes)
    return points[int(np.argmax(measure(points)))]


def command_line(order: Order) -> str:
    """The command that repeats a search from the same working directory, to which its paths are relative."""
    model = _shown(Path(order.model)) if Path(order.model).exists() else order.model
    parts = ["weakseg", "tune", order.command, "--voc", _shown(order.voc), "--split", order.split, "--model", model]
    parts += ["--refine", order.refine]
    parts += ["--every", str(order.every)] if order.every > 1 else []
    parts += ["--over", ",".join(order.over)] if order.over else []
    parts += ["--card", _shown(order.card)] if order.card else []
    parts += ["--grid", _shown(order.grid)] if order.grid else []
    parts += ["--side", str(order.side_px)] if order.side_px else []
    parts += ["--rounds", str(order.rounds)] if order.climbs else []
    return shlex.join([*parts, "--folds", str(order.folds), "--out", _shown(order.out)])


def _facts(order: Order, card: ModelCard, samples: Sequence[Sample]) -> Document:
    """What the report says of the search beside its numbers."""
    return {
        "model": card.name,
        "version": card.version,
        "weights_source": card.weights.source,
        "split": order.split,
        "images": len(samples),
        "refine": order.refine.value,
        "refine_side": _side_of(card, order.refine),
        "new_refine_side": order.side_px,
        "folds": order.folds,
        "search": f"coordinate-wise hill climbing, {order.rounds} rounds at most" if order.climbs else "the whole grid",
        "command": command_line(order),
        "software": software_versions(),
    }


def _side_of(card: ModelCard, refine: Refine) -> int | None:
    """The long side of the step that is tuned; None where that is the photo's own size."""
    return card.sides.crf if refine.has_crf else card.sides.guided if refine.guides else None


def _shown(path: Path) -> str:
    return Path(os.path.relpath(path)).as_posix()


def _announce(records: RecordFile[Trial], order: Order, say: Callable[[str], None]) -> None:
    if records.finished:
        say(f"{len(records.finished)} trials are finished already; --restart forgets them.")
    elif records.started_anew:
        say(f"{order.out} held another search (other model, grid, photos, code or libraries): it starts anew.")
