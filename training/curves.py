"""Loss and the watched figures over the epochs, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def draw_curves(history: Sequence[dict[str, float]], path: Path) -> None:
    """The losses on the left, the other figures of the validation split on the right."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    losses = ("train_loss", "val_loss")
    others = [name for name in history[0] if name.startswith("val_") and name not in losses]
    for axes, names in zip(figure.subplots(1, 2), (losses, others), strict=True):
        for name in names:
            axes.plot([row["epoch"] for row in history], [row[name] for row in history], marker=".", label=name)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
    figure.savefig(path, dpi=120)
