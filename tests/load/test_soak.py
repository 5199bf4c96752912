"""The soak test's arithmetic and report, on curves whose answer is plain."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import psutil
import pytest

from tests.load.mix import BadRequest, GoodRequest
from tests.load.soak import BAD_SHARE, draw_orders, measure
from tests.load.soak_samples import SLACK, Sample, Verdict, judge, write_report

MEMORY, THREADS = "front: memory, MB", "front: threads"


def curve(*memory_mb: float, threads: float = 9) -> list[Sample]:
    return [Sample(10.0 * at, 100 * at, {MEMORY: size, THREADS: threads}) for at, size in enumerate(memory_mb)]


def test_what_comes_before_the_warm_up_does_not_count() -> None:
    memory, threads = judge(curve(300, 700, 800, 820, 841), warm_up_s=20)
    assert (memory.first, memory.last) == (800, 841)
    assert memory.growth == pytest.approx(0.05125)
    assert not memory.is_flat
    assert threads.is_flat
    assert judge(curve(300, 700, 800, 820, 840), warm_up_s=20)[0].is_flat


def test_one_spike_is_no_growth() -> None:
    sizes = [800.0] * 30
    sizes[-2] = 2000
    assert judge(curve(*sizes), warm_up_s=0)[0].growth == 0


def test_a_shrinking_process_is_flat() -> None:
    memory = judge(curve(1000, 900), warm_up_s=0)[0]
    assert memory.growth == pytest.approx(-0.1)
    assert memory.is_flat


def test_counts_have_some_slack_and_no_more() -> None:
    assert Verdict(THREADS, 10, 10 + SLACK).is_flat
    assert not Verdict(THREADS, 10, 11 + SLACK).is_flat
    assert not Verdict(MEMORY, 10, 10 + SLACK).is_flat


def test_too_few_measurements_say_nothing() -> None:
    with pytest.raises(ValueError, match="1 measurements after 40 s"):
        judge(curve(1, 2, 3, 4, 5), warm_up_s=40)


def test_this_process_can_be_measured() -> None:
    values = measure({"me": psutil.Process(os.getpid())})
    assert set(values) == {"me: memory, MB", "me: descriptors", "me: threads"}
    assert all(value > 0 for value in values.values())


def test_the_report(tmp_path: Path) -> None:
    samples = curve(*range(100, 200))
    write_report(tmp_path, samples, judge(samples, 0), ["2 x status 500"], about="python -m tests.load.soak")
    lines = (tmp_path / "soak.csv").read_text().splitlines()
    assert lines[0] == f'seconds,requests,"{MEMORY}",{THREADS}'
    assert lines[-1] == "990.0,9900,199.0,9.0"
    told = (tmp_path / "soak.md").read_text()
    assert "9,900 requests in 16.5 minutes,\n1 kind of wrong answer" in told
    assert f"| {MEMORY} | 104.5 | 194.5 | +86.1% | **no** |" in told
    assert "- 2 x status 500" in told
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")


def test_orders_repeat_with_their_seed() -> None:
    first, second = (list(itertools.islice(draw_orders(["a", "b"], seed=1), 400)) for _ in range(2))
    assert first == second
    bad = sum(isinstance(order, BadRequest) for order in first)
    assert 0.5 * BAD_SHARE < bad / len(first) < 2 * BAD_SHARE
    assert any(isinstance(order, GoodRequest) for order in first)
