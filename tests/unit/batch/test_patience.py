import random
from datetime import UTC, datetime

import pytest

from weakseg.batch.patience import Patience, is_retryable, read_retry_after

NOW = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)


def test_pauses_double_up_to_the_longest_and_are_cut_at_random() -> None:
    chance = random.Random(0)
    for tries, whole in [(1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 30.0), (5000, 30.0)]:
        pauses = [Patience().pause_s(tries, None, chance) for _ in range(100)]
        assert all(whole / 2 <= pause <= whole for pause in pauses)
        assert max(pauses) - min(pauses) > whole / 4


def test_a_service_that_says_when_is_obeyed() -> None:
    chance = random.Random(0)
    assert 7.0 < Patience().pause_s(1, 7.0, chance) < 7.2
    assert 120.0 < Patience().pause_s(1, 1e6, chance) < 120.2, "within reason"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0),
        (" 120 ", 120.0),
        ("Tue, 01 Dec 2026 08:00:30 GMT", 30.0),
        ("Tue, 01 Dec 2026 07:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    assert read_retry_after(text, NOW) == seconds


def test_what_may_be_better_later() -> None:
    assert [status for status in range(400, 600) if is_retryable(status, {})] == [408, 425, 429, 502, 503, 504]
    assert is_retryable(500, {"Retry-After": "1"})
    assert not is_retryable(200, {"Retry-After": "1"})
