"""The steps of ./scripts/monitor: a Prometheus on loopback that watches the service on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
import yaml

from scripts import prometheus
from scripts.prometheus import ROOT, ToolError

HOST = "127.0.0.1"
CONFIG = ROOT / "deploy" / "prometheus" / "prometheus.yml"
STATE = ROOT / ".weakseg" / "monitor"
_READY_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 20
_SAME_S = 2  # the kernel's idea of when a process began shifts with the clock

_children: dict[int, subprocess.Popen[bytes]] = {}  # that this process started, and has to wait for in the end
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class MonitorError(Exception):
    """Prometheus did not start, or does not answer. The message has the remedy."""


@dataclass(frozen=True, slots=True)
class Monitor:
    """A Prometheus that was started."""

    pid: int
    started: float  # by the process table: a number may come back
    port: int
    state: Path

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def process(self) -> psutil.Process | None:
        """None once it ended."""
        try:
            found = psutil.Process(self.pid)
            ours = abs(found.create_time() - self.started) < _SAME_S and found.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return found if ours else None

    def ask(self, path: str, **parameters: str | float) -> Any:
        """The data of one answer of Prometheus' API, such as ``query`` with ``query="up"``.

        Raises:
            MonitorError: Prometheus refuses; has its words.
            OSError: it cannot be reached.
        """
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        return ask(url)


def ask(url: str) -> Any:
    """See `Monitor.ask`."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        with error:
            raise MonitorError(f"Prometheus refuses {url}: {error.read().decode(errors='replace')}") from error


def configure(template: str, *, target: str, interval_s: int, rules: Path) -> str:
    """prometheus.yml for a service on this machine."""
    config = yaml.safe_load(template)
    config["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), f"{interval_s}s")
    config["rule_files"] = [str(rules / "*.yml")]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [target]}]
    return yaml.safe_dump(config, sort_keys=False)


def start(state: Path, *, port: int, target: str, interval_s: int) -> Monitor:
    """Start Prometheus in a session of its own, its data below ``state``, and wait until it answers.

    Raises:
        ToolError: there is no Prometheus.
        MonitorError: it did not start.
    """
    program = prometheus.get("prometheus")
    state.mkdir(parents=True, exist_ok=True)
    config = state / "prometheus.yml"
    rules = CONFIG.parent / "rules"
    config.write_text(configure(CONFIG.read_text("utf-8"), target=target, interval_s=interval_s, rules=rules), "utf-8")
    command = [str(program), f"--config.file={config}", f"--storage.tsdb.path={state / 'data'}"]
    command += [f"--web.listen-address={HOST}:{port}", "--storage.tsdb.retention.time=7d"]
    log = state / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    _children[process.pid] = process
    monitor = Monitor(process.pid, psutil.Process(process.pid).create_time(), port, state)
    (state / "monitor.json").write_text(json.dumps(asdict(monitor), default=str), "utf-8")
    try:
        _wait_until_ready(monitor, process)
    except BaseException:  # Ctrl-C, too
        stop(monitor)
        raise
    return monitor


def _wait_until_ready(monitor: Monitor, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while not _is_ready(monitor):
        if process.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join((monitor.state / "prometheus.log").read_text("utf-8", "replace").splitlines()[-5:])
            raise MonitorError(
                f"Prometheus did not start on port {monitor.port}; take another --port if it is in use.\n{tail}"
            )
        time.sleep(0.1)


def has_seen(monitor: Monitor, looks: int) -> bool:
    """Whether it has read the service's metrics, looked for once a second: what happens before is no change to it."""
    for _ in range(looks):
        if monitor.ask("query", query='up{job="weakseg"} == 1')["result"]:
            return True
        time.sleep(1)
    return False


def find(state: Path) -> Monitor | None:
    """The Prometheus that ``state`` speaks of, if it lives."""
    try:
        noted = json.loads((state / "monitor.json").read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    monitor = Monitor(noted["pid"], noted["started"], noted["port"], Path(noted["state"]))
    return monitor if monitor.process() else None


def stop(monitor: Monitor) -> None:
    """End it: asked first, killed after _STOP_TIMEOUT_S. Its data stays."""
    process = monitor.process()
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
            _, alive = psutil.wait_procs([process], timeout=_STOP_TIMEOUT_S)
            for left in alive:
                left.kill()
    child = _children.pop(monitor.pid, None)
    if child is not None:
        child.wait()
    (monitor.state / "monitor.json").unlink(missing_ok=True)


def _is_ready(monitor: Monitor) -> bool:
    try:
        with urllib.request.urlopen(f"{monitor.url}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200) and monitor.process() is not None
    except OSError:
        return False


@app.command()
def main(
    detach: Annotated[bool, typer.Option("--detach", help="Return once Prometheus has looked.")] = False,
    stops: Annotated[bool, typer.Option("--stop", help="Stop it. What it recorded stays.")] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Prometheus' own.")] = 9090,
    target: Annotated[str, typer.Option(help="HOST:PORT where the service tells its metrics.")] = f"{HOST}:8082",
    interval_s: Annotated[int, typer.Option("--interval", min=1, help="Seconds from one look to the next.")] = 5,
    state: Annotated[Path, typer.Option(file_okay=False, help="Folder of its data and log.")] = STATE,
) -> None:
    """Watch the running service with Prometheus, and with the rules and alerts of deploy/prometheus.

    Without --detach it runs until Ctrl-C.
    """
    running = find(state)
    if stops:
        if running is None:
            print("It does not run.")
        else:
            stop(running)
            print(f"Stopped. What it recorded is in {running.state / 'data'}.")
        return
    if running is not None:
        print(f"It runs already, on {running.url}. ./scripts/monitor --stop ends it.")
        raise typer.Exit(1)
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: Prometheus has a session of its own, and would stay
        signal.signal(number, signal.default_int_handler)
    try:
        monitor = start(state, port=port, target=target, interval_s=interval_s)
    except (ToolError, MonitorError) as error:
        print(f"weakseg: {error}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if not has_seen(monitor, looks=3 * interval_s):
        print(f"weakseg: nothing answers on {target} yet; it goes on looking.")
    print(f"Prometheus on {monitor.url} watches {target} every {interval_s} s.")
    print(f"Alerts:    {monitor.url}/alerts")
    print(f"Dashboard: python -m scripts.dashboard --prometheus {monitor.url} --minutes 15 --out dashboard.png")
    if detach:
        print("To stop it: ./scripts/monitor --stop")
        return
    print("Ctrl-C stops it.")
    try:
        while monitor.process() is not None:
            time.sleep(1)
    except KeyboardInterrupt:
        stop(monitor)
        return
    print(f"weakseg: Prometheus ended by itself; see {state / 'prometheus.log'}.")
    raise typer.Exit(1)


if __name__ == "__main__":
    os.umask(0o077)  # its data is nobody else's
    app(prog_name="./scripts/monitor")
