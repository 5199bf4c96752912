"""A whole weakseg service with archives of the benchmark's own, in a scratch folder on free ports."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from benchmarks.load import Target
from benchmarks.recipe import Recipe
from scripts import torchserve
from scripts.torchserve import HOST, PORTS, Instance, ServiceError, Wanted
from weakseg.archive import CONFIG_FILE
from weakseg.card import CARD_KEY, ModelCard
from weakseg.options import Options

ROOT = Path(__file__).resolve().parents[1]
FRONT = "weakseg_address"  # of PORTS


def recipe_of(card: ModelCard) -> Recipe:
    """What the naive service must do to give the same masks as a model whose answer is ``gaussian+crf``."""
    settings = card.settings(Options())
    assert settings.crf is not None
    assert settings.sigma is not None
    assert settings.threshold is not None
    crf = settings.crf.model_dump(exclude={"engine"})
    return Recipe(sigma=settings.sigma, threshold=settings.threshold, **crf)


def copy_archive(source: Path, target: Path, *, runtime: str | None = None, **serving: int) -> None:
    """A model archive under another name, with other TorchServe settings (``batchSize`` ...): the same graphs.

    Args:
        runtime: The card's, where it is to be another one.
    """
    card = {"name": target.stem} | ({"runtime": runtime} if runtime else {})
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            if member.filename == CONFIG_FILE:
                content = _changed_config(content, card, serving)
            new.writestr(member, content)


def write_naive_archive(target: Path, recipe: Recipe, *, threads: int, workers: int) -> None:
    """The naive service as an archive: one photo at a time in each worker."""
    config = {
        "minWorkers": workers,
        "maxWorkers": workers,
        "batchSize": 1,
        "maxBatchDelay": 1,  # TorchServe reads 0 as "not set"
        "responseTimeout": 120,
        "naive": {**asdict(recipe), "threads": threads},
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
    """A service until the block ends; none of its processes or files is left after it.

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


def target_of(
    instance: Instance, model: str, photo: bytes, options: Mapping[str, str], *, past_the_front: bool = False
) -> Target:
    """A JPEG as the body, options as headers.

    Args:
        past_the_front: Straight to TorchServe; callers of the service do not reach it there.
    """
    headers = {f"X-Weakseg-{name.replace('_', '-')}": value for name, value in options.items()}
    port = instance.port + (PORTS["inference_address"] if past_the_front else PORTS.get(FRONT, 0))
    return Target(HOST, port, f"/predictions/{model}", photo, {"Content-Type": "image/jpeg", **headers})


def describe_workers(instance: Instance, name: str) -> dict[str, int]:
    """What TorchServe itself says of a model: number of workers, batch size and delay."""
    (described,) = instance.ask("management", f"/models/{name}")
    return {
        "workers": len(described["workers"]),
        "batchSize": described["batchSize"],
        "maxBatchDelay": described["maxBatchDelay"],
    }


def find_free_ports() -> int:
    """The first of as many free ports in a row as a service takes.

    Raises:
        ServiceError: none between 20080 and 30000.
    """
    for first in range(20080, 30000, 10):
        with suppress(ServiceError):
            torchserve.check_ports(first)
            return first
    raise ServiceError("No free ports in a row between 20080 and 30000.")


def _changed_config(content: bytes, card: Mapping[str, Any], serving: Mapping[str, int]) -> str:
    document = {**yaml.safe_load(content), **serving}
    document[CARD_KEY] |= card
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
