"""One service for all end-to-end tests: the default models, and two of either family whose classes are known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.archives import default_models
from tests.helpers.grpc_protocol import Protocol, compile_protocol
from tests.helpers.launcher import Launcher, free_ports, session_members
from tests.helpers.pixel_checkpoints import build_odds_archive

MODELS = ",".join((*default_models(), "tiny_cam", "tiny_pixels"))


@dataclass(frozen=True)
class Service:
    """The running service and what the launcher said about it."""

    launcher: Launcher
    said: str
    session: int

    @property
    def tiny(self) -> str:
        """Where the model with random weights answers."""
        return f"{self.launcher.url}/predictions/tiny_cam"

    @property
    def pixels(self) -> str:
        """Where the model that labels pixels answers: red ones, green ones."""
        return f"{self.launcher.url}/predictions/tiny_pixels"

    @property
    def management(self) -> str:
        return f"{self.launcher.management_url}/models"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Protocol:
    """TorchServe's gRPC."""
    return compile_protocol(tmp_path_factory.mktemp("grpc"))


@pytest.fixture(scope="session")
def service(tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("a folder with spaces")
    launcher = Launcher(folder / "store", folder / "state", free_ports())
    launcher.store.mkdir()
    shutil.copy(tiny_archive, launcher.store)
    build_odds_archive(launcher.store, name="tiny_pixels")
    started = launcher.run("--detach", "--models", MODELS)
    assert started.returncode == 0, started.stdout
    session = json.loads((launcher.state / "instance.json").read_text())["session"]
    yield Service(launcher, started.stdout, session)
    stopped = launcher.run("--stop")
    assert stopped.returncode == 0, stopped.stdout
    assert session_members(session) == []
