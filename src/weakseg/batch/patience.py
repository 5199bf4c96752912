"""How long to wait between two tries, and when to give up."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

RETRYABLE = frozenset({408, 425, 429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Patience:
    """Waits double from ``first_s`` to ``longest_s``, each cut by up to half at random, so that callers do not return
    at the same moment; a Retry-After is waited for at least.

    Args:
        total_s: A question is given up when the next try would begin later than this after its first.
        asked_s: The longest Retry-After that is obeyed as it stands.
    """

    total_s: float = 300.0
    first_s: float = 0.5
    longest_s: float = 30.0
    asked_s: float = 120.0

    def pause_s(self, tries: int, retry_after_s: float | None, chance: random.Random) -> float:
        """Seconds until the next try after so many."""
        grown = min(self.longest_s, self.first_s * 2.0 ** min(tries - 1, 30))
        pause = grown * chance.uniform(0.5, 1.0)
        if retry_after_s is None:
            return pause
        return min(retry_after_s, self.asked_s) + pause / 4  # not all of them in the same moment


def is_retryable(status: int, headers: Mapping[str, str]) -> bool:
    """Whether the same request may do better later: by its status, or as the answer says when."""
    return status in RETRYABLE or (status >= 400 and "Retry-After" in headers)


def read_retry_after(text: str | None, now: datetime | None = None) -> float | None:
    """Seconds, from a number or a date (RFC 9110, section 10.2.3); None where there is none that can be read."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
