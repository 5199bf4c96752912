"""What the front knows of TorchServe's models, and tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.helpers.fake_torchserve import FakeTorchServe
from tests.helpers.front import Front
from tests.helpers.http import post, send
from weakseg import __version__


def test_a_model_that_is_registered_is_found_at_once(front: Front, torchserve: FakeTorchServe) -> None:
    for index in range(3):
        torchserve.add_model(f"new{index}")
        assert post(f"{front.url}/predictions/new{index}", b"picture").status == 200


def test_many_who_ask_for_what_is_not_there_share_a_look(front: Front, torchserve: FakeTorchServe) -> None:
    catalogue = front.app.state.service.catalogue

    async def ask() -> None:
        await asyncio.gather(*(catalogue.refresh() for _ in range(50)))

    before = torchserve.looks
    front.thread.run(ask())
    assert torchserve.looks - before <= 2


def test_versions_and_the_default_one(front: Front, torchserve: FakeTorchServe) -> None:
    torchserve.add_model("pets", "1.0", workers=2)
    torchserve.add_model("pets", "2.0", workers=3, ready=1, default=False)
    front.thread.run(front.app.state.service.catalogue.refresh())
    catalogue = front.app.state.service.catalogue
    assert catalogue.models() == ("pets", "weakseg")
    assert catalogue.versions("pets") == ("1.0", "2.0")
    assert catalogue.default_version("pets") == "1.0"
    assert [len(catalogue.workers("pets", version)) for version in (None, "2.0")] == [2, 3]
    assert catalogue.version("pets", "2.0").ready_workers == 1
    torchserve.defaults["pets"] = "2.0"
    front.thread.run(catalogue.refresh())
    assert catalogue.default_version("pets") == "2.0"


def test_more_models_than_one_page_lists(front: Front, torchserve: FakeTorchServe) -> None:
    for index in range(120):
        torchserve.add_model(f"model{index:03}")
    front.thread.run(front.app.state.service.catalogue.refresh())
    assert len(front.app.state.service.catalogue.models()) == 121


def test_a_management_api_that_fails_leaves_models_as_they_were(front: Front, torchserve: FakeTorchServe) -> None:
    assert post(f"{front.url}/predictions/weakseg", b"picture").status == 200
    torchserve.management_works = False
    front.thread.run(front.app.state.service.catalogue.refresh())
    assert post(f"{front.url}/predictions/weakseg", b"picture").status == 200


def test_a_model_that_cannot_be_looked_at_stays(front: Front, torchserve: FakeTorchServe) -> None:
    """Only a 404 says that it is gone: callers would be told that there is no such model, and give up."""
    assert post(f"{front.url}/predictions/weakseg", b"picture").status == 200
    default = torchserve.defaults.pop("weakseg")  # a 500
    catalogue = front.app.state.service.catalogue
    front.thread.run(catalogue.refresh())
    assert (catalogue.models(), catalogue.is_reachable) == (("weakseg",), False)
    torchserve.defaults["weakseg"] = default
    torchserve.add_model("other")
    front.thread.run(catalogue.refresh())
    assert (catalogue.models(), catalogue.is_reachable) == (("other", "weakseg"), True)
    del torchserve.models["other"]
    front.thread.run(catalogue.refresh())
    assert catalogue.models() == ("weakseg",)


def test_documents_that_are_not_understood_do_not_end_the_looks(front: Front, torchserve: FakeTorchServe) -> None:
    catalogue = front.app.state.service.catalogue
    front.thread.run(catalogue.refresh())
    entry = torchserve.models["weakseg"]["1.0"]
    workers = entry.pop("minWorkers")
    front.thread.run(catalogue.refresh())
    assert (catalogue.models(), catalogue.is_reachable) == (("weakseg",), False)
    assert send("GET", f"{front.metrics_url}/metrics").status == 200
    assert post(f"{front.url}/predictions/none", b"picture").json["error"]["code"] == "model_unknown"
    entry["minWorkers"] = workers
    looks = torchserve.looks
    front.thread.run(_wait_until(lambda: torchserve.looks > looks and catalogue.is_reachable))  # by itself


async def _wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.05)


def test_what_was_seen_long_ago_is_no_sign_of_health(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = ("/ping", "/health", "/v2/health/ready", "/v2/models/weakseg/ready", "/v1/models/weakseg")
    front.thread.run(front.app.state.service.catalogue.refresh())
    assert {send("GET", front.url + path).status for path in paths} == {200}
    monkeypatch.setattr("front.catalogue._STALE_S", 0.0)
    assert {send("GET", front.url + path).status for path in paths} == {503}
    assert send("GET", f"{front.url}/v2/health/live").status == 200
    assert post(f"{front.url}/predictions/weakseg", b"picture").status == 200  # nothing is refused for it


def test_health_tells_models_workers_and_what_they_run_on(front: Front, torchserve: FakeTorchServe) -> None:
    torchserve.add_model("pets", workers=2, ready=1)
    front.thread.run(front.app.state.service.catalogue.refresh())
    for model in ("pets", "weakseg"):
        assert send("GET", f"{front.url}/models/{model}").status == 200  # their cards are known from now on
    health = send("GET", f"{front.url}/health")
    assert health.status == 200
    about = {"method": "cam", "network": "squeezenet1_1", "runtime": "onnx", "device": "cpu", "demonstration": False}
    version = {"version": "1.0", "default": True, "batch_size": 8, **about}
    assert health.json == {
        "status": "Healthy",
        "software": f"weakseg {__version__}",
        "models": [
            {
                "model": "pets",
                "default_version": "1.0",
                "versions": [version | {"workers_ready": 1, "workers_wanted": 2}],
            },
            {
                "model": "weakseg",
                "default_version": "1.0",
                "versions": [version | {"workers_ready": 1, "workers_wanted": 1}],
            },
        ],
    }
    assert send("GET", f"{front.url}/models").json == {"models": health.json["models"]}


def test_unhealthy_while_no_model_has_a_worker(front: Front, torchserve: FakeTorchServe) -> None:
    assert send("GET", f"{front.url}/ping").json == {"status": "Healthy"}
    torchserve.add_model("weakseg", workers=1, ready=0)
    front.thread.run(front.app.state.service.catalogue.refresh())
    for path in ("/ping", "/health"):
        reply = send("GET", front.url + path)
        assert (reply.status, reply.json["status"]) == (503, "Unhealthy")


def test_a_description_is_asked_for_once_per_archive(front: Front, torchserve: FakeTorchServe) -> None:
    for path in ("/models/weakseg", "/models/weakseg/1.0", "/models/weakseg"):
        told = send("GET", front.url + path)
        assert told.status == 200
        assert (told.json["model"], told.json["version"], told.json["classes"]) == ("weakseg", "1.0", ["cat", "dog"])
        assert set(told.json["options"]) == {"classes"}
    assert torchserve.described == 1
    torchserve.models["weakseg"]["1.0"]["modelUrl"] = "other.mar"
    torchserve.cards["weakseg"] = {**torchserve.cards["weakseg"], "classes": ["horse"]}
    front.thread.run(front.app.state.service.catalogue.refresh())
    assert send("GET", f"{front.url}/models/weakseg").json["classes"] == ["horse"]


def test_what_cannot_be_described(front: Front, torchserve: FakeTorchServe) -> None:
    torchserve.add_model("idle", workers=0)
    codes = [
        send("GET", front.url + path).json["error"]["code"]
        for path in ("/models/none", "/models/weakseg/9", "/models/idle")
    ]
    assert codes == ["model_unknown", "version_unknown", "no_worker"]
