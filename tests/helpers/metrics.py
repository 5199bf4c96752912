"""The front's metrics in tests: a catalogue that is not, and samples by name."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from front.bodies import Intake
from front.catalogue import Model, Version, Worker
from front.facts import FactCollector
from front.metrics import Metrics
from front.processes import ProcessCollector
from front.settings import Settings
from front.workers import WorkerCollector
from tests.helpers.threads import LoopThread
from weakseg.telemetry import STAGES, Telemetry


def read(registry: CollectorRegistry) -> dict[str, float]:
    """Every sample, by name and labels as Prometheus writes them; empty labels left out, as Prometheus does."""
    found = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{text}"' for name, text in sorted(sample.labels.items()) if text)
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def version(
    *workers: Worker, model: str = "cat", name: str = "1.0", wanted: int = 2, waiting: int = 0, room: int = 0
) -> Version:
    return Version(model, name, f"{model}.mar", workers, wanted, 4, 8, 120.0, waiting, room)


def models(*versions: Version) -> dict[str, Model]:
    return {each.model: Model(each.name, {each.name: each}) for each in versions}


class FakeCatalogue:
    """What `WorkerCollector` asks of one."""

    def __init__(self, *versions: Version) -> None:
        self.found, self.is_reachable, self.looks, self.answers = models(*versions), True, 0, True

    async def refresh(self) -> None:
        self.looks += 1
        while not self.answers:
            await asyncio.sleep(60)

    def snapshot(self) -> dict[str, Model]:
        return self.found

    def card(self, version: Version) -> dict[str, Any] | None:
        return {"method": "cam", "network": "squeezenet1_1", "demonstration": False} if version.model == "cat" else None


def registry_of_everything(thread: LoopThread) -> CollectorRegistry:
    """A registry with a sample of everything but GPUs."""
    counted = Metrics()
    counted.know(["cat"])
    counted.started("cat")
    counted.answered("cat", 200, 0.1, Telemetry(dict.fromkeys(STAGES, 0.01), "cam", "crf", 1, 0.0, os.getpid()))
    counted.exchanged("/predictions/cat", 200, 1, 1)
    counted.registry.register(WorkerCollector(FakeCatalogue(version()), thread.loop))  # type: ignore[arg-type]
    counted.registry.register(ProcessCollector(dict))
    counted.registry.register(FactCollector(Intake(Settings())))
    return counted.registry
