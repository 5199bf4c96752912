"""Figures of a load test out of its samples, on cases whose answer is plain; no service, no locust."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.gpu import GpuUse
from tests.load.curve import Step, measure_closed, measure_open, row_of
from tests.load.curve_plot import draw_curve
from tests.load.samples import Sample, read_samples, write_samples


def sample(due_s: float, done_s: float, status: int = 200, sent_s: float | None = None) -> Sample:
    return Sample(due_s, due_s if sent_s is None else sent_s, done_s, status, "mask", "")


def test_samples_come_back_as_they_were_written(tmp_path: Path) -> None:
    samples = [sample(0.1, 1 / 3), Sample(1.5, 1.75, 2.5, 503, 'a "name", with commas', "line\nand line")]
    write_samples(tmp_path / "deep" / "samples.csv", samples)
    assert read_samples(tmp_path / "deep" / "samples.csv") == samples


def test_an_open_loop_that_grows_a_queue_answers_what_the_service_can_do() -> None:
    """Ten a second are offered, five are answered: the last one waits as long as all before it."""
    samples = [sample(5 + index / 10, 5 + (index + 1) / 5) for index in range(20)]
    row = row_of(1.2, 10.0, Step(samples, measure_open(samples), GpuUse()))
    assert row["load"] == "120%"
    assert row["answered"] == pytest.approx(5)
    assert row["p50 ms"] == pytest.approx(2000 - 900)
    assert row["p99 ms"] == pytest.approx(4000 - 1900)
    assert (row["GPU %"], row["GPU MB"]) == (None, None)


def test_errors_that_were_asked_for_are_answers_and_refusals_are_not() -> None:
    samples = [sample(0, 1), sample(0, 0.5, 400), sample(0, 0.01, 503), sample(1, 2, sent_s=1.2)]
    row = row_of(0.5, 2.0, Step(samples, measure_open(samples), GpuUse([10, 30], [100, 300])))
    assert row["answered"] == pytest.approx(3 / 2)
    assert row["refused %"] == 25
    assert row["p50 ms"] == pytest.approx(1000)
    assert row["late ms"] == pytest.approx(200)
    assert (row["GPU %"], row["GPU MB"]) == (20, 300)


def test_a_closed_loop_counts_without_its_beginning_and_its_end() -> None:
    """Two users, a second each, from 3 s to 13 s on the clock; the first two seconds were slow."""
    slow = [sample(3, 5), sample(3, 5)]
    steady = [sample(second, second + 1) for second in range(5, 13) for _ in range(2)]
    made = measure_closed([*slow, *steady], 10)
    assert made.throughput_per_s == pytest.approx(2)
    assert made.latencies_ms == pytest.approx([1000] * 12)


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    rows = [
        {"offered": rate, "answered": min(rate, 20), "p50 ms": 60 + rate, "p95 ms": 90 + rate, "p99 ms": 10 * rate}
        for rate in (2, 10, 24)
    ]
    with Image.open(draw_curve(rows, 20, tmp_path / "deep" / "curve.png")) as picture:
        assert np.asarray(picture.convert("L")).std() > 10
