"""Values of network options that several networks share."""

from __future__ import annotations

from weakseg.errors import ModelError


def check_width(width: float) -> float:
    """Raises: ModelError: width is no number above 0, or above 4."""
    if not is_number(width) or not 0 < width <= 4:
        raise ModelError(f"width = {width!r}: give a number above 0, at most 4; 1 is the network as published.")
    return width


def check_channels(name: str, channels: int) -> int:
    """Raises: ModelError: no whole number from 1 to 8192."""
    if not is_number(channels) or not isinstance(channels, int) or not 1 <= channels <= 8192:
        raise ModelError(f"{name} = {channels!r}: give a whole number from 1 to 8192.")
    return channels


def check_dropout(dropout: float) -> float:
    """Raises: ModelError: no share that leaves something."""
    if not is_number(dropout) or not 0 <= dropout < 1:
        raise ModelError(f"dropout = {dropout!r}: give a number from 0 up to, not including, 1.")
    return dropout


def check_text(name: str, text: object) -> str:
    """Raises: ModelError: no string."""
    if not isinstance(text, str):
        raise ModelError(f"{name} = {text!r}: give a string.")
    return text


def is_number(value: object) -> bool:
    """Whether a value is a number, which True and False are not here."""
    return isinstance(value, int | float) and not isinstance(value, bool)
