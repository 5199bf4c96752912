"""The log of requests, whose lines come a moment after their answers."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.helpers.launcher import Launcher

LOOKS = 1200
EVERY_S = 0.1


def requests_log(launcher: Launcher) -> str:
    return (launcher.state / "logs" / "requests.log").read_text(encoding="utf-8")


def lines(launcher: Launcher) -> list[dict[str, Any]]:
    """Those that are written to their end."""
    return [json.loads(line) for line in requests_log(launcher).splitlines(keepends=True) if line.endswith("}\n")]


def line_of(launcher: Launcher, request_id: str) -> dict[str, Any]:
    """The one line of a request, once it is there."""
    for _ in range(LOOKS):
        found = [line for line in lines(launcher) if line.get("request_id") == request_id]
        if found:
            assert len(found) == 1, found
            return found[0]
        time.sleep(EVERY_S)
    raise AssertionError(f"no line of request {request_id}")
