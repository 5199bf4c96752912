"""TorchServe's keys, as the front checks them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from front.errors import (
    FrontError,
    TokenExpiredError,
    TokenInvalidError,
    TokenMissingError,
    UnavailableError,
    WrongTokenError,
)
from front.tokens import Tokens

LATER, BEFORE = "2999-01-01T00:00:00.123456Z", "2020-01-01T00:00:00.5Z"


def write_keys(path: Path, inference: str = "inf", ends: str = LATER, age_s: int = 0) -> None:
    keys = {
        "management": {"key": "man", "expiration time": LATER},
        "inference": {"key": inference, "expiration time": ends},
        "API": {"key": "api"},
    }
    path.write_text(json.dumps(keys))
    os.utime(path, (1_700_000_000 + age_s, 1_700_000_000 + age_s))


def bearer(text: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"accept", b"*/*"), (b"authorization", text)]


def test_without_a_key_file_nobody_needs_a_token() -> None:
    assert Tokens(None).check([]) is None
    assert Tokens(None).check(bearer(b"Bearer x")) is None


def test_the_inference_key_passes_and_is_passed_on(tmp_path: Path) -> None:
    path = tmp_path / "key_file.json"
    write_keys(path)
    tokens = Tokens(path)
    assert tokens.check(bearer(b"Bearer inf")) == "Bearer inf"
    assert tokens.check(bearer(b"bearer  inf ")) == "bearer  inf "
    assert tokens.key("management") == "man"


@pytest.mark.parametrize(
    ("sent", "error", "code", "status"),
    [
        ([], TokenMissingError, "token_missing", 401),
        (bearer(b"Basic aW5m"), TokenMissingError, "token_missing", 401),
        (bearer(b"Bearer "), TokenMissingError, "token_missing", 401),
        (bearer(b"Bearer info"), TokenInvalidError, "token_invalid", 401),
        (bearer(b"Bearer \xff\xfe"), TokenInvalidError, "token_invalid", 401),
        (bearer(b"Bearer man"), WrongTokenError, "token_wrong_kind", 403),
        (bearer(b"Bearer api"), WrongTokenError, "token_wrong_kind", 403),
    ],
)
def test_what_is_refused(
    tmp_path: Path, sent: list[tuple[bytes, bytes]], error: type[FrontError], code: str, status: int
) -> None:
    write_keys(tmp_path / "key_file.json")
    with pytest.raises(error) as caught:
        Tokens(tmp_path / "key_file.json").check(sent)
    assert (caught.value.code, caught.value.status) == (code, status)


def test_an_expired_key(tmp_path: Path) -> None:
    write_keys(tmp_path / "key_file.json", ends=BEFORE)
    with pytest.raises(TokenExpiredError):
        Tokens(tmp_path / "key_file.json").check(bearer(b"Bearer inf"))


def test_a_new_key_counts_from_when_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "key_file.json"
    write_keys(path, "old")
    tokens = Tokens(path)
    tokens.check(bearer(b"Bearer old"))
    path.write_text("")  # TorchServe is about to write
    tokens.check(bearer(b"Bearer old"))
    write_keys(path, "new", age_s=5)
    tokens.check(bearer(b"Bearer new"))
    with pytest.raises(TokenInvalidError):
        tokens.check(bearer(b"Bearer old"))


def test_no_key_file_yet_lets_nobody_pass(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError):
        Tokens(tmp_path / "key_file.json").check(bearer(b"Bearer inf"))
