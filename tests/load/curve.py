"""``python -m tests.load.curve``: latency against load, from a tenth of what a running service can do to 120 %.

    python -m tests.load.curve --url http://127.0.0.1:8080 --out out/curve

First locust's closed loop finds the capacity; then its open loop offers shares of it. Into the folder go a table
(``curve.md``, ``.json``), a plot (``curve.png``), and locust's own report (HTML, CSV) and a line per request for every
step. On a machine with an NVIDIA GPU the table has its utilisation and memory, too; run it where the service runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.arrivals import Arrivals
from benchmarks.gpu import GpuUse, watch_gpus
from benchmarks.machine import describe_machine
from benchmarks.report import Report, Row, Table, console, publish
from benchmarks.samples import Exchange, Round, make_round, percentile
from tests.load.asking import Profile
from tests.load.curve_plot import draw_curve
from tests.load.samples import Sample, read_samples

ROOT = Path(__file__).resolve().parents[2]
SHARES = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0, 1.1, 1.2)
RAMP_S = 2.0  # of the closed loop: before it counts
MARGIN_S = 200  # that locust may take beyond its run time, to wait for answers and to check them
REFUSED = 503

NOTE = (
    "Open loop, {arrivals} arrivals: requests start on schedule, whether or not earlier ones are answered, and latency "
    "counts from the scheduled time. `load` is a share of the capacity that a closed loop of {users} users reached "
    "just before: {capacity:.1f} requests per second. `offered` and `answered` are per second, the latter up to the "
    "last answer: where it stays below, a queue grew, and latency depends on how long that lasted ({seconds:g} s "
    "per step). `refused`: 503 with Retry-After. `late`: by how much the load generator was late, at most. Each answer "
    "was checked after its step. GPU columns are empty where there is no NVIDIA GPU."
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What every step has in common."""

    url: str
    out: Path
    seconds: float
    questions: Profile
    models: str
    arrivals: Arrivals


@dataclass(frozen=True, slots=True)
class Step:
    """One stretch of load."""

    samples: Sequence[Sample]
    measured: Round
    gpu: GpuUse

    @property
    def refused(self) -> float:
        """Share of the requests."""
        return sum(sample.status == REFUSED for sample in self.samples) / len(self.samples)


class CurveError(Exception):
    """A step of the load test failed: its answers are wrong, and figures of wrong answers are none."""


def main(
    out: Annotated[Path, typer.Option(help="Folder for everything.")],
    url: Annotated[str, typer.Option(help="The service.")] = "http://127.0.0.1:8080",
    seconds: Annotated[float, typer.Option(min=3, help="Length of each step.")] = 20.0,
    users: Annotated[int, typer.Option(min=1, help="Of the closed loop that finds the capacity.")] = 8,
    questions: Annotated[Profile, typer.Option(help="Mixed requests, or the same over and over.")] = Profile.MIXED,
    models: Annotated[str, typer.Option(help="Served models, with commas.")] = "weakseg,hair",
    arrivals: Annotated[Arrivals, typer.Option(help="Of the open loop.")] = Arrivals.CONSTANT,
    share: Annotated[
        list[float] | None, typer.Option(help="Of the capacity; again for more.", show_default=f"{SHARES}")
    ] = None,
) -> None:
    """Measure latency and throughput of a running service against load. WEAKSEG_TOKEN: where it asks for one."""
    plan = Plan(url.rstrip("/"), out, seconds, questions, models, arrivals)
    machine = describe_machine()
    console.print(f"GPU: {machine['GPU']}", markup=False)
    closed = _run_step(plan, "closed", ["--users", str(users), "--spawn-rate", str(users)])
    capacity = closed.measured.throughput_per_s
    console.print(f"capacity: {capacity:.1f} requests per second with {users} users")
    rows = [row_of(each, each * capacity, _run_open(plan, each, each * capacity)) for each in sorted(share or SHARES)]
    picture = draw_curve(rows, capacity, out / "curve.png")
    note = NOTE.format(arrivals=arrivals.value, users=users, capacity=capacity, seconds=seconds)
    setup = {
        "service": f"{plan.url}, {_ask_health(plan.url)}",
        "questions": f"{questions.value}, of {models if questions is Profile.MIXED else models.split(',')[0]}",
        "closed loop": f"{users} users, {capacity:.1f} per second, {_spread(closed.measured)}",
        "client": "locust, one process on the machine that this was started on",
    }
    publish(Report("Latency against load", machine, setup, [Table("Open loop", rows, note, (picture,))]), out / "curve")


def row_of(share: float, offered: float, step: Step) -> Row:
    """A step's row of the table and of the plot."""
    latencies = step.measured.latencies_ms
    return {
        "load": f"{share:.0%}",
        "offered": offered,
        "answered": step.measured.throughput_per_s,
        "requests": len(step.samples),
        "p50 ms": percentile(latencies, 50),
        "p95 ms": percentile(latencies, 95),
        "p99 ms": percentile(latencies, 99),
        "refused %": 100 * step.refused,
        "late ms": step.measured.lateness_ms,
        **step.gpu.figures(),
    }


def measure_closed(samples: Sequence[Sample], seconds: float) -> Round:
    """Figures of a closed loop's steady part: without its first moments, and without those when users have ended."""
    exchanges, begin_s = _exchanges(samples), min(sample.due_s for sample in samples)
    return make_round(exchanges, begin_s + min(RAMP_S, seconds / 3), begin_s + seconds - RAMP_S)


def measure_open(samples: Sequence[Sample]) -> Round:
    """Figures of an open loop: of all that was due, until the last answer."""
    exchanges, begin_s = _exchanges(samples), min(sample.due_s for sample in samples)
    return make_round(exchanges, begin_s, max(sample.done_s for sample in samples))


def _exchanges(samples: Sequence[Sample]) -> list[Exchange]:
    """Errors that were asked for are answers like others; refusals are not."""
    statuses = (REFUSED if each.status == REFUSED else 200 for each in samples)
    return [
        Exchange(each.due_s, each.sent_s, each.done_s, status) for each, status in zip(samples, statuses, strict=True)
    ]


def _spread(measured: Round) -> str:
    p50, p99 = (percentile(measured.latencies_ms, percent) for percent in (50, 99))
    return f"p50 {p50:.0f} ms, p99 {p99:.0f} ms"


def _run_open(plan: Plan, share: float, rate: float) -> Step:
    name = f"open_{round(share * 100):03d}"
    return _run_step(plan, name, ["--rate", f"{rate:.6f}", "--arrivals", plan.arrivals.value, "--refusals"])


def _run_step(plan: Plan, name: str, loop: Sequence[str]) -> Step:
    """Run locust once; its files are ``out/NAME...``.

    Raises:
        CurveError: a wrong answer, or none.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    base, samples = plan.out / name, plan.out / f"{name}_samples.csv"
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "tests/load/locustfile.py"), "--headless"]
    command += ["--host", plan.url, "--run-time", f"{round(plan.seconds)}s", "--only-summary", "--check", "late"]
    command += ["--questions", plan.questions.value, "--models", plan.models, "--samples", str(samples)]
    command += ["--html", f"{base}.html", "--csv", str(base), "--stop-timeout", "120", *loop]
    paths = os.pathsep.join(filter(None, [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH")]))
    started = time.monotonic()
    with watch_gpus() as gpu:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=plan.seconds + MARGIN_S,
        )
    if done.returncode:
        (plan.out / f"{name}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
        raise CurveError(f"{name}: answers were wrong or missing; see {plan.out / name}.log and {samples}.")
    read = read_samples(samples)
    console.print(f"{name}: {len(read)} requests in {time.monotonic() - started:.0f} s", markup=False)
    return Step(read, measure_open(read) if "--rate" in loop else measure_closed(read, plan.seconds), gpu)


def _ask_health(url: str) -> str:
    with urllib.request.urlopen(f"{url}/health", timeout=10) as answer:
        return " ".join(answer.read(1000).decode().split())


if __name__ == "__main__":
    typer.run(main)
