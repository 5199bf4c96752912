"""The cheap client, against a server of this process whose delays are known. Nothing here looks at how fast it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks import load
from benchmarks.load import TIMINGS, LoadError, Target, put_arrivals, put_load, send


class Slow(BaseHTTPRequestHandler):
    """Answers nobody before ``expected`` requests are there, and everybody after ``stall_s``."""

    protocol_version = "HTTP/1.1"
    counting = threading.Lock()
    arrived = 0
    gate = threading.Event()
    expected = 1
    stall_s = 0.0
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.counting:
            type(self).arrived += 1
        if self.arrived >= self.expected:
            self.gate.set()
        self.gate.wait()
        time.sleep(self.stall_s)
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header(TIMINGS, '{"total": 7.5}')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: the tests' output is theirs."""


@pytest.fixture
def target() -> Iterator[Target]:
    Slow.gate, Slow.arrived, Slow.expected, Slow.stall_s, Slow.status = threading.Event(), 0, 1, 0.0, 200
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Target("127.0.0.1", server.server_port, "/predict", b"photo", {"Content-Type": "image/jpeg"})
    Slow.gate.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_open_loop_does_not_wait_for_answers(target: Target) -> None:
    """The server answers nobody before all four are there."""
    Slow.gate.clear()
    Slow.expected = 4
    made = put_arrivals(target, [0.0, 0.01, 0.02, 0.03], 1.0)
    assert len(made.latencies_ms) == 4
    assert max(each.sent_s for each in made.exchanges) < min(each.done_s for each in made.exchanges)


def test_an_open_loop_counts_from_when_a_request_was_due(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection, and a server that stalls: who could not even be sent has waited all the same."""
    monkeypatch.setattr(load, "MOST_IN_FLIGHT", 1)
    Slow.stall_s = 0.3
    first, second, third = sorted(put_arrivals(target, [0.0, 0.05, 0.1], 1.0).exchanges)
    assert (first.due_s, second.due_s, third.due_s) == (0.0, 0.05, 0.1)
    assert second.sent_s >= first.done_s >= 0.3  # a sleep takes its time at least
    assert third.sent_s >= second.done_s >= 0.6
    for each in (first, second, third):
        assert each.latency_ms == pytest.approx((each.done_s - each.due_s) * 1000)


def test_a_closed_loop_waits_for_each_answer(target: Target) -> None:
    made = put_load(target, 2, 0.2)
    assert made.whole >= 2
    assert len(made.latencies_ms) == len(made.exchanges)
    assert {each.pipeline_ms for each in made.exchanges} == {7.5}
    assert all(each.due_s == each.sent_s for each in made.exchanges)
    assert 0 < made.answered <= made.whole


def test_failures_are_no_figures(target: Target) -> None:
    Slow.status = 503
    for call in (lambda: send(target), lambda: put_load(target, 1, 0.01), lambda: put_arrivals(target, [0.0], 0.1)):
        with pytest.raises(LoadError, match="503"):
            call()
    made = put_arrivals(target, [0.0, 0.01], 0.1, strict=False)
    assert [each.status for each in made.exchanges] == [503, 503]
    assert made.latencies_ms == []
    assert made.answered == 0


def test_the_answers_body(target: Target) -> None:
    assert send(target) == b"photo"
