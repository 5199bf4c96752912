"""Pixel models whose weights come with the package: nothing is downloaded.

Every ``weights/NAME.pt`` is a checkpoint of ``python -m training``, and ``weights/NAME.md`` beside it its model card.
"""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"


def bundled_checkpoints() -> dict[str, Path]:
    """Model names, in order, to checkpoints."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.pt"))}
