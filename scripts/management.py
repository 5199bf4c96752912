"""Models of a running service, through TorchServe's management API: errors name their cause, which TorchServe hides."""

from __future__ import annotations

import json
import urllib.error
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from scripts.instance import Instance, ServiceError
from scripts.service_logs import find_cause, read_log
from weakseg.archive import open_archive

LOAD_TIMEOUT_S = 600  # until as many workers as were asked for have loaded a model


@dataclass(frozen=True, slots=True)
class Registered:
    """One version of a model, as TorchServe has it."""

    name: str
    version: str
    is_default: bool
    archive: str
    workers_ready: int
    workers: int
    batch_size: int
    max_batch_delay_ms: int


def models(instance: Instance) -> list[Registered]:
    """All versions of all models.

    Raises:
        ServiceError: TorchServe does not answer.
    """
    names = [entry["modelName"] for entry in _manage(instance, "GET", "/models?limit=1000")["models"]]
    found = []
    for name in names:
        (default,) = _manage(instance, "GET", _path(name, None))
        entries = _manage(instance, "GET", f"{_path(name, None)}/all")
        found += [_read(entry, default["modelVersion"]) for entry in entries]
    return found


def register(
    instance: Instance, archive: str, name: str, *, workers: int, batch_size: int | None, max_batch_delay_ms: int | None
) -> str:
    """Register an archive of the store, and wait until its workers have loaded it; the version that it is.

    Args:
        batch_size, max_batch_delay_ms: None: the archive's.
    Raises:
        ModelError: it is no archive of ours. ServiceError: it is not there, or cannot be served; names the cause.
    """
    path = instance.store / f"{archive}.mar"
    if not path.exists():
        known = ", ".join(sorted(found.stem for found in instance.store.glob("*.mar")))
        raise ServiceError(f"{path.name} is not in {instance.store} (there are: {known}). Copy it there first.")
    version = open_archive(path).card.version
    asked = {"url": path.name, "model_name": name, "initial_workers": workers, "synchronous": "true"}
    sizes = {"batch_size": batch_size, "max_batch_delay": max_batch_delay_ms}
    asked |= {key: number for key, number in sizes.items() if number is not None}
    log = instance.state / "logs" / "model_log.log"
    said_before = len(read_log(log))
    try:
        _manage(instance, "POST", f"/models?{urlencode(asked)}")
    except ServiceError as error:
        said = read_log(log)
        cause = find_cause(said[said_before:] if len(said) >= said_before else said, name)
        raise ServiceError(
            f"{error} The cause: {cause.rstrip('.')}. More in {log}." if cause else str(error)
        ) from error
    return version


def scale(instance: Instance, name: str, workers: int, version: str | None = None) -> None:
    """Give a model other workers, and wait for them. What a worker was at is not lost: the front sends it again.

    Raises:
        ServiceError: no such model, or the workers do not start.
    """
    asked = urlencode({"min_worker": workers, "max_worker": workers, "synchronous": "true"})
    _manage(instance, "PUT", f"{_path(name, version)}?{asked}")


def set_default(instance: Instance, name: str, version: str) -> None:
    """The version that answers where none is named. Raises: ServiceError: there is none such."""
    _manage(instance, "PUT", f"{_path(name, version)}/set-default")


def remove(instance: Instance, name: str, version: str | None = None) -> None:
    """Unregister a version (None: the default one); the archive stays in the store.

    Raises:
        ServiceError: there is none such, or it is the default beside others.
    """
    _manage(instance, "DELETE", _path(name, version))


def _path(name: str, version: str | None) -> str:
    return f"/models/{quote(name, safe='')}" + (f"/{quote(version, safe='')}" if version else "")


def _read(entry: dict[str, Any], default: str) -> Registered:
    return Registered(
        entry["modelName"],
        entry["modelVersion"],
        entry["modelVersion"] == default,
        entry["modelUrl"],
        sum(worker["status"] == "READY" for worker in entry["workers"]),
        entry["minWorkers"],
        entry["batchSize"],
        entry["maxBatchDelay"],
    )


def _manage(instance: Instance, method: str, path: str) -> Any:
    try:
        return instance.ask("management", path, method=method, timeout_s=LOAD_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        raise ServiceError(f"TorchServe refuses ({error.code}): {_message(error.read())}.") from error
    except OSError as error:
        raise ServiceError(
            f"The management API does not answer ({error}). Look into {instance.state / 'logs'}."
        ) from error


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"]).rstrip(".")
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:300]
