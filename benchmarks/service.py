"""One TorchServe with weakseg's model and the naive one side by side, in a scratch folder on free ports."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import yaml

from benchmarks.naive import Recipe
from scripts import torchserve
from scripts.torchserve import Instance, ServiceError, Wanted
from weakseg.archive import CONFIG_FILE
from weakseg.card import CARD_KEY, ModelCard
from weakseg.options import Options, Refine

ROOT = Path(__file__).resolve().parents[1]


def recipe_of(card: ModelCard) -> Recipe:
    """The naive service's recipe: GrabCut and threshold as weakseg's card has them for a photo."""
    cut = card.settings(Options(refine=Refine.GRABCUT))
    plain = card.settings(Options(refine=Refine.NONE))
    assert cut.levels is not None
    return Recipe(cut.levels, cut.iterations or 1, card.sides.grabcut, plain.threshold or 0.0)


def copy_archive(source: Path, target: Path, **serving: int) -> None:
    """A model archive under another name, with other TorchServe settings (``batchSize`` ...): the same graph."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            if member.filename == CONFIG_FILE:
                content = _changed_config(content, target.stem, serving)
            new.writestr(member, content)


def write_naive_archive(target: Path, recipe: Recipe, *, threads: int) -> None:
    """The naive service as an archive: one worker, one photo at a time."""
    config = {
        "minWorkers": 1,
        "maxWorkers": 1,
        "batchSize": 1,
        "maxBatchDelay": 1,  # TorchServe reads 0 as "not set"
        "responseTimeout": 120,
        "naive": {**asdict(recipe), "levels": list(recipe.levels), "threads": threads},
    }
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / CONFIG_FILE).write_text(yaml.safe_dump(config), encoding="utf-8")
        shutil.copy(ROOT / "benchmarks" / "naive_handler.py", work)
        command = [sys.executable, "-m", "model_archiver.model_packaging", "--model-name", target.stem]
        command += ["--version", "1.0", "--handler", "naive_handler.py", "--config-file", CONFIG_FILE]
        environment = {**os.environ, "TMPDIR": folder}  # the archiver empties $TMPDIR/<name>
        subprocess.run([*command, "--export-path", "."], cwd=work, env=environment, check=True, capture_output=True)
        shutil.copy(work / target.name, target)


@contextmanager
def running(write_archives: Callable[[Path], Sequence[str]], on_progress: Callable[[str], None]) -> Iterator[Instance]:
    """A TorchServe until the block ends; none of its processes or files is left after it.

    Args:
        write_archives: Writes the archives into the store that it is given; their names.
    Raises:
        ServiceError: it did not start; has the log's tail.
    """
    with tempfile.TemporaryDirectory(prefix="weakseg-benchmark-") as folder, _importable():
        store, state = Path(folder) / "store", Path(folder) / "state"
        store.mkdir()
        state.mkdir()
        wanted = Wanted(tuple(write_archives(store)), find_free_ports(), store, state, ROOT / "config.properties")
        instance = torchserve.start(wanted)
        try:
            torchserve.wait_until_ready(instance, on_progress)
            yield instance
        finally:
            torchserve.stop(instance)


def describe_workers(instance: Instance, name: str) -> dict[str, int]:
    """What TorchServe itself says of a model: number of workers, batch size and delay."""
    (described,) = instance.ask("management", f"/models/{name}")
    return {
        "workers": len(described["workers"]),
        "batchSize": described["batchSize"],
        "maxBatchDelay": described["maxBatchDelay"],
    }


def find_free_ports() -> int:
    """The first of as many free ports in a row as TorchServe takes.

    Raises:
        ServiceError: none between 20080 and 30000.
    """
    for first in range(20080, 30000, 10):
        with suppress(ServiceError):
            torchserve.check_ports(first)
            return first
    raise ServiceError("No free ports in a row between 20080 and 30000.")


def _changed_config(content: bytes, name: str, serving: dict[str, int]) -> str:
    document = {**yaml.safe_load(content), **serving}
    document[CARD_KEY]["name"] = name
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


@contextmanager
def _importable() -> Iterator[None]:
    """Workers find the naive handler's module, wherever they are started."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "src"), *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
