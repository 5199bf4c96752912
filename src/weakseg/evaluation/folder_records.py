"""What is asked of a photo with a mask, and what it adds to the results of ``weakseg evaluate --images --masks``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from weakseg.errors import DataError
from weakseg.evaluation.counting import Plan
from weakseg.options import Options, parse_options


@dataclass(slots=True)
class FolderRecord:
    """What one photo adds to the results; JSON-ready."""

    image: str
    confusions: dict[str, list[list[int]]]  # variant -> entries: true, predicted value, pixels
    times_ms: list[float]  # of the network, and of the refinement in force

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def ask_for_all(plan: Plan) -> Options:
    """All classes at once, by number: a group may hide a class of its name. One label per pixel."""
    options = parse_options({**plan.flags, "classes": list(range(len(plan.over))), "pick": "all"})
    if options.is_auto:
        raise DataError("refine=auto depends on the speed of this machine: evaluate what it may choose (--refines).")
    return options
