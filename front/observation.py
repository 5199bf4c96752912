"""Puts together what Prometheus sees beside the counts of `front.metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry

from front.bodies import Intake
from front.catalogue import Catalogue, Model
from front.facts import FactCollector
from front.gpus import GpuCollector
from front.metrics import Metrics
from front.processes import ProcessCollector
from front.workers import DeathWatch, WorkerCollector


def observe_workers(metrics: Metrics) -> Callable[[Mapping[str, Model]], None]:
    """What is done with each look of the catalogue: new models count from 0, dead workers are counted."""
    watch = DeathWatch(metrics.died)

    def look(models: Mapping[str, Model]) -> None:
        metrics.know(models)
        watch.look(models)

    return look


def register_collectors(registry: CollectorRegistry, catalogue: Catalogue, intake: Intake) -> None:
    """What is read at scrape time. Call it in the catalogue's event loop."""

    def owners() -> dict[int, str]:
        return {
            worker.pid: version.model
            for model in catalogue.snapshot().values()
            for version in model.versions.values()
            for worker in version.workers
        }

    registry.register(WorkerCollector(catalogue, asyncio.get_running_loop()))
    registry.register(ProcessCollector(owners))
    registry.register(GpuCollector())
    registry.register(FactCollector(intake))
