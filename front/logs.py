"""One JSON line per request on stdout. A full disk loses lines, never requests."""

from __future__ import annotations

import json
import os
import reprlib
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from weakseg.telemetry import Telemetry

_STDOUT = 1
_SHOWN = 200  # characters of what callers chose
_MOST = 20  # options


@dataclass(slots=True)
class Record:
    """One request on its way; who learns something of it writes it down here."""

    request_id: str
    client: str
    method: str
    path: str
    started: float = field(default_factory=time.perf_counter)
    status: int = 0  # 0: nothing was sent
    model: str = ""
    version: str = ""
    caller: str = ""  # whose token it was
    options: dict[str, Any] = field(default_factory=dict)
    bytes_in: int = 0
    bytes_out: int = 0
    telemetry: Telemetry | None = None
    attempts: int = 0  # to have a worker answer, of all photos together
    photos: int = 0  # that a worker was asked about
    error: str | None = None
    held_bytes: int = 0  # of the body, counted in the intake
    admitted: bool = False
    gone: bool = False  # the client closed the connection

    def as_line(self) -> bytes:
        told = self.telemetry or Telemetry()
        document: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": "error" if self.status >= 500 else "warning" if self.status >= 400 else "info",
            "request_id": self.request_id,
            "client": self.client,
            "method": self.method,
            "path": self.path[:_SHOWN],
            "status": self.status,
            "duration_ms": round((time.perf_counter() - self.started) * 1000, 3),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
        }
        if self.caller:
            document["caller"] = self.caller
        if self.model:
            document |= {"model": self.model[:_SHOWN], "version": self.version[:_SHOWN]}
        if self.options:
            document["options"] = {name[:_SHOWN]: _shown(self.options[name]) for name in [*self.options][:_MOST]}
        if told.stages_s:
            document |= {"maps": told.method, "refine": told.refine, "batch_size": told.batch_size, "worker": told.pid}
            document["stages_ms"] = {name: round(seconds * 1000, 3) for name, seconds in told.stages_s.items()}
        if self.photos > 1:
            document["photos"] = self.photos
        if self.attempts > max(1, self.photos):
            document["attempts"] = self.attempts
        if self.error:
            document["error"] = self.error
        return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _shown(value: Any) -> str:
    return value[:_SHOWN] if isinstance(value, str) else reprlib.repr(value)[:_SHOWN]


_current: ContextVar[Record | None] = ContextVar("request", default=None)


def current() -> Record:
    """The record of the request that this task works on; outside of any, one that nobody reads."""
    return _current.get() or Record("", "", "", "")


def begin(record: Record) -> None:
    _current.set(record)


class Log:
    """Lines to a file descriptor."""

    def __init__(self, descriptor: int = _STDOUT) -> None:
        self._descriptor = descriptor
        self._lost = 0
        self._is_cut = False  # the last line, by a disk that became full within it

    def write(self, record: Record) -> None:
        line = record.as_line()
        if self._lost:
            note = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": "error", "lost": self._lost}
            line = json.dumps(note, separators=(",", ":")).encode() + b"\n" + line
        if self._is_cut:
            line = b"\n" + line
        try:
            written = os.write(self._descriptor, line)
        except OSError:  # no space left, or nobody reads: counted, and told once there is space again
            self._lost += 1
            return
        self._is_cut = written < len(line)
        self._lost = self._lost + 1 if self._is_cut else 0
