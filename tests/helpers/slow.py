"""Requests that take seconds, so that something can happen while they are under way."""

from __future__ import annotations

import re
import time

from tests.helpers.http import Reply, post, send
from tests.helpers.launcher import Launcher
from tests.helpers.photos import cat_photo

LOOKS = 1000
SLOW = 6  # requests; they share a batch, and end together
PHOTO = cat_photo(700, 500)


def ask_slowly(launcher: Launcher, model: str, **headers: str) -> Reply:
    """The reference CRF with as many steps as there may be."""
    return post(
        f"{launcher.url}/predictions/{model}",
        PHOTO,
        X_Weakseg_Crf_Engine="pydensecrf",
        X_Weakseg_Crf_Steps="50",
        **headers,
    )


def wait_until_in_flight(launcher: Launcher, count: int) -> None:
    """Return once the front says that so many requests are under way."""
    seen = 0.0
    for _ in range(LOOKS):
        metrics = send("GET", f"http://127.0.0.1:{launcher.port + 2}/metrics").body.decode()
        seen = sum(map(float, re.findall(r"^weakseg_requests_in_flight\{.*\} (\S+)$", metrics, flags=re.MULTILINE)))
        if seen >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"{seen:g} requests are under way, not {count}")
