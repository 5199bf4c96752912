"""The lines of config.properties that are the front's."""

from __future__ import annotations

from pathlib import Path

import pytest

from front.settings import Address, Settings, SettingsError, from_environment, read_settings

LINES = """# a comment
inference_address=http://127.0.0.1:9005
management_address = http://0.0.0.0:9001
weakseg_address=http://0.0.0.0:9000
weakseg_metrics_address=http://[::1]:9002
weakseg_max_body_bytes=1000
weakseg_body_timeout_s=2.5
weakseg_retries=0
batch_size=3
"""


def write(folder: Path, text: str) -> Path:
    config = folder / "config.properties"
    config.write_text(text)
    return config


def test_lines_and_defaults(tmp_path: Path) -> None:
    read = read_settings(write(tmp_path, LINES), tmp_path / "key_file.json")
    assert read == Settings(
        address=Address("0.0.0.0", 9000),
        metrics_address=Address("::1", 9002),
        inference=Address("127.0.0.1", 9005),
        management=Address("0.0.0.0", 9001),
        key_file=tmp_path / "key_file.json",
        max_body_bytes=1000,
        body_timeout_s=2.5,
        retries=0,
    )


def test_who_listens_everywhere_is_asked_on_loopback() -> None:
    assert Address("0.0.0.0", 1).url == "http://127.0.0.1:1"
    assert Address("::", 2).url == "http://[::1]:2"
    assert Address("example.org", 3).url == "http://example.org:3"


@pytest.mark.parametrize(
    "line",
    [
        "weakseg_address=127.0.0.1:80",
        "weakseg_address=http://127.0.0.1",
        "inference_address=http://127.0.0.1:port",
        "management_address=http://127.0.0.1:99999",
        "weakseg_max_body_bytes=0",
        "weakseg_max_in_flight=many",
        "weakseg_retries=-1",
        "weakseg_retries=\u0661",
        "weakseg_body_timeout_s=0",
        "weakseg_answer_timeout_s=nan",
        "weakseg_drain_timeout_s=inf",
        "weakseg_header_timeout_s=",
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(write(tmp_path, line))
    assert line in str(caught.value)
    assert "Write" in str(caught.value)


def test_the_environment_names_the_files(tmp_path: Path) -> None:
    config = write(tmp_path, LINES)
    assert from_environment({"WEAKSEG_CONFIG": str(config)}).key_file is None
    both = {"WEAKSEG_CONFIG": str(config), "WEAKSEG_KEY_FILE": "/keys.json"}
    assert from_environment(both).key_file == Path("/keys.json")
    with pytest.raises(SettingsError, match="WEAKSEG_CONFIG is not set"):
        from_environment({})
    with pytest.raises(SettingsError, match=r"nowhere\.properties cannot be read"):
        from_environment({"WEAKSEG_CONFIG": str(tmp_path / "nowhere.properties")})


def test_the_token_file_of_the_environment_counts_before_that_of_the_configuration(tmp_path: Path) -> None:
    config = write(tmp_path, f"weakseg_token_file={tmp_path}/one")
    environment = {"WEAKSEG_CONFIG": str(config)}
    assert from_environment(environment).token_file == tmp_path / "one"
    assert from_environment(environment | {"WEAKSEG_TOKEN_FILE": "/other"}).token_file == Path("/other")
    assert read_settings(write(tmp_path, "weakseg_token_file=")).token_file is None


def test_a_token_file_has_an_absolute_path(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="weakseg_token_file=list is no absolute path"):
        read_settings(write(tmp_path, "weakseg_token_file=list"))
    with pytest.raises(SettingsError, match="WEAKSEG_TOKEN_FILE=list"):
        from_environment({"WEAKSEG_CONFIG": str(write(tmp_path, "")), "WEAKSEG_TOKEN_FILE": "list"})
