"""The list of tokens that whoever runs the service hands out, and the command that writes it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from front.token_list import TokenList, TokenListError, digest_of, parse_tokens
from scripts import tokens

# SHA-256 of "abc", as FIPS 180-2 gives it.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def add(file: Path, name: str, *more: str) -> str:
    done = CliRunner().invoke(tokens.app, ["add", name, "--file", str(file), *more])
    assert done.exit_code == 0, done.output
    return done.output.strip()


def test_a_line_is_a_name_an_end_and_a_hash() -> None:
    grants = parse_tokens(f"# who\n\nalice 2027-01-31T00:00:00+01:00 sha256:{ABC}\n", "list")
    assert list(grants) == [digest_of(b"abc")]
    assert grants[digest_of(b"abc")].name == "alice"
    assert grants[digest_of(b"abc")].expires_s == datetime(2027, 1, 30, 23, tzinfo=UTC).timestamp()
    assert grants[digest_of(b"abc")].as_line() == f"alice 2027-01-30T23:00:00+00:00 sha256:{ABC}"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("alice never", "line 1: not NAME END"),
        (f"a/b never sha256:{ABC}", "line 1: not NAME END"),
        (f"alice never {ABC}", "hash of alice"),
        ("alice never sha256:abc", "hash of alice"),
        (f"alice soon sha256:{ABC}", "end of alice is no date: soon"),
        (f"alice 2027-01-31 sha256:{ABC}", "no offset"),
        (f"alice never sha256:{ABC}\nbob never sha256:{ABC}", "line 2: bob or its token"),
        (f"alice never sha256:{ABC}\nalice never sha256:{'0' * 64}", "line 2: alice or its token"),
    ],
)
def test_a_wrong_line_is_named_and_its_hash_is_not(line: str, said: str) -> None:
    with pytest.raises(TokenListError, match=said) as raised:
        parse_tokens(line, "list")
    assert ABC not in str(raised.value)


def test_the_command_prints_a_token_once_and_notes_its_hash(tmp_path: Path) -> None:
    file = tmp_path / "list"
    first, second = add(file, "alice"), add(file, "bob", "--days", "0")
    assert first != second
    assert len(first) >= 43  # 256 bits in base64
    text = file.read_text()
    assert first not in text
    assert second not in text
    grants = TokenList(file)
    alice, bob = grants.find(first.encode()), grants.find(second.encode())
    assert alice is not None
    assert bob is not None
    assert (alice.name, bob.name) == ("alice", "bob")
    in_90_days = (datetime.now(UTC) + timedelta(days=90)).timestamp()
    assert abs(alice.expires_s - in_90_days) < 3600
    assert bob.expires_s == float("inf")
    assert grants.find(b"another") is None
    assert file.stat().st_mode & 0o777 == 0o644  # the container's user is not whoever wrote it
    listed = CliRunner().invoke(tokens.app, ["list", "--file", str(file)]).output
    assert "bob never" in listed
    assert "sha256" not in listed


def test_a_name_is_given_once(tmp_path: Path) -> None:
    add(tmp_path / "list", "alice")
    before = (tmp_path / "list").read_text()
    done = CliRunner().invoke(tokens.app, ["add", "alice", "--file", str(tmp_path / "list")])
    assert done.exit_code == 2
    assert (tmp_path / "list").read_text() == before


def test_a_line_without_an_end_is_completed_before_another_follows(tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_text(f"alice never sha256:{ABC}")
    token = add(file, "bob")
    assert TokenList(file).find(b"abc") is not None
    assert TokenList(file).find(token.encode()) is not None


def test_a_missing_file_is_no_empty_list(tmp_path: Path) -> None:
    with pytest.raises(TokenListError, match=r"cannot be read.*scripts\.tokens add"):
        TokenList(tmp_path / "list")


def test_a_changed_file_counts_at_once(tmp_path: Path) -> None:
    file = tmp_path / "list"
    first = add(file, "alice")
    grants = TokenList(file)
    second = add(file, "bob")
    assert grants.find(second.encode()) is not None
    file.write_text("\n".join(line for line in file.read_text().splitlines() if not line.startswith("alice")))
    assert grants.find(first.encode()) is None
    assert grants.find(second.encode()) is not None


def test_a_mounted_secret_changes_by_a_link(tmp_path: Path) -> None:
    """As Kubernetes does it: list -> ..data/list, and ..data -> a folder that is replaced."""
    for name, folder in (("alice", "..1"), ("bob", "..2")):
        (tmp_path / folder).mkdir()
        (tmp_path / f"{name}.token").write_text(add(tmp_path / folder / "list", name))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "list").symlink_to("..data/list")
    grants = TokenList(tmp_path / "list")
    alice, bob = ((tmp_path / f"{name}.token").read_bytes() for name in ("alice", "bob"))
    assert (grants.find(alice) is not None, grants.find(bob) is not None) == (True, False)
    (tmp_path / "..next").symlink_to("..2")
    (tmp_path / "..next").replace(tmp_path / "..data")
    assert (grants.find(alice) is not None, grants.find(bob) is not None) == (False, True)


def test_a_file_that_goes_wrong_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "list"
    token = add(file, "alice").encode()
    grants = TokenList(file)
    with caplog.at_level(logging.WARNING):
        file.write_text("alice never sha256:short")
        assert grants.find(token) is not None
        file.unlink()
        assert grants.find(token) is not None
    assert len([record for record in caplog.records if "stay as they were" in record.message]) == 2
