"""Load that reads the answers: mixed photos, options, formats and ways to send them, a tenth of it bad requests.

Against a running service (``./scripts/serve --detach``), from the repository's root:

    python -m locust -f tests/load/locustfile.py --headless -u 8 -r 8 -t 60s --host http://127.0.0.1:8080

It exits with 1 if there was no answer, or if any was wrong: a 200 whose mask has another size than the photo or other
areas than its header says, a bad request that does not get its own error, or one request that gets two different masks:
they must not depend on how it was sent, nor by more than rounding on what shared its batch (see `checks.find_change`).
WEAKSEG_MODEL names another model than weakseg; WEAKSEG_SEED another sequence of requests.
"""

from __future__ import annotations

import itertools
import os
import random
from typing import Any

from locust import HttpUser, constant, events, task
from locust.clients import ResponseContextManager
from locust.env import Environment

from tests.load.checks import find_change, find_error_fault, find_fault
from tests.load.mix import BAD_SHARE, BadRequest, GoodRequest, Transport, draw_request, make_bad_requests
from tests.load.photos import make_photos

PATH = f"/predictions/{os.environ.get('WEAKSEG_MODEL', 'weakseg')}"
PHOTOS = make_photos()
BAD_REQUESTS = make_bad_requests(PHOTOS[0])

_user_numbers = itertools.count(int(os.environ.get("WEAKSEG_SEED", "0")))
_first_bodies: dict[str, bytes] = {}  # what each request got first, over all users


@events.quitting.add_listener
def _fail_without_answers(environment: Environment, **_: Any) -> None:
    if environment.stats.total.num_requests == 0:
        environment.process_exit_code = 1


class Caller(HttpUser):
    """A client that sends its next request as soon as the last one is answered."""

    wait_time = constant(0)

    def on_start(self) -> None:
        self.chance = random.Random(next(_user_numbers))
        first = GoodRequest(PHOTOS[0], {"format": "json", "refine": "none"}, Transport.RAW)
        scores = self.client.post(PATH, name="first, for the labels", **first.arguments()).json()["scores"]
        self.labels = [score["label"] for score in scores]

    @task
    def ask(self) -> None:
        if self.chance.random() < BAD_SHARE:
            self._ask_wrongly(self.chance.choice(BAD_REQUESTS))
        else:
            self._ask(draw_request(self.chance, PHOTOS, self.labels))

    def _ask(self, request: GoodRequest) -> None:
        chosen = request.options["format"]
        with self._post(f"{chosen} ({request.transport})", request.arguments()) as answer:
            fault = f"status {answer.status_code}: {answer.text[:300]}" if answer.status_code != 200 else None
            fault = fault or find_fault(chosen, request.photo.size_wh, answer.content, answer.headers)
            if fault is None:
                fault = find_change(chosen, _first_bodies.setdefault(request.key, answer.content), answer.content)
            _conclude(answer, fault, request.key)

    def _ask_wrongly(self, request: BadRequest) -> None:
        with self._post(f"bad: {request.code}", request.arguments()) as answer:
            fault = find_error_fault(request.status, request.code, answer.status_code, answer.content)
            _conclude(answer, fault, request.code)

    def _post(self, name: str, arguments: dict[str, Any]) -> ResponseContextManager:
        return self.client.post(PATH, name=name, catch_response=True, **arguments)


def _conclude(answer: ResponseContextManager, fault: str | None, what: str) -> None:
    if fault is None:
        answer.success()
    else:
        answer.failure(f"{what}: {fault}")
