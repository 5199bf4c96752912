"""Models, batches and metrics through the management and metrics APIs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.conftest import Service
from tests.helpers.http import Reply, post, post_form, send
from tests.helpers.logs import line_of
from tests.helpers.photos import cat_photo

REQUESTS: list[Callable[[str], Reply]] = [
    lambda url: post(url, cat_photo(120, 80)),
    lambda url: post_form(url, cat_photo(64, 110, "PNG"), classes="cat,dog", refine="none"),
    lambda url: post_form(url, cat_photo(200, 90, "WEBP"), classes="none", box="10,10,150,80"),
    lambda url: post_form(url, cat_photo(90, 90)[:900]),
    lambda url: post(url, cat_photo(333, 222), X_Weakseg_Classes="table lamp", X_Weakseg_Grabcut_Mode="f_pf"),
    lambda url: post_form(url, cat_photo(50, 70), classes="unicorn"),
]


@pytest.fixture(scope="module")
def batched(service: Service) -> Iterator[str]:
    """The same archive under another name, in batches of four."""
    reply = send(
        "POST",
        f"{service.management}?url=tiny_cam.mar&model_name=batched&batch_size=4&max_batch_delay=300&initial_workers=1",
    )
    assert reply.status == 200, reply.body
    yield f"{service.launcher.url}/predictions/batched"
    assert send("DELETE", f"{service.management}/batched").status == 200


def test_batched_answers_equal_single_ones(service: Service, batched: str) -> None:
    (described,) = send("GET", f"{service.management}/batched").json
    assert (described["batchSize"], described["maxBatchDelay"]) == (4, 300)
    expected = [ask(service.tiny) for ask in REQUESTS]
    assert [reply.status for reply in expected] == [200, 200, 200, 400, 200, 400]

    calls = REQUESTS * 4
    with ThreadPoolExecutor(len(calls)) as pool:
        replies = list(pool.map(lambda ask: ask(batched), calls))
    assert [reply.status for reply in replies] == [reply.status for reply in expected] * 4
    assert [reply.body for reply in replies] == [reply.body for reply in expected] * 4

    sizes = [line_of(service.launcher, reply.headers["X-Request-Id"]).get("batch_size") for reply in replies]
    batches = sum(bool(size) for size in sizes)  # one request of each batch tells its size
    assert 0 < batches <= len(calls) / 2, f"{len(calls)} requests came in {batches} batches"


def test_models_come_from_the_store_alone(service: Service) -> None:
    for url in ("http://127.0.0.1:9/evil.mar", "https://example.org/evil.mar", "file:///etc/passwd"):
        reply = send("POST", f"{service.management}?url={url}")
        assert reply.status == 404
        assert "does not match any allowed URL" in reply.json["message"]
    assert send("POST", f"{service.management}?url=../tiny_cam.mar").status == 404


def test_the_inference_port_cannot_manage_models(service: Service) -> None:
    before = send("GET", service.management).json
    assert send("POST", f"{service.launcher.url}/models?url=tiny_cam.mar&model_name=mine").status in (404, 405)
    assert send("DELETE", f"{service.launcher.url}/models/tiny_cam").status in (404, 405)
    assert send("GET", service.management).json == before


def test_the_metadata_says_what_the_model_is(service: Service) -> None:
    (plain,) = send("GET", f"{service.management}/tiny_cam").json
    assert plain["modelVersion"] == "7.1"
    (described,) = send("GET", f"{service.management}/tiny_cam?customized=true").json
    told = described["customizedMetadata"]
    assert (told["name"], told["class_count"], told["groups"]) == ("tiny_cam", 6, ["cat", "dog"])
    assert "threshold" in told["options"]


def test_a_demonstration_model_says_so_everywhere(service: Service) -> None:
    (described,) = send("GET", f"{service.management}/weakseg?customized=true").json
    demonstration = described["customizedMetadata"]["demonstration"]
    assert (described["modelVersion"] == "demo") is demonstration
    assert ("DEMONSTRATION MODEL" in service.said) is demonstration


def test_metrics_in_the_format_of_prometheus(service: Service) -> None:
    post(service.tiny, cat_photo())
    metrics = send("GET", f"http://127.0.0.1:{service.launcher.port + 2}/metrics").body.decode()
    assert re.search(r'^weakseg_requests_total\{.*model="tiny_cam".* [1-9]', metrics, flags=re.MULTILINE)
    inner = send("GET", f"http://127.0.0.1:{service.launcher.port + 6}/metrics").body.decode()
    assert re.search(r'^ts_inference_requests_total\{model_name="tiny_cam".* [1-9]', inner, flags=re.MULTILINE)
