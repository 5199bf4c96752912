"""Callers without the right token: refused, told why, logged and counted; TorchServe sees none of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.failure.numbered import make_photo
from tests.failure.plant import wait_until
from tests.helpers.fake_torchserve import FakeTorchServe
from tests.helpers.front import Front, running_front
from tests.helpers.http import send

KEYS = {"management": "key-of-management", "inference": "key-of-inference", "API": "key-of-tokens"}
REFUSED = {
    "no header": (None, 401, "token_missing"),
    "an empty one": ("", 401, "token_missing"),
    "another scheme": ("Basic key-of-inference", 401, "token_missing"),
    "the key alone": ("key-of-inference", 401, "token_missing"),
    "no key": ("Bearer ", 401, "token_missing"),
    "garbage": ("Bearer \xe9\xff{}%00", 401, "token_invalid"),
    "a part of it": ("Bearer key-of-inferenc", 401, "token_invalid"),
    "more than it": ("Bearer key-of-inference2", 401, "token_invalid"),
    "another case": ("Bearer KEY-OF-INFERENCE", 401, "token_invalid"),
    "60,000 letters": ("Bearer " + "k" * 60_000, 401, "token_invalid"),
    "two": ("Bearer key-of-inference, Bearer key-of-inference", 401, "token_invalid"),
    "management's": ("Bearer key-of-management", 403, "token_wrong_kind"),
    "the one for tokens": ("Bearer key-of-tokens", 403, "token_wrong_kind"),
}
PATHS = (
    "/predictions/numbered",
    "/explanations/numbered",
    "/predictions/nobody",
    "/models",
    "/v2/models/numbered/infer",
)


def write_keys(path: Path, ends: datetime) -> None:
    keys = {name: {"key": key, "expiration time": ends.isoformat()} for name, key in KEYS.items()}
    path.write_text(json.dumps(keys), encoding="utf-8")


@pytest.fixture(scope="module")
def torchserve() -> Iterator[FakeTorchServe]:
    with FakeTorchServe(KEYS) as fake:
        fake.add_model("numbered")
        yield fake


@pytest.fixture(scope="module")
def front(torchserve: FakeTorchServe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("tokens")
    write_keys(folder / "key_file.json", datetime.now(UTC) + timedelta(hours=1))
    with running_front(torchserve, folder, key_file=folder / "key_file.json") as running:
        yield running


def ask(front: Front, authorization: str | None, request_id: str, path: str = PATHS[0]) -> tuple[int, str]:
    headers = {"Content-Type": "image/png", "X-Request-Id": request_id}
    if authorization is not None:
        headers["Authorization"] = authorization
    reply = send("POST", front.url + path, make_photo(1), headers)
    return reply.status, reply.json["error"]["code"] if reply.status >= 400 else ""


def lines_of(front: Front, request_id: str) -> list[dict[str, Any]]:
    """A line may be written a moment after its answer."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        found[:] = [line for line in front.lines() if line["request_id"] == request_id]
        return bool(found)

    wait_until(look, f"a line of {request_id}")
    return found


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_logged_and_never_passed_on(front: Front, torchserve: FakeTorchServe, kind: str) -> None:
    authorization, status, code = REFUSED[kind]
    seen = len(torchserve.seen)
    request_id = f"token-{kind.replace(' ', '-').replace(',', '').replace(chr(39), '')}"
    assert ask(front, authorization, request_id) == (status, code)
    assert len(torchserve.seen) == seen
    (line,) = lines_of(front, request_id)
    assert (line["status"], line["error"]) == (status, code)
    assert not any(key in json.dumps(front.lines()) for key in KEYS.values()), "a key is in the log"


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_told_to_who_has_no_token(front: Front, path: str) -> None:
    """Whether there is such a model, too."""
    assert send("POST", front.url + path, make_photo(1)).status == 401


def test_the_right_one_is_let_in(front: Front, torchserve: FakeTorchServe) -> None:
    seen = len(torchserve.seen)
    assert ask(front, "Bearer key-of-inference", "token-right") == (200, "")
    assert len(torchserve.seen) == seen + 1


def test_an_expired_one(torchserve: FakeTorchServe, tmp_path: Path) -> None:
    write_keys(tmp_path / "key_file.json", datetime.now(UTC) - timedelta(seconds=1))
    with running_front(torchserve, tmp_path, key_file=tmp_path / "key_file.json") as front:
        assert ask(front, "Bearer key-of-inference", "token-expired") == (401, "token_expired")
        assert front.lines(1)[0]["error"] == "token_expired"
        counted = send("GET", f"{front.metrics_url}/metrics").body.decode()
        assert 'weakseg_rejections_total{model="",reason="token_expired"} 1.0' in counted
