"""Fields of a model card, as YAML and presets give them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from weakseg.errors import ModelCardError


def read_fields(path: Path) -> dict[str, Any]:
    """A YAML file's mapping.

    Raises:
        ModelCardError: the file cannot be read, or holds something else.
    """
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelCardError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(fields, dict):
        raise ModelCardError(f"{path} holds {type(fields).__name__}, not fields of the model card with their values.")
    return fields


def merge_fields(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both, and where both have a field, that of ``over``; mappings inside are merged likewise."""
    merged = dict(base)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = merge_fields(merged[name], value) if both else value
    return merged
