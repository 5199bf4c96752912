"""Load that reads the answers: mixed models, photos, options, formats and transports, a tenth of it bad requests.

Against a running service (``./scripts/serve --detach``), from the repository's root; a closed loop of 8 users, then an
open loop in which 10 requests start every second, whether or not earlier ones are answered:

    python -m locust -f tests/load/locustfile.py --headless -u 8 -r 8 -t 60s --host http://127.0.0.1:8080
    python -m locust -f tests/load/locustfile.py --headless --rate 10 -t 60s --host http://127.0.0.1:8080

With ``--html FILE`` and ``--csv PREFIX`` locust writes its report; ``--samples FILE`` writes a line per request.

It exits with 1 if there was no answer, or if any was wrong: a 200 whose mask has another size than the photo or other
areas than its header says, a bad request that does not get its own error, an answer with another request's id, or one
request that gets two different masks: they must not depend on how it was sent, nor by more than rounding on what
shared its batch (see `checks.find_change`).

In the open loop latency counts from the moment at which a request was due, not from when it got away.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import gevent
from gevent.pool import Group
from locust import FastHttpUser, constant, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from benchmarks.arrivals import Arrivals, schedule
from tests.load.asking import Answer, Exam, Profile, Questions, Request, encode, name_of
from tests.load.samples import Sample, write_samples
from weakseg.archive import DEFAULT_MODEL

PATIENCE_S = 180.0  # for an answer
MODELS = f"{DEFAULT_MODEL},hair"
NOW, LATE = "now", "late"


class Test:
    """What all users of one run share."""

    def __init__(self, options: Any) -> None:
        self.options = options
        self.exam = Exam(refusals=options.refusals)
        self.seeds = itertools.count(options.seed)
        self.samples: list[Sample] = []
        self.unchecked: list[tuple[int, Request, str, Answer]] = []  # number of its sample, and what it takes to check
        self.start = time.perf_counter()

    def clock(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.start


@events.init_command_line_parser.add_listener
def _add_arguments(parser: LocustArgumentParser) -> None:
    add = parser.add_argument
    add("--rate", type=float, default=0.0, help="Open loop: requests per second; 0: closed loop of -u users")
    add(
        "--arrivals",
        default=Arrivals.CONSTANT.value,
        choices=[kind.value for kind in Arrivals],
        help="Of the open loop",
    )
    add("--questions", default=Profile.MIXED.value, choices=[kind.value for kind in Profile], help="What is asked")
    add("--models", default=os.environ.get("WEAKSEG_MODELS", MODELS), help="Served models, with commas")
    add("--seed", type=int, default=int(os.environ.get("WEAKSEG_SEED", "0")), help="Of the sequence of requests")
    add("--token", default=os.environ.get("WEAKSEG_TOKEN", ""), help="Where the service asks for one", is_secret=True)
    add(
        "--check", default=NOW, choices=[NOW, LATE], help="late: after the load, which checking then does not slow down"
    )
    add("--refusals", action="store_true", help="503 with Retry-After is no fault: more load than the service can take")
    add("--samples", default="", help="Write a line per request into this CSV file")


@events.init.add_listener
def _choose_loop(environment: Environment, **_: Any) -> None:
    """One user keeps the clock of an open loop; -u users make a closed one."""
    environment.user_classes = [OpenLoop if environment.parsed_options.rate else ClosedLoop]


@events.test_start.add_listener
def _start(environment: Environment, **_: Any) -> None:
    environment.weakseg = Test(environment.parsed_options)  # type: ignore[attr-defined]


@events.test_stop.add_listener
def _check_late_and_write(environment: Environment, **_: Any) -> None:
    test: Test = environment.weakseg  # type: ignore[attr-defined]
    for number, request, request_id, answer in test.unchecked:
        fault = test.exam.find_fault(request, request_id, answer)
        if fault is not None:
            name = name_of(request)
            environment.stats.log_error("POST", name, f"{name}: {fault}")
            sample = test.samples[number]
            test.samples[number] = Sample(sample.due_s, sample.sent_s, sample.done_s, sample.status, name, fault)
    if test.options.samples:
        write_samples(Path(test.options.samples), test.samples)


@events.quitting.add_listener
def _fail_without_answers(environment: Environment, **_: Any) -> None:
    if environment.stats.total.num_requests == 0 or environment.stats.errors:
        environment.process_exit_code = 1


class Caller(FastHttpUser):
    """Draws requests, sends them, and has their answers checked."""

    abstract = True
    network_timeout = connection_timeout = PATIENCE_S

    def on_start(self) -> None:
        self.test: Test = self.environment.weakseg
        options = self.test.options
        models = options.models.split(",")
        self.questions = Questions(Profile(options.questions), models, next(self.test.seeds))
        for model in models:
            self.questions.labels[model] = self._ask_for_labels(model)

    def _ask_for_labels(self, model: str) -> list[str]:
        path, body, headers, _ = encode(self.questions.first(model), self.test.options.token)
        with self.client.post(
            path, name="first, for the labels", data=body, headers=headers, catch_response=True
        ) as told:
            if told.status_code != 200:
                raise RuntimeError(f"{model} does not answer: {told.status_code} {told.text}")
            return [score["label"] for score in json.loads(told.content)["scores"]]

    def ask(self, due_s: float | None) -> None:
        """Send one request.

        Args:
            due_s: When it was to be sent, by the test's clock; None: now.
        """
        request = self.questions.draw()
        path, body, headers, request_id = encode(request, self.test.options.token)
        name, sent_s = name_of(request), self.test.clock()
        due_s = sent_s if due_s is None else due_s
        with self.client.post(path, name=name, data=body, headers=headers, catch_response=True) as told:
            done_s = self.test.clock()
            told.request_meta["response_time"] = (done_s - due_s) * 1000
            answer = Answer(told.status_code, told.headers or {}, told.content or b"")
            fault = self._judge(request, request_id, answer)
            self.test.samples.append(Sample(due_s, sent_s, done_s, answer.status, name, fault or ""))
            if fault is None:
                told.success()
            else:
                told.failure(f"{name}: {fault}")

    def _judge(self, request: Request, request_id: str, answer: Answer) -> str | None:
        if answer.status == 0:
            return "no answer"
        if self.test.options.check == NOW:
            return self.test.exam.find_fault(request, request_id, answer)
        self.test.unchecked.append((len(self.test.samples), request, request_id, answer))
        return None


class ClosedLoop(Caller):
    """Sends its next request as soon as the last one is answered."""

    wait_time = constant(0)

    @task
    def ask_again(self) -> None:
        self.ask(None)


class OpenLoop(Caller):
    """Starts requests by the clock, each in a greenlet of its own."""

    fixed_count = 1
    concurrency = 1000  # connections: none waits for another

    @task
    def keep_the_clock(self) -> None:
        options = self.test.options
        if not options.run_time:
            raise RuntimeError("--rate needs --run-time (-t)")
        self.under_way, begin_s = Group(), self.test.clock()
        for due_s in schedule(Arrivals(options.arrivals), options.rate, options.run_time - begin_s, seed=options.seed):
            gevent.sleep(max(begin_s + due_s - self.test.clock(), 0))
            self.under_way.spawn(self.ask, begin_s + due_s)
        self.under_way.join()
        gevent.sleep(options.run_time)  # locust ends the run

    def on_stop(self) -> None:
        self.under_way.join(timeout=PATIENCE_S)
