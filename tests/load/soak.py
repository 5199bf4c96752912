"""Does a served model's memory stay flat? Thousands of mixed requests, and the worker's resident size beside them.

Against a running service (``./scripts/serve --detach --model NAME``), from the repository's root:

    python -m tests.load.soak --model squeezenet_saliency --requests 2000

Photos of all kinds and sizes, options, formats and ways to send them, a tenth of it bad requests, as in the load test.
It prints the curve, and exits with 1 if the median of the last tenth is more than 5 % above that of the first tenth
after the warm-up, if an answer has another status than it must, or if a worker was replaced on the way.
"""

from __future__ import annotations

import itertools
import json
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import psutil
import requests
import typer

from scripts.torchserve import STATE, Instance, ServiceError, find
from tests.load.mix import BAD_SHARE, BadRequest, GoodRequest, Transport, draw_request, make_bad_requests
from tests.load.photos import make_photos
from weakseg.archive import DEFAULT_MODEL

EVERY = 50  # requests between two measurements
WARM_UP_SHARE = 0.2  # of all requests: every kind of photo and option has come by, and every buffer has its size
LIMIT = 0.05
TIMEOUT_S = 120
WIDTH = 40  # of a bar, characters


@dataclass(frozen=True, slots=True)
class Sample:
    requests: int  # answered so far
    resident_mb: float  # of all workers of the model


def find_growth(curve: Sequence[Sample], warm_up: int) -> float:
    """By which share the resident size grew after the warm-up: medians of the first and the last tenth of what is left.

    Args:
        warm_up: Requests; samples up to there do not count.
    Raises:
        ValueError: no two samples are left.
    """
    after = [sample.resident_mb for sample in curve if sample.requests >= warm_up]
    if len(after) < 2:
        raise ValueError(f"{len(after)} measurements after {warm_up} requests: send more of them.")
    count = max(1, len(after) // 10)
    return statistics.median(after[-count:]) / statistics.median(after[:count]) - 1


def draw_curve(curve: Sequence[Sample], lines: int = 20) -> str:
    """One line and one bar per measurement, at most about ``lines`` of them; bars begin at zero."""
    step = -(-len(curve) // lines)
    largest = max(sample.resident_mb for sample in curve)
    shown = [*curve[:-1:step], curve[-1]]
    return "\n".join(
        f"{sample.requests:6d}  {sample.resident_mb:8.1f} MB  {'#' * round(WIDTH * sample.resident_mb / largest)}"
        for sample in shown
    )


def soak(
    send: Callable[[Any], str | None], measure: Callable[[], float], orders: Iterator[Any], count: int, parallel: int
) -> tuple[list[Sample], list[str]]:
    """Send ``count`` requests, ``parallel`` at a time, and measure between them while nothing runs.

    Args:
        send: Sends one request; says what was wrong with its answer.
        measure: The workers' resident size, MB.
    Returns:
        The curve, and all faults.
    """
    curve, faults = [Sample(0, measure())], []
    with ThreadPoolExecutor(parallel) as pool:
        for done in range(0, count, EVERY):
            batch = list(itertools.islice(orders, min(EVERY, count - done)))
            faults += [fault for fault in pool.map(send, batch) if fault]
            curve.append(Sample(done + len(batch), measure()))
            print(f"\r  {curve[-1].requests} of {count} requests, {curve[-1].resident_mb:.0f} MB", end="", flush=True)
    print()
    return curve, faults


def draw_orders(labels: Sequence[str], *, subtracts: bool, seed: int) -> Iterator[GoodRequest | BadRequest]:
    """Requests at random, without end.

    Args:
        subtracts: The model subtracts classes: every second request says how many.
    """
    chance, photos = random.Random(seed), make_photos()
    bad = make_bad_requests(photos[0])
    while True:
        if chance.random() < BAD_SHARE:
            yield chance.choice(bad)
            continue
        order = draw_request(chance, photos, labels)
        if subtracts and chance.random() < 0.5:
            options = {**order.options, "subtract_classes": str(chance.choice((0, 1, 3, 5)))}
            order = GoodRequest(order.photo, options, order.transport)
        yield order


@dataclass(frozen=True, slots=True)
class Service:
    """One model of a running service."""

    instance: Instance
    model: str

    def send(self, order: GoodRequest | BadRequest) -> str | None:
        expected = order.status if isinstance(order, BadRequest) else 200
        answer = self._post(order)
        if answer.status_code == expected:
            return None
        return f"status {answer.status_code} instead of {expected}: {answer.text[:200]}"

    def _post(self, order: GoodRequest | BadRequest) -> requests.Response:
        url = f"{self.instance.inference_url}/predictions/{self.model}"
        arguments = order.arguments()
        if self.instance.key_file.exists():
            key = json.loads(self.instance.key_file.read_text(encoding="utf-8"))["inference"]["key"]
            arguments["headers"] = {**arguments.get("headers", {}), "Authorization": f"Bearer {key}"}
        return requests.post(url, timeout=TIMEOUT_S, **arguments)

    def labels(self) -> list[str]:
        """Names that the model knows."""
        order = GoodRequest(make_photos()[0], {"format": "json", "refine": "none"}, Transport.RAW)
        answer = self._post(order)
        answer.raise_for_status()
        return [score["label"] for score in answer.json()["scores"]]

    def subtracts(self) -> bool:
        """Whether the model subtracts classes. TorchServe leaves fields out that are null."""
        return "subtract_classes" in self._described("?customized=true")["customizedMetadata"]

    def worker_pids(self) -> list[int]:
        return sorted(worker["pid"] for worker in self._described()["workers"])

    def _described(self, query: str = "") -> dict[str, Any]:
        (described,) = self.instance.ask("management", f"/models/{self.model}{query}")
        return dict(described)


def resident_mb(pids: Sequence[int]) -> float:
    return sum(psutil.Process(pid).memory_info().rss for pid in pids) / 1e6


def main(
    model: Annotated[str, typer.Option(help="A served model.")] = DEFAULT_MODEL,
    count: Annotated[int, typer.Option("--requests", min=10 * EVERY)] = 2000,
    parallel: Annotated[int, typer.Option(min=1, help="Requests at a time: they share batches.")] = 4,
    seed: Annotated[int, typer.Option(help="Of the sequence of requests.")] = 0,
    state: Annotated[Path, typer.Option(help="The launcher's state folder.")] = STATE,
) -> None:
    """Measure whether a served model's memory stays flat."""
    instance = find(state)
    if instance is None:
        raise ServiceError(f"No service runs by {state}. Start one: ./scripts/serve --detach --model {model}")
    service = Service(instance, model)
    pids = service.worker_pids()
    orders = draw_orders(service.labels(), subtracts=service.subtracts(), seed=seed)
    curve, faults = soak(service.send, lambda: resident_mb(pids), orders, count, parallel)
    if service.worker_pids() != pids:
        faults.append(f"workers {pids} were replaced by {service.worker_pids()}")
    growth = find_growth(curve, round(WARM_UP_SHARE * count))
    print(draw_curve(curve))
    print(f"{model}: {count} requests, resident size {growth:+.1%} after the warm-up (limit {LIMIT:.0%})")
    print("\n".join(faults[:10]), end="\n" if faults else "")
    sys.exit(1 if faults or growth > LIMIT else 0)


if __name__ == "__main__":
    typer.run(main)
