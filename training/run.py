"""One training from start to end, or from where it was killed to its end."""

from __future__ import annotations

import json
import logging
import os
import platform
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
import torchvision
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from rich.console import Console

import weakseg
from training.labels import Splits, read_splits
from training.loop import Loop
from training.masks.maskset import MaskSet
from training.masks.splits import MaskedSplits, read_masked_splits
from training.photos import PhotoSet
from training.recipe import Recipe, RecipeError
from training.record import BEST, LAST, METRICS, Record
from training.start import Start, build_start
from training.tasks import build_task

RECIPE_FILE = "recipe.json"
PROCESSES = int(os.environ.get("WORLD_SIZE", "1"))  # torchrun says how many it started, and which this one is
IS_FIRST = os.environ.get("RANK", "0") == "0"


@dataclass(frozen=True)
class Outcome:
    checkpoint: Path  # best.pt
    metrics: dict[str, Any]  # "epoch", and the figures on "train" and "val"


def train(recipe: Recipe, data: Path, folder: Path, *, console: Console | None = None, bar: bool = True) -> Outcome:
    """Train as the recipe says. The same call goes on where a killed one ended; a finished run is not repeated.

    Args:
        data: See `training.labels.read_splits`.
        folder: Of the run; made if absent.
    Raises:
        RecipeError: the folder holds a run of another recipe or other data.
        DataError, ModelError: see `read_splits` and `build_start`.
    """
    console = console or Console(quiet=True)
    splits = read_masked_splits(data, recipe) if recipe.learns_masks else read_splits(data, recipe)
    _claim(folder, recipe, splits)
    if (folder / METRICS).is_file():
        console.print(f"{folder} holds a finished run of this recipe; nothing to do.")
        return Outcome(folder / BEST, json.loads((folder / METRICS).read_text(encoding="utf-8"))["metrics"])
    start = build_start(recipe, splits.classes)
    _announce(console, recipe, splits, start, folder)
    loop = Loop(
        start,
        build_task(recipe, splits.classes),
        recipe,
        _open_set(splits.train, splits.classes, recipe),
        _open_set(splits.val, splits.classes, recipe),
    )
    record = Record(folder, _facts(recipe, splits, start), console)
    with _threads(recipe.threads), _quiet_lightning():
        trainer = _build_trainer(recipe, folder, record, bar=bar)
        trainer.fit(loop, ckpt_path=str(folder / LAST) if (folder / LAST).is_file() else None)
        metrics = _measure(trainer, loop, folder)
    if trainer.is_global_zero:
        record.finish(loop, metrics)
    return Outcome(folder / BEST, metrics)


def _open_set(photos: Sequence[Any], classes: Sequence[str], recipe: Recipe) -> PhotoSet | MaskSet:
    return MaskSet(photos, classes, recipe) if recipe.learns_masks else PhotoSet(photos, classes, recipe)


def _claim(folder: Path, recipe: Recipe, splits: Splits | MaskedSplits) -> None:
    """Write down what this folder is the run of, or compare."""
    data = {name: value for name, value in splits.description.items() if name != "root"}  # it may have moved
    ours = {"recipe": recipe.model_dump(mode="json"), "data": data}
    note = folder / RECIPE_FILE
    if note.is_file():
        found = json.loads(note.read_text(encoding="utf-8"))
        for part, values in ours.items():
            changed = [name for name, value in values.items() if found[part].get(name) != value]
            if changed:
                name = changed[0]
                raise RecipeError(
                    f"{folder} holds a run with {name} = {found[part].get(name)!r}, not {values[name]!r}. Choose "
                    "another folder with --out, or start that one anew with --fresh."
                )
    elif IS_FIRST:
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{RECIPE_FILE}.part"  # other processes read it meanwhile
        partial.write_text(json.dumps(ours, indent=2), encoding="utf-8")
        partial.replace(note)


def _announce(console: Console, recipe: Recipe, splits: Splits | MaskedSplits, start: Start, folder: Path) -> None:
    for remark in splits.remarks:
        console.print(remark)
    console.print(
        f"{recipe.network}, {len(splits.classes)} classes, {len(splits.train)} photos to learn from, {len(splits.val)} "
        f"to measure on; starts from {start.weights}; {recipe.epochs} epochs into {folder}"
        + ("; goes on where it ended" if (folder / LAST).is_file() else "")
    )


def _facts(recipe: Recipe, splits: Splits | MaskedSplits, start: Start) -> dict[str, Any]:
    return {
        "network": recipe.network,
        "classes": list(splits.classes),
        "hw": list(recipe.input_hw),
        "mean": list(start.mean),
        "std": list(start.std),
        "multi_label": recipe.multi_label,
        **(_pixel_facts(recipe) if recipe.learns_masks else {}),
        "initial_weights": start.weights,
        "recipe": recipe.model_dump(mode="json"),
        "data": splits.description,
        "versions": {
            "weakseg": weakseg.__version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "torchvision": str(torchvision.__version__),
            "pytorch_lightning": version("pytorch-lightning"),
        },
    }


def _pixel_facts(recipe: Recipe) -> dict[str, Any]:
    return {
        "pixels": True,
        "network_options": dict(recipe.network_options),
        "max_side": recipe.served_side,
    }


def _build_trainer(recipe: Recipe, folder: Path, record: Record, *, bar: bool) -> lightning.Trainer:
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return lightning.Trainer(
        accelerator="auto",
        devices=local,
        num_nodes=PROCESSES // local,
        strategy="ddp" if PROCESSES > 1 else "auto",
        precision={"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[recipe.precision],  # type: ignore[arg-type]
        max_epochs=recipe.epochs,
        gradient_clip_val=recipe.clip,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # the loop shares out the photos itself
        reload_dataloaders_every_n_epochs=1,  # each epoch has an order of its own
        enable_checkpointing=False,  # the record writes them
        enable_model_summary=False,
        enable_progress_bar=bar,
        callbacks=[record, *([RichProgressBar(leave=False)] if bar else [])],
        logger=TensorBoardLogger(folder, name="", version="tensorboard"),
        log_every_n_steps=1_000_000_000,  # figures are logged per epoch
    )


def _measure(trainer: lightning.Trainer, loop: Loop, folder: Path) -> dict[str, Any]:
    """Load the selected epoch's weights; its figures on both splits, as served: without variation."""
    saved = torch.load(folder / BEST, map_location=loop.device, weights_only=True)
    loop.result.load_state_dict(saved["state_dict"])
    figures = {}
    for name, photos in (("train", loop.train_set), ("val", loop.val_set)):
        trainer.validate(loop, loop.measuring_loader(photos), verbose=False)
        figures[name] = loop.figures
    return {"epoch": saved["metrics"]["epoch"], **figures}


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Without its advertisements, and its advice on what a recipe says on purpose."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*does not have many workers.*")
            warnings.filterwarnings("ignore", ".*is smaller than the logging interval.*")
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            yield
    finally:
        logger.setLevel(level)
