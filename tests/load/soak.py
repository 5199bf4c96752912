"""Does a service stay as it is? Minutes of mixed load, and beside it memory, descriptors and threads of each process.

Against a running service (``./scripts/serve --detach``), from the repository's root:

    python -m tests.load.soak --minutes 20 --out docs/results/soak

Photos of all kinds and sizes, options, formats and ways to send them; one request in twenty is a bad one. It exits
with 1 if memory grew by more than 5 % after the warm-up, if descriptors or threads grew, if an answer had another
status than it must, or if a process was replaced on the way; see `soak_samples` for what is compared.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import psutil
import requests
import typer

from scripts.instance import Instance, ServiceError, command_of, find
from scripts.torchserve import STATE
from tests.load.mix import BadRequest, GoodRequest, Transport, draw_request, make_bad_requests
from tests.load.photos import make_photos
from tests.load.soak_samples import Sample, judge, write_report
from weakseg.archive import DEFAULT_MODEL

BAD_SHARE = 0.05
EVERY_S = 5.0  # between two measurements
WARM_UP_SHARE = 0.25  # of the time: every kind of photo and option has come by, and every buffer has its size
TIMEOUT_S = 120


def draw_orders(labels: Sequence[str], *, seed: int) -> Iterator[GoodRequest | BadRequest]:
    """Requests at random, without end; BAD_SHARE of them bad ones."""
    chance, photos = random.Random(seed), make_photos()
    bad = make_bad_requests(photos[0])
    while True:
        yield chance.choice(bad) if chance.random() < BAD_SHARE else draw_request(chance, photos, labels)


@dataclass(frozen=True, slots=True)
class Service:
    """One model of a running service."""

    instance: Instance
    model: str

    def send(self, order: GoodRequest | BadRequest) -> str | None:
        """What was wrong with the answer's status, or None."""
        expected = order.status if isinstance(order, BadRequest) else 200
        answer = self._post(order)
        if answer.status_code == expected:
            return None
        return f"status {answer.status_code} instead of {expected}: {answer.text[:200]}"

    def labels(self) -> list[str]:
        """Names that the model knows."""
        order = GoodRequest(make_photos()[0], {"format": "json", "refine": "none"}, Transport.RAW)
        answer = self._post(order)
        answer.raise_for_status()
        return [score["label"] for score in answer.json()["scores"]]

    def _post(self, order: GoodRequest | BadRequest) -> requests.Response:
        url = f"{self.instance.inference_url}/predictions/{self.model}"
        arguments: dict[str, Any] = order.arguments()
        if self.instance.key_file.exists():
            key = json.loads(self.instance.key_file.read_text(encoding="utf-8"))["inference"]["key"]
            arguments["headers"] = {**arguments.get("headers", {}), "Authorization": f"Bearer {key}"}
        return requests.post(url, timeout=TIMEOUT_S, **arguments)


def name_processes(instance: Instance) -> dict[str, psutil.Process]:
    """The processes that work: ``front``, ``java``, and a ``worker PID`` each."""
    named = {}
    for process in instance.processes():
        command = " ".join(command_of(process))
        if "model_service_worker.py" in command:
            named[f"worker {process.pid}"] = process
        elif "org.pytorch.serve.ModelServer" in command:
            named["java"] = process
        elif process.ppid() != instance.session and "-m ts.model_server" not in command and not process.children():
            named["front"] = process  # Granian's worker
    return named


def measure(processes: dict[str, psutil.Process]) -> dict[str, float]:
    """Resident size (MB), descriptors and threads by process. Raises psutil.NoSuchProcess: one of them is gone."""
    values: dict[str, float] = {}
    for name, process in processes.items():
        with process.oneshot():
            values[f"{name}: memory, MB"] = process.memory_info().rss / 1e6
            values[f"{name}: descriptors"] = process.num_fds()
            values[f"{name}: threads"] = process.num_threads()
    return values


class Callers:
    """Threads that send orders one after the other until they are stopped."""

    def __init__(self, service: Service, orders: Iterator[GoodRequest | BadRequest], parallel: int) -> None:
        self._service, self._orders = service, orders
        self._lock, self._done = threading.Lock(), threading.Event()
        self.sent = 0
        self.faults: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._work) for _ in range(parallel)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while not self._done.is_set():
            with self._lock:
                order = next(self._orders)
            try:
                fault = self._service.send(order)
            except requests.RequestException as error:
                fault = f"no answer: {type(error).__name__}"
            with self._lock:
                self.sent += 1
                if fault:
                    self.faults[fault] += 1


def soak(callers: Callers, processes: dict[str, psutil.Process], seconds: float) -> list[Sample]:
    """Measure every EVERY_S while the callers call."""
    started, samples = time.monotonic(), []
    with callers:
        for number in itertools.count():
            time.sleep(max(0.0, started + number * EVERY_S - time.monotonic()))
            passed = time.monotonic() - started
            samples.append(Sample(passed, callers.sent, measure(processes)))
            print(f"\r  {passed:.0f} of {seconds:.0f} s, {callers.sent} requests", end="", flush=True)
            if passed >= seconds:
                break
    print()
    return samples


def main(
    model: Annotated[str, typer.Option(help="A served model.")] = DEFAULT_MODEL,
    minutes: Annotated[float, typer.Option(min=0.5)] = 20,
    parallel: Annotated[int, typer.Option(min=1, help="Requests at a time.")] = 4,
    seed: Annotated[int, typer.Option(help="Of the sequence of requests.")] = 0,
    state: Annotated[Path, typer.Option(help="The launcher's state folder.")] = STATE,
    out: Annotated[Path | None, typer.Option(help="Folder for soak.csv, soak.png and soak.md.")] = None,
) -> None:
    """Measure whether a service stays as it is under load."""
    instance = find(state)
    if instance is None:
        raise ServiceError(f"No service runs by {state}. Start one: ./scripts/serve --detach --models {model}")
    service, processes = Service(instance, model), name_processes(instance)
    callers = Callers(service, draw_orders(service.labels(), seed=seed), parallel)
    samples = soak(callers, processes, minutes * 60)
    verdicts = judge(samples, WARM_UP_SHARE * minutes * 60)
    for verdict in verdicts:
        print(verdict.line())
    faults = [f"{count} x {fault}" for fault, count in callers.faults.most_common(10)]
    if sorted(name_processes(instance)) != sorted(processes):
        faults.append(f"{sorted(processes)} were replaced by {sorted(name_processes(instance))}")
    print(f"{callers.sent} requests", *faults, sep="\n")
    if out:
        about = f"python -m tests.load.soak --model {model} --minutes {minutes:g} --parallel {parallel} --seed {seed}"
        write_report(out, samples, verdicts, faults, about=about)
    sys.exit(1 if faults or not all(verdict.is_flat for verdict in verdicts) else 0)


if __name__ == "__main__":
    typer.run(main)
