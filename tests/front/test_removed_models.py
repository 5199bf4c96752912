"""TorchServe forgets what waits for a version that is removed: its callers must not wait for the timeout."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

from tests.helpers.fake_torchserve import FakeAnswer, FakeTorchServe, Seen
from tests.helpers.front import Front
from tests.helpers.http import Reply, post

MASK = b"the new version's mask"


def hang(seen: Seen) -> FakeAnswer:
    return FakeAnswer(delay_s=600.0)


def ask(front: Front, torchserve: FakeTorchServe, pool: ThreadPoolExecutor, path: str) -> Future[Reply]:
    """A request that is with TorchServe when this returns."""
    asked = pool.submit(post, front.url + path, b"picture")
    for _ in range(400):
        if torchserve.seen:
            return asked
        time.sleep(0.02)
    raise AssertionError("the request did not arrive")


def remove(front: Front, torchserve: FakeTorchServe, version: str) -> None:
    del torchserve.models["weakseg"][version]
    torchserve.worker = lambda seen: FakeAnswer(body=MASK)
    front.thread.run(front.app.state.service.catalogue.refresh())


def test_who_waits_for_the_default_gets_the_new_one(front: Front, torchserve: FakeTorchServe) -> None:
    torchserve.worker = hang
    front.thread.run(front.app.state.service.catalogue.refresh())
    with ThreadPoolExecutor(1) as pool:
        asked = ask(front, torchserve, pool, "/predictions/weakseg")
        torchserve.add_model("weakseg", "2.0", default=True)
        remove(front, torchserve, "1.0")
        reply = asked.result()
    assert (reply.status, reply.body, len(torchserve.seen)) == (200, MASK, 2)
    (line,) = front.lines(1)
    assert (line["status"], line["attempts"]) == (200, 2)


def test_who_named_the_version_is_told_that_there_is_none(front: Front, torchserve: FakeTorchServe) -> None:
    torchserve.add_model("weakseg", "2.0", default=True)
    torchserve.worker = hang
    front.thread.run(front.app.state.service.catalogue.refresh())
    with ThreadPoolExecutor(1) as pool:
        asked = ask(front, torchserve, pool, "/predictions/weakseg/1.0")
        remove(front, torchserve, "1.0")
        reply = asked.result()
    assert (reply.status, reply.json["error"]["code"]) == (404, "version_unknown")


def test_others_go_on_waiting(front: Front, torchserve: FakeTorchServe) -> None:
    torchserve.add_model("weakseg", "2.0", default=False)
    torchserve.worker = lambda seen: FakeAnswer(delay_s=1.0)
    front.thread.run(front.app.state.service.catalogue.refresh())
    with ThreadPoolExecutor(1) as pool:
        asked = ask(front, torchserve, pool, "/predictions/weakseg")
        remove(front, torchserve, "2.0")
        reply = asked.result()
    assert (reply.status, len(torchserve.seen)) == (200, 1)
