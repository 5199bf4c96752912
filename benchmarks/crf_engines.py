"""The dense CRF engines that are compared, in one list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import typer

from weakseg.options import CrfEngineName
from weakseg.refine.densecrf.levels import LEVELS
from weakseg.refine.densecrf.native import NativeCrf
from weakseg.refine.densecrf.problem import CrfEngine
from weakseg.refine.densecrf.torch_engine import TorchEngine


@dataclass(frozen=True, slots=True)
class Contender:
    name: str
    level: CrfEngineName
    open: Callable[[], CrfEngine]


LEVELS_COMPARED = (CrfEngineName.EXACT, CrfEngineName.FAST, CrfEngineName.FASTEST)
CONTENDERS: tuple[Contender, ...] = (
    *(Contender(f"native {level}", level, partial(NativeCrf, LEVELS[level])) for level in LEVELS_COMPARED),
    *(Contender(f"torch {level}", level, partial(TorchEngine, level)) for level in LEVELS_COMPARED),
)


def choose_contenders(names: str) -> list[Contender]:
    """Those whose name starts with one of the comma-separated beginnings.

    Raises:
        typer.BadParameter: one of the beginnings fits none; names those that there are.
    """
    chosen: list[Contender] = []
    for beginning in names.split(","):
        fitting = [contender for contender in CONTENDERS if contender.name.startswith(beginning.strip())]
        if not fitting:
            raise typer.BadParameter(f"no engine {beginning!r}; there are {', '.join(one.name for one in CONTENDERS)}")
        chosen += fitting
    return chosen
