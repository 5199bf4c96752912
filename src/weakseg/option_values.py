"""Values of options as they arrive, text or JSON, to what they mean."""

from __future__ import annotations

import json
import math
from typing import Any

from weakseg.choices import GrabCutMode, Levels
from weakseg.labels import RESERVED
from weakseg.types import Box

MAX_CLASSES = 20  # masks per request


def _split(value: Any) -> Any:
    """Text with commas, a JSON list as text, or a list, to a list of stripped items."""
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            try:
                return json.loads(text)
            except (ValueError, RecursionError) as error:  # not JSON, or nested thousands deep
                raise ValueError("not a JSON list") from error
        return [item.strip() for item in text.split(",")]
    return value


def _numbers(value: Any, count: int, complaint: str) -> tuple[float, ...]:
    """Exactly ``count`` finite numbers, from text or a list."""
    items = _split(value)
    if not isinstance(items, (list, tuple)) or len(items) != count:
        raise ValueError(complaint)
    try:
        numbers = tuple(float(item) for item in items)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(complaint) from error
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(complaint)
    return numbers


def check_levels(numbers: tuple[float, ...]) -> Levels:
    """(t0, t1, t2) if they ascend in [0, 1], else ValueError."""
    t0, t1, t2 = numbers
    if not 0 <= t0 <= t1 <= t2 <= 1:
        raise ValueError("not ascending in [0, 1]")
    return (t0, t1, t2)


def read_classes(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return (str(value),)
    items = _split(value)
    if not isinstance(items, (list, tuple)):
        raise ValueError("not a name, a number or a list of them")
    if any(isinstance(item, bool) or not isinstance(item, (str, int)) for item in items):
        raise ValueError("not a list of names and numbers")
    names = tuple(dict.fromkeys(str(item).strip() for item in items))
    if not names or "" in names:
        raise ValueError("an empty name")
    if len(names) > 1 and RESERVED & set(names):
        raise ValueError("'auto' and 'none' stand alone")
    if len(names) > MAX_CLASSES:
        raise ValueError(f"{len(names)} classes")
    return names


def read_box(value: Any) -> Any:
    if isinstance(value, Box):
        return value
    x0, y0, x1, y1 = (round(number) for number in _numbers(value, 4, "not four finite numbers"))
    if x0 >= x1 or y0 >= y1:
        raise ValueError("an empty box")
    return Box(x0, y0, x1, y1)


def read_mode(value: Any) -> Any:
    if isinstance(value, str) and value.strip().casefold() in set(GrabCutMode):
        return GrabCutMode(value.strip().casefold())
    return check_levels(_numbers(value, 3, "neither a mode nor three thresholds"))


def refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("not a number")
    return value


def read_name(value: Any) -> Any:
    return value.strip().casefold() if isinstance(value, str) else value


def read_steps(value: Any) -> Any:
    """``+`` may have become a space on its way through a URL-encoded form."""
    return "+".join(value.replace("+", " ").casefold().split()) if isinstance(value, str) else value
