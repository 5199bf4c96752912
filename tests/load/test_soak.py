"""The soak test's arithmetic, on curves whose answer is plain."""

from __future__ import annotations

import itertools

import pytest

from tests.load.mix import BadRequest, GoodRequest
from tests.load.soak import EVERY, Sample, draw_curve, draw_orders, find_growth, soak


def curve(*resident_mb: float) -> list[Sample]:
    return [Sample(100 * index, size) for index, size in enumerate(resident_mb)]


def test_what_comes_before_the_warm_up_does_not_count() -> None:
    assert find_growth(curve(300, 700, 800, 820, 840), warm_up=200) == pytest.approx(0.05)


def test_one_spike_is_no_growth() -> None:
    sizes = [800.0] * 30
    sizes[-2] = 2000
    assert find_growth(curve(*sizes), warm_up=0) == 0


def test_a_shrinking_worker_has_negative_growth() -> None:
    assert find_growth(curve(1000, 900), warm_up=0) == pytest.approx(-0.1)


def test_too_few_measurements_say_nothing() -> None:
    with pytest.raises(ValueError, match="1 measurements after 400"):
        find_growth(curve(1, 2, 3, 4, 5), warm_up=400)


def test_the_curve_ends_with_its_last_measurement() -> None:
    lines = draw_curve(curve(*range(1, 101)), lines=10).splitlines()
    assert len(lines) == 11
    assert lines[0].split() == ["0", "1.0", "MB"]
    assert lines[-1].split() == ["9900", "100.0", "MB", "#" * 40]


def test_every_request_is_sent_and_every_fault_kept(capsys: pytest.CaptureFixture[str]) -> None:
    sizes, sent = itertools.count(100.0), []

    def send(order: int) -> str | None:
        sent.append(order)
        return f"fault of {order}" if order == 7 else None

    found, faults = soak(send, lambda: next(sizes), itertools.count(), count=2 * EVERY + 3, parallel=2)
    assert sorted(sent) == list(range(2 * EVERY + 3))
    assert [sample.requests for sample in found] == [0, EVERY, 2 * EVERY, 2 * EVERY + 3]
    assert faults == ["fault of 7"]


def test_orders_repeat_with_their_seed_and_subtract_where_the_model_does() -> None:
    first, second = (list(itertools.islice(draw_orders(["a", "b"], subtracts=True, seed=1), 80)) for _ in range(2))
    assert first == second
    good = [order for order in first if isinstance(order, GoodRequest)]
    assert len(good) > 60
    assert any(isinstance(order, BadRequest) for order in first)
    assert {"0", "1"} <= {order.options.get("subtract_classes", "") for order in good}
