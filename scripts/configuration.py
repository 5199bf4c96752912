"""config.properties: read, and made into the one that a service runs with."""

from __future__ import annotations

import re
from collections.abc import Mapping

from scripts.instance import HOST, PORTS

DERIVED = ("models", "load_models", "model_store")  # of what is served, and on which machine


def read_properties(text: str) -> dict[str, str]:
    """Settings by name; the last of a name counts, as for Java."""
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line.partition("=") for line in lines if line and line[0] not in "#!"]
    return {name.strip(): value.strip() for name, _, value in pairs}


def find_difference(wanted: Mapping[str, str], running: Mapping[str, str]) -> str | None:
    """The first setting in which two configurations differ, but for what the launcher derives; None: they are alike."""
    names = [name for name in sorted(wanted.keys() | running.keys()) if name not in DERIVED]
    return next((name for name in names if wanted.get(name) != running.get(name)), None)


def _on_loopback(name: str, port: int) -> str:
    return str(port) if name.endswith("_port") else f"http://{HOST}:{port}"


def derive(template: str, port: int, more: Mapping[str, str]) -> str:
    """config.properties with its ports counted from ``port``, and with other settings, which replace its own."""
    lines = []
    for line in template.splitlines():
        name = line.partition("=")[0].strip()
        if name in PORTS:
            lines.append(re.sub(r"\d+\s*$", str(port + PORTS[name]), line))
        elif name not in more:
            lines.append(line)
    missing = PORTS.keys() - read_properties(template).keys()
    if missing:  # TorchServe's own default for its inference port is the front's
        lines += ["", "# --- Not in the file that this was made from"]
        lines += [f"{name}={_on_loopback(name, port + PORTS[name])}" for name in PORTS if name in missing]
    if more:
        lines += [
            "",
            "# --- Derived by the launcher: see scripts/sizing.py",
            *(f"{name}={more[name]}" for name in more),
        ]
    return "\n".join([*lines, ""])
