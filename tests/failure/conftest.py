"""One service for all tests of failure: what they do to it must not reach the other end-to-end tests' service."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from scripts.torchserve import PORTS
from tests.failure.corpus.entry import MODEL
from tests.failure.plant import Plant
from tests.helpers.launcher import ROOT, Launcher, free_ports, session_members
from tests.helpers.pixel_checkpoints import build_odds_archive
from weakseg.archive import CONFIG_FILE

RESPONSE_TIMEOUT_S = 5  # after which TorchServe replaces a worker of `hasty` that does not answer
QUEUE = 4  # requests that wait for `tight`
FRONT_TIMEOUT_S = 4  # for the heads and the bodies of slow clients


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and "plant" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.e2e)


def write_variant(archive: Path, path: Path, **settings: object) -> Path:
    """The same archive with other settings of TorchServe's in its YAML."""
    with zipfile.ZipFile(archive) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    files[CONFIG_FILE] = yaml.safe_dump({**yaml.safe_load(files[CONFIG_FILE]), **settings}, sort_keys=False).encode()
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


def write_config(path: Path) -> Path:
    """The quickstart's configuration, but for the front's patience."""
    patience = dict.fromkeys(("weakseg_body_timeout_s", "weakseg_header_timeout_s"), FRONT_TIMEOUT_S)
    lines = (ROOT / "config.properties").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.partition("=")[0].strip() not in patience]
    path.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in patience.items()), ""]), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def numbered_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of `OddsNet`. Copy it, do not change it."""
    return build_odds_archive(tmp_path_factory.mktemp("numbered"), name=MODEL)


@pytest.fixture(scope="session")
def plant(numbered_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """`numbered` with two workers, `hasty` and `tight` with one each; see the constants above."""
    folder = tmp_path_factory.mktemp("failure")
    launcher = Launcher(folder / "store", folder / "state", free_ports(len(PORTS)))
    launcher.store.mkdir()
    write_variant(numbered_archive, launcher.store / f"{MODEL}.mar")
    write_variant(numbered_archive, launcher.store / "hasty.mar", responseTimeout=RESPONSE_TIMEOUT_S, batchSize=1)
    write_variant(numbered_archive, launcher.store / "tight.mar", jobQueueSize=QUEUE, batchSize=1)
    config = write_config(folder / "config.properties")
    started = launcher.run("--detach", "--models", f"{MODEL},hasty,tight", "--config", str(config))
    assert started.returncode == 0, started.stdout
    session = json.loads((launcher.state / "instance.json").read_text())["session"]
    running = Plant(launcher, session)
    running.scale(MODEL, 2)
    yield running
    stopped = launcher.run("--stop")
    assert stopped.returncode == 0, stopped.stdout
    assert session_members(session) == []
