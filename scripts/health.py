"""The container's health check: 0 while the front answers and a model has workers. `python -m scripts.health`"""

from __future__ import annotations

import sys

from scripts.instance import STATE, find


def is_healthy() -> bool:
    """What the front says of itself; a worker that is being replaced does not count against it."""
    instance = find(STATE)
    if instance is None:
        return False
    try:
        return bool(instance.ask("inference", "/ping")["status"] != "Unhealthy")
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(not is_healthy())
