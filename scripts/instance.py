"""What a running service is: its ports, its processes, and the note that later calls find it by."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
STATE = ROOT / ".weakseg"
HOST = "127.0.0.1"
PORTS = {  # setting of config.properties to its distance from --port
    "weakseg_address": 0,
    "management_address": 1,
    "weakseg_metrics_address": 2,
    "grpc_inference_port": 3,
    "grpc_management_port": 4,
    "inference_address": 5,
    "metrics_address": 6,
}


class ServiceError(Exception):
    """The service did not start, or not as asked. The message has the cause and the remedy."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A service to be started.

    Args:
        models: Names of archives in the store.
        port: Where callers ask; the others follow as in PORTS.
        config: The config.properties to start from; its ports are replaced.
        show_logs: The logs of TorchServe and of the requests go to this program's output, too.
        workers: Workers of a model, by its name; of the others what ``scripts.sizing`` makes of the machine.
    """

    models: tuple[str, ...]
    port: int
    store: Path
    state: Path
    config: Path
    show_logs: bool = False
    workers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Instance:
    """A service that was started."""

    session: int  # every process of it shares this session id
    port: int  # where callers ask; the others follow as in PORTS
    models: tuple[str, ...]
    store: Path
    state: Path  # logs, keys, and the note of this instance
    temp: Path  # configuration, TorchServe's PID file, sockets and unpacked archives: no other instance shares them

    @property
    def inference_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def management_url(self) -> str:
        return f"http://{HOST}:{self.port + PORTS['management_address']}"

    @property
    def config(self) -> Path:
        """The config.properties that it runs with, made by the launcher."""
        return self.temp / "config.properties"

    @property
    def key_file(self) -> Path:
        """Where TorchServe writes a key for each of its APIs, unless its configuration asks for none."""
        return self.state / "key_file.json"

    def ask(self, api: str, path: str, *, method: str = "GET", timeout_s: float = 10) -> Any:
        """The JSON document of an answer.

        Args:
            api: ``inference`` or ``management``.
        Raises:
            OSError: no answer, or not a 2xx.
        """
        url = self.inference_url if api == "inference" else self.management_url
        request = urllib.request.Request(f"{url}{path}", method=method)
        if self.key_file.exists():
            key = json.loads(self.key_file.read_text(encoding="utf-8"))[api]["key"]
            request.add_header("Authorization", f"Bearer {key}")
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return json.load(answer)

    def processes(self) -> list[psutil.Process]:
        """All that is alive of it, the supervisor first. Empty as well when the session id now belongs to others."""
        everyone = psutil.process_iter()
        members = [process for process in everyone if _session_of(process.pid) == self.session and is_alive(process)]
        is_ours = any(str(self.temp) in argument for process in members for argument in command_of(process))
        return sorted(members, key=lambda process: process.pid) if is_ours else []


def find(state: Path) -> Instance | None:
    """The instance that ``state`` speaks of, if any of its processes lives; none where its note cannot be read."""
    try:
        noted = json.loads((state / "instance.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # ValueError: empty or cut off
        return None
    folders = {name: Path(noted[name]) for name in ("store", "state", "temp")}
    instance = Instance(noted["session"], noted["port"], tuple(noted["models"]), **folders)
    return instance if instance.processes() else None


def note(instance: Instance) -> None:
    """Write ``instance.json``, whole or not at all."""
    path = instance.state / "instance.json"
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(asdict(instance), default=str), encoding="utf-8")
    draft.replace(path)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def command_of(process: psutil.Process) -> list[str]:
    """Its command line; empty where that cannot be seen."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None
