"""The service's logs: fresh ones for every start, their last lines, and what they say of a worker's end."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

WORKER_DIED = "Backend worker process died."
_EXCEPTION = re.compile(r"MODEL_LOG - ((?:\w+\.)*\w*(?:Error|Exception|Interrupt|Exit)\b.*|(?:\w+\.)+[A-Z]\w*: .*)$")


def fresh_logs(state: Path) -> Path:
    """An empty ``state/logs``; the logs of the run before stay in ``state/logs.before``."""
    logs, before = state / "logs", state / "logs.before"
    shutil.rmtree(before, ignore_errors=True)
    if logs.exists():
        logs.rename(before)
    logs.mkdir(parents=True)
    return logs


def find_cause(model_log: str, model: str | None = None) -> str | None:
    """What ended a worker (of any model, or of this one), out of TorchServe's log; None while none died.

    Where a handler cannot be imported, TorchServe's last exception only names its own fallback, a
    ``ts.torch_handler.NAME`` that never was; the true cause is the one before.
    """
    if model is not None:
        worker = re.compile(rf"W-\d+-{re.escape(model)}_[^_ ]*-std")
        model_log = "\n".join(filter(worker.search, model_log.splitlines()))
    _, died, after = model_log.partition(WORKER_DIED)
    if not died:
        return None
    exceptions = [found[1] for found in map(_EXCEPTION.search, after.splitlines()) if found]
    causes = [line for line in exceptions if "ts.torch_handler." not in line]
    return (causes or exceptions or ["see the log"])[-1]


def log_tail(state: Path, *names: str) -> str:
    """The last lines of these logs; of what Java, the front and TorchServe said where none is named."""
    parts = []
    for path in (state / "logs" / name for name in names or ("errors.log", "front.log", "ts_log.log")):
        said = [line for line in read_log(path).splitlines() if not line.startswith("WARNING: ")]  # Java's, always
        if said:
            parts.append("\n".join([f"--- {path}", *said[-15:]]))
    return "\n".join(parts)


def read_log(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
