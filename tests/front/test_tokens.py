"""TorchServe's keys, as the front checks them."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from front import logs
from front.errors import (
    FrontError,
    TokenExpiredError,
    TokenInvalidError,
    TokenMissingError,
    UnavailableError,
    WrongTokenError,
)
from front.token_list import TokenList
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
    assert tokens.check(bearer(b"bearer  inf ")) == "Bearer inf"  # all that TorchServe understands
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


HASH = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of abc, as FIPS 180-2 has it


def listed(folder: Path, ends: str = "never") -> TokenList:
    path = folder / "list"
    path.write_text(f"alice {ends} sha256:{HASH}\n")
    return TokenList(path)


def test_who_is_on_the_list_is_let_in_with_torchserves_key(tmp_path: Path) -> None:
    write_keys(tmp_path / "key_file.json")
    record = logs.Record("id", "127.0.0.1", "POST", "/predictions/weakseg")
    logs.begin(record)
    tokens = Tokens(tmp_path / "key_file.json", listed(tmp_path))
    assert tokens.check(bearer(b"Bearer abc")) == "Bearer inf"
    assert record.caller == "alice"
    assert json.loads(record.as_line())["caller"] == "alice"
    write_keys(tmp_path / "key_file.json", "new", age_s=5)  # TorchServe started anew: callers notice nothing
    assert tokens.check(bearer(b"Bearer abc")) == "Bearer new"


def test_with_a_list_torchserves_own_keys_open_nothing(tmp_path: Path) -> None:
    write_keys(tmp_path / "key_file.json")
    tokens = Tokens(tmp_path / "key_file.json", listed(tmp_path))
    for key in (b"inf", b"man", b"api", HASH.encode(), b"sha256:" + HASH.encode()):
        with pytest.raises(TokenInvalidError):
            tokens.check(bearer(b"Bearer " + key))
    with pytest.raises(TokenMissingError):
        tokens.check([])


def test_a_token_of_the_list_ends_when_the_list_says_so(tmp_path: Path) -> None:
    write_keys(tmp_path / "key_file.json")
    with pytest.raises(TokenExpiredError):
        Tokens(tmp_path / "key_file.json", listed(tmp_path, BEFORE)).check(bearer(b"Bearer abc"))
    tokens = Tokens(tmp_path / "key_file.json", listed(tmp_path, LATER))
    assert tokens.check(bearer(b"Bearer abc")) == "Bearer inf"


def test_a_list_counts_where_torchserve_asks_for_no_keys(tmp_path: Path) -> None:
    tokens = Tokens(None, listed(tmp_path))
    assert tokens.check(bearer(b"Bearer abc")) is None
    with pytest.raises(TokenInvalidError):
        tokens.check(bearer(b"Bearer x"))


def test_before_torchserve_has_keys_nobody_is_let_in(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError):
        Tokens(tmp_path / "key_file.json", listed(tmp_path)).check(bearer(b"Bearer abc"))


def test_the_front_renews_what_it_needs_itself(tmp_path: Path) -> None:
    write_keys(tmp_path / "key_file.json")
    ends_s = datetime.fromisoformat(LATER).timestamp()
    own = Tokens(tmp_path / "key_file.json")
    assert own.ending(ends_s - 1) == []
    assert own.ending(ends_s + 1) == ["management"]  # inference's is its callers'
    assert Tokens(tmp_path / "key_file.json", listed(tmp_path)).ending(ends_s + 1) == ["management", "inference"]
    assert Tokens(None).ending(ends_s + 1) == []
