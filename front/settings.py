"""What the front is told: TorchServe's config.properties, which holds the front's own lines too (``weakseg_...``)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CONFIG_VARIABLE = "WEAKSEG_CONFIG"
KEY_FILE_VARIABLE = "WEAKSEG_KEY_FILE"
TOKEN_FILE_VARIABLE = "WEAKSEG_TOKEN_FILE"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # who listens on all addresses is asked on loopback


class SettingsError(Exception):
    """The configuration is missing or wrong. The message has file, line's name, value and remedy."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Where this machine reaches it."""
        host = _EVERYWHERE.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """One front.

    Args:
        address: Where callers reach it.
        metrics_address: Where Prometheus does.
        inference, management: TorchServe's two APIs.
        key_file: TorchServe's key_file.json; None: TorchServe asks for no keys.
        token_file: Tokens of callers (token_list.py), which count instead of TorchServe's inference key.
        max_body_bytes: Of one request.
        max_bytes_in_flight: Of all bodies that are held at one time.
        max_in_flight: Requests with a body that are under way at one time.
        body_timeout_s: From a request's head to the last byte of its body.
        header_timeout_s: From a connection's (or the last request's) end to the last byte of a request's head.
        answer_timeout_s: For TorchServe's answer, waiting in its queue included.
        drain_timeout_s: For requests under way once the front is told to stop.
        retries: How often a request that was lost with its worker is sent again.
    """

    address: Address = Address("127.0.0.1", 8080)
    metrics_address: Address = Address("127.0.0.1", 8082)
    inference: Address = Address("127.0.0.1", 8085)
    management: Address = Address("127.0.0.1", 8081)
    key_file: Path | None = None
    token_file: Path | None = None
    max_body_bytes: int = 67_108_864
    max_bytes_in_flight: int = 536_870_912
    max_in_flight: int = 512
    body_timeout_s: float = 30.0
    header_timeout_s: float = 10.0
    answer_timeout_s: float = 150.0
    drain_timeout_s: float = 30.0
    retries: int = 1

    @property
    def needs_token(self) -> bool:
        """Whether requests need an Authorization header."""
        return self.key_file is not None or self.token_file is not None


_ADDRESSES = {  # field to line
    "address": "weakseg_address",
    "metrics_address": "weakseg_metrics_address",
    "inference": "inference_address",
    "management": "management_address",
}
_WHOLE = {"max_body_bytes": 1, "max_bytes_in_flight": 1, "max_in_flight": 1, "retries": 0}  # to the least
_TOKEN_FILE = "weakseg_token_file"
_SECONDS = ("body_timeout_s", "header_timeout_s", "answer_timeout_s", "drain_timeout_s")


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings as the launcher passes them on.

    Raises:
        SettingsError: as `read_settings`.
    """
    config = environment.get(CONFIG_VARIABLE)
    if not config:
        raise SettingsError(f"{CONFIG_VARIABLE} is not set. Set it to the path of config.properties.")
    key_file, token_file = environment.get(KEY_FILE_VARIABLE), environment.get(TOKEN_FILE_VARIABLE)
    settings = read_settings(Path(config), Path(key_file) if key_file else None)
    return replace(settings, token_file=_read_path(TOKEN_FILE_VARIABLE, token_file)) if token_file else settings


def read_settings(config: Path, key_file: Path | None = None) -> Settings:
    """Settings from a properties file; a line that it does not have keeps its default.

    Raises:
        SettingsError: the file cannot be read, or a value is none of its kind.
    """
    try:
        lines = read_properties(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{config} cannot be read ({error}). Name another file in {CONFIG_VARIABLE}.") from error

    def found(names: Mapping[str, str]) -> list[tuple[str, str]]:
        return [(field, line) for field, line in names.items() if line in lines]

    read: dict[str, Any] = {field: _read_address(config, line, lines[line]) for field, line in found(_ADDRESSES)}
    read |= {field: _read_whole(config, line, lines[line], _WHOLE[field]) for field, line in found(_own(_WHOLE))}
    read |= {field: _read_seconds(config, line, lines[line]) for field, line in found(_own(_SECONDS))}
    if lines.get(_TOKEN_FILE):
        read["token_file"] = _read_path(f"{config}: {_TOKEN_FILE}", lines[_TOKEN_FILE])
    return Settings(**read, key_file=key_file)


def _own(fields: Iterable[str]) -> dict[str, str]:
    """Field to line."""
    return {field: f"weakseg_{field}" for field in fields}


def read_properties(text: str) -> dict[str, str]:
    """Name to value, of a Java properties file without escapes and continued lines; ours have none."""
    pairs = (line.partition("=") for line in map(str.strip, text.splitlines()) if line and line[0] not in "#!")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _read_path(name: str, value: str) -> Path:
    if not Path(value).is_absolute():
        raise SettingsError(
            f"{name}={value} is no absolute path. Write it from / on: nobody knows what it is relative to."
        )
    return Path(value)


def _read_address(config: Path, name: str, value: str) -> Address:
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme != "http" or not host or not port:
        raise SettingsError(f"{config}: {name}={value} is no address. Write {name}=http://127.0.0.1:8080.")
    return Address(host, port)


def _read_whole(config: Path, name: str, value: str, least: int) -> int:
    if not value.isascii() or not value.isdecimal() or int(value) < least:
        raise SettingsError(f"{config}: {name}={value} is no whole number from {least} on. Write {name}={least + 1}.")
    return int(value)


def _read_seconds(config: Path, name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise SettingsError(f"{config}: {name}={value} is no number of seconds. Write {name}=30.")
    return seconds
