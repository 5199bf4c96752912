"""Archives that cannot be served, registered while others answer."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.failure.corpus.entry import MODEL
from tests.failure.counting import CountingLoad
from tests.failure.plant import Plant, read_log, wait_until
from weakseg.archive import CONFIG_FILE
from weakseg.runtime import ONNX_FILE


def rewrite(archive: Path, change: Callable[[dict[str, bytes]], object], path: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)


def break_manifest(files: dict[str, bytes]) -> None:
    del files["MAR-INF/MANIFEST.json"]


def break_graph(files: dict[str, bytes]) -> None:
    files[ONNX_FILE] = files[ONNX_FILE][: len(files[ONNX_FILE]) // 2]


def break_card(files: dict[str, bytes]) -> None:
    files[CONFIG_FILE] = files[CONFIG_FILE].replace(b"method: pixels", b"method: guesswork")


@pytest.fixture
def name(plant: Plant) -> Iterator[str]:
    yield "broken"
    plant.manage("DELETE", "/models/broken")
    (plant.launcher.store / "broken.mar").unlink()


def register_beside_load(plant: Plant, name: str) -> int:
    """The status that management answers; the load beside it is answered whole."""
    with CountingLoad(plant.url(MODEL), 150, prefix=f"beside-{name}") as load:
        load.wait_for(20)
        reply = plant.manage("POST", f"/models?url={name}.mar&model_name={name}&initial_workers=1")
    books = load.books()
    books.check_each_answered_once(150)
    assert books.statuses == {200: 150}
    return reply.status


@pytest.mark.parametrize("kind", ["no ZIP at all", "no manifest"])
def test_what_is_no_archive_is_refused(plant: Plant, numbered_archive: Path, name: str, kind: str) -> None:
    path = plant.launcher.store / f"{name}.mar"
    if kind == "no manifest":
        rewrite(numbered_archive, break_manifest, path)
    else:
        path.write_bytes(b"no archive of anything")
    assert 400 <= register_beside_load(plant, name) < 600
    assert plant.manage("GET", f"/models/{name}").status == 404


@pytest.mark.parametrize(
    ("broken", "cause"), [(break_graph, "INVALID_PROTOBUF"), (break_card, "guesswork")], ids=["graph", "card"]
)
def test_a_model_that_cannot_be_loaded_says_why(
    plant: Plant, numbered_archive: Path, name: str, broken: Callable[[dict[str, bytes]], object], cause: str
) -> None:
    workers = plant.ready_workers(MODEL)
    rewrite(numbered_archive, broken, plant.launcher.store / f"{name}.mar")
    register_beside_load(plant, name)
    wait_until(lambda: cause in read_log(plant, "model_log.log"), f"the log names {cause}")
    refused = CountingLoad(plant.url(name), 2, prefix="to-the-broken").run()
    refused.check_each_answered_once(2)
    assert set(refused.statuses) == {503}, refused.codes
    assert plant.ready_workers(MODEL) == workers
