"""Values of the command line's flags, and the settings of maps that they add up to."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import typer

from weakseg.attribution.graph import GraphSettings
from weakseg.attribution.methods import SETTINGS
from weakseg.attribution.pixels import PixelSettings
from weakseg.card import Method
from weakseg.errors import ModelError

SettingsT = TypeVar("SettingsT", GraphSettings, PixelSettings)


def parse_hw(text: str) -> tuple[int, int]:
    """``224`` or ``240x320`` (height x width)."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if not match:
        raise typer.BadParameter(f"{text!r} is not a size: give 224, or height x width such as 240x320.")
    return int(match[1]), int(match[2] or match[1])


def parse_numbers(text: str) -> tuple[float, ...]:
    """``1,0.75,1.25``."""
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a list of numbers such as 1,0.75.") from error


def parse_rgb(text: str) -> tuple[float, float, float]:
    """``0.5`` or ``0.485,0.456,0.406``."""
    numbers = parse_numbers(text)
    if len(numbers) not in (1, 3):
        raise typer.BadParameter(f"{text!r} is not one number or three.")
    red, green, blue = numbers * (3 // len(numbers))
    return red, green, blue


def parse_names(text: str) -> tuple[str, ...]:
    """``features_4,features_7``."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def choose_settings(
    method: Method | None, preset: GraphSettings | None, from_file: Mapping[str, Any], flags: Mapping[str, Any]
) -> GraphSettings:
    """A preset's settings, or the method's plain ones (by default CAM's), with those in place that were given.

    Args:
        from_file: Name of a setting to its value.
        flags: Likewise, and stronger; None: not given.
    Raises:
        ModelError: a preset of another method, or a setting that the method has not.
    """
    if (method or "cam") not in SETTINGS:
        raise ModelError(f"A classifier makes no {method} maps. It makes: {', '.join(SETTINGS)}.")
    base = preset or SETTINGS[method or "cam"]()
    if method not in (None, base.method):
        raise ModelError(f"The preset makes {base.method} maps: give it without --method {method}.")
    return change_settings(base, from_file, flags)


def change_settings(base: SettingsT, from_file: Mapping[str, Any], flags: Mapping[str, Any]) -> SettingsT:
    """Settings with those in place that were given: see `choose_settings`.

    Raises:
        ModelError: a setting that the method has not.
    """
    known = {field.name for field in dataclasses.fields(base)}
    changes = {name: tuple(value) if isinstance(value, list) else value for name, value in from_file.items()}
    changes |= {name: value for name, value in flags.items() if value is not None}
    if unknown := set(changes) - known:
        raise ModelError(f"{base.method} maps have no setting {sorted(unknown)[0]!r}. They have: {sorted(known)}.")
    return dataclasses.replace(base, **changes)


def refuse_flags(reason: str, given: Mapping[str, Any]) -> None:
    """Flags that make no sense for what is exported.

    Args:
        reason: Why.
        given: Flag to its value; None or False: not given.
    Raises:
        ModelError: names the first flag that was given.
    """
    for flag, value in given.items():
        if value not in (None, False):
            raise ModelError(f"{flag} does not go with it: {reason} Leave the flag out.")


def default_name(network: str, method: Method) -> str:
    """``squeezenet_saliency``, ``mobilenet_v2_dcsm``: without the default network's version number.

    Networks with maps of their own need no further name: ``joint_alexnet``, ``fcn8s_vgg16``.
    """
    if method == "pixels" or (method == "joint" and network.startswith("joint_")):
        return network
    return f"{'squeezenet' if network == 'squeezenet1_1' else network}_{method}"
