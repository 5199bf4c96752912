"""Models come, grow, shrink, change and go while the service is used: nobody who asks notices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Service
from tests.helpers.archives import changed, of_version, with_half_a_graph, without_a_module
from tests.helpers.background import background
from tests.helpers.http import Reply, post, send
from tests.helpers.photos import cat_photo

PHOTO = cat_photo(240, 160)


def register(service: Service, archive: str, name: str) -> Reply:
    return send(
        "POST", f"{service.management}?url={archive}&model_name={name}&initial_workers=1&batch_size=2&synchronous=true"
    )


def manage(service: Service, method: str, path: str) -> None:
    reply = send(method, f"{service.management}/{path}", timeout_s=300)
    assert reply.status in (200, 202), reply.body


def version_of(url: str) -> str:
    reply = post(url, PHOTO)
    assert reply.status == 200, reply.body
    return reply.headers["X-Weakseg-Version"]


@pytest.fixture
def elastic(service: Service) -> Iterator[str]:
    """A model of its own; its name."""
    assert register(service, "tiny_cam.mar", "elastic").status == 200
    yield "elastic"
    manage(service, "DELETE", "elastic")


def test_workers_up_and_down_under_load_without_a_lost_request(service: Service, elastic: str) -> None:
    url = f"{service.launcher.url}/predictions/{elastic}"
    with background(lambda: post(url, PHOTO), threads=6) as load:
        for workers in (2, 1, 2, 1):
            load.wait_for(10)
            manage(service, "PUT", f"{elastic}?min_worker={workers}&max_worker={workers}&synchronous=true")
            (described,) = send("GET", f"{service.management}/{elastic}").json
            assert len(described["workers"]) == workers
        load.wait_for(10)
    assert set(load.replies) == {"200"}, load.replies


def test_a_new_version_beside_the_old_a_switch_and_back(service: Service) -> None:
    store = service.launcher.store
    changed(store / "tiny_cam.mar", store / "tiny_cam_2.mar", of_version("2.0"))
    assert register(service, "tiny_cam.mar", "rolling").status == 200
    url = f"{service.launcher.url}/predictions/rolling"
    with background(lambda: post(url, PHOTO), threads=2) as load:
        assert register(service, "tiny_cam_2.mar", "rolling").status == 200
        assert [version_of(url), version_of(f"{url}/7.1"), version_of(f"{url}/2.0")] == ["7.1", "7.1", "2.0"]

        manage(service, "PUT", "rolling/2.0/set-default")
        assert version_of(url) == "2.0"
        manage(service, "PUT", "rolling/7.1/set-default")
        assert version_of(url) == "7.1", "rolled back"
        manage(service, "PUT", "rolling/2.0/set-default")
        load.wait_for(5)

        assert send("DELETE", f"{service.management}/rolling/2.0").status == 403, "the default stays"
        manage(service, "DELETE", "rolling/7.1")
        assert post(f"{url}/7.1", PHOTO).json["error"]["code"] == "version_unknown"
        load.wait_for(5)
    assert set(load.replies) == {"200"}, load.replies
    manage(service, "DELETE", "rolling/2.0")
    assert post(url, PHOTO).json["error"]["code"] == "model_unknown"


def break_off(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("moduleless", "No module named 'a_module_that_nobody_has'"),
        ("halved", "its model.onnx cannot be loaded"),
        ("cut_off", "is not a model archive"),
        ("nowhere", "is not in"),
    ],
)
def test_a_broken_archive_is_refused_by_its_cause_and_the_service_goes_on(
    service: Service, name: str, cause: str
) -> None:
    store = service.launcher.store
    sound, broken = store / "tiny_cam.mar", store / f"{name}.mar"
    changes = {"moduleless": without_a_module, "halved": with_half_a_graph}
    if name in changes:
        changed(sound, broken, changes[name])
    elif name == "cut_off":
        break_off(sound, broken)

    by_hand = send("POST", f"{service.management}?url={name}.mar&model_name={name}&synchronous=true")
    assert by_hand.status in (404, 500)
    told = service.launcher.models("register", name)
    assert told.returncode == 1
    assert cause in told.stdout

    assert post(service.tiny, PHOTO).status == 200
    known = {entry["modelName"] for entry in send("GET", service.management).json["models"]}
    assert name not in known
