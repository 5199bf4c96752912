"""A checkpoint in half precision, small enough for a repository: ``python -m training.halve best.pt hair.pt``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor


def halve(checkpoint: Path, out: Path) -> None:
    """Write the checkpoint's weights as float16; whoever loads them computes in float32.

    Counters stay whole numbers. Of the data's folder only the name is kept.
    """
    content: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    content["state_dict"] = {name: _half(value) for name, value in content["state_dict"].items()}
    content["data"] = {**content["data"], "root": Path(content["data"]["root"]).name}
    torch.save(content, out)


def _half(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() else value


def main(
    checkpoint: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A best.pt of `python -m training`.")],
    out: Annotated[Path, typer.Argument(help="The file to write.")],
) -> None:
    """Halve the size of a checkpoint: weights as float16. Measure it again before you publish it."""
    halve(checkpoint, out)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB, was {checkpoint.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    typer.run(main)
