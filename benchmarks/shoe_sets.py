"""Two test sets of objects that no training has seen: as they were photographed, and pasted on unseen scenes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.runs import Run
from training.labels import hold_out
from training.masks.layout import list_photos
from training.masks.made import PasteSource, paste_settings, split_scenes, white_settings
from training.masks.splits import read_masked_splits
from training.masks.written import Entry, plan_pasted, plan_white, write_data_set
from training.recipe import Recipe
from weakseg.errors import DataError

WHITE, SCENES = "white", "scenes"
LIST = "val.txt"  # of the pictures of a set
NOTE = "made_of.json"


def write_sets(
    runs: Sequence[Run], objects: Path, scenes: Path, folder: Path, *, pictures: int, seed: int = 0
) -> dict[str, Path]:
    """``folder/white`` and ``folder/scenes`` in the layout of ``format: masks``; kept where they are there already.

    Masks and pasting follow the recipes of the runs, and so does the share that is held out.

    Args:
        pictures: Of the set on scenes; the other one has each held-out object once.
    Returns:
        The two folders by name.
    Raises:
        DataError: a run has learned from what is in a test set, or the runs do not share one way to hold out.
    """
    recipe = _common_recipe(runs)
    for run in runs:
        check_unseen(run, objects, scenes, recipe.held_out)
    white, how = white_settings(recipe), paste_settings(recipe)
    count = round(pictures / recipe.held_out)
    facts = {"objects": len(list_photos(objects)), "scenes": len(list_photos(scenes)), "share": recipe.held_out}
    facts |= {"pictures": pictures, "seed": seed, "white": dataclasses.asdict(white), "how": dataclasses.asdict(how)}
    makers = {
        WHITE: lambda: plan_white(objects, white, recipe.held_out)[1],
        SCENES: lambda: plan_pasted(objects, scenes, count, white, how, recipe.held_out, seed)[1],
    }
    for name, make in makers.items():
        if not _is_there(folder / name, facts):
            write_data_set(_held_out(make()), folder / name)
            (folder / name / NOTE).write_text(json.dumps(facts), encoding="utf-8")
    return {name: folder / name for name in makers}


def check_unseen(run: Run, objects: Path, scenes: Path, share: float) -> None:
    """That a run has learned from none of the objects and scenes that ``share`` holds out.

    Raises:
        DataError: it has; or the photos are not those that it learned from, so that nobody knows.
    """
    splits = read_masked_splits(objects, run.recipe.model_copy(update={"backgrounds": str(scenes)}))
    if splits.description["labels_sha256"] != run.facts["data"]["labels_sha256"]:
        raise DataError(f"{run.folder} learned from other photos than those in {objects} now. Train it again.")
    learned = {photo.path for photo in splits.train}
    for source in (photo.source for photo in splits.train):
        if isinstance(source, PasteSource):
            learned |= {*source.objects, *source.scenes}
    found = list_photos(objects)
    tested = {*hold_out(list(found.values()), list(found), share)[1], *split_scenes(scenes, share)[1]}
    if learned & tested:
        one = min(learned & tested).name
        raise DataError(f"{run.folder} learned from {len(learned & tested)} photos of the test sets, such as {one}.")


def _common_recipe(runs: Sequence[Run]) -> Recipe:
    """One recipe that says how to make the sets: that of a run on scenes, if there is one."""
    recipes = sorted((run.recipe for run in runs), key=lambda recipe: recipe.format != "pasted")
    first = recipes[0]
    for recipe in recipes:
        if (recipe.held_out, white_settings(recipe)) != (first.held_out, white_settings(first)):
            raise DataError("The runs differ in held_out or in how they mask white photos: no test set suits them all.")
    return first


def _held_out(entries: Iterator[Entry]) -> Iterator[Entry]:
    return (entry for entry in entries if entry.split == "val")


def _is_there(folder: Path, facts: dict[str, object]) -> bool:
    note = folder / NOTE
    if not note.is_file():
        return False
    if json.loads(note.read_text(encoding="utf-8")) != json.loads(json.dumps(facts)):
        raise DataError(f"{folder} holds a test set that was made in another way. Delete it, or give another --work.")
    return True
