"""What a worker tells the HTTP front of one request: measurements, in a header that callers do not see.

The front alone holds the metrics: one process counts, whatever becomes of workers.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

HEADER = "X-Weakseg-Telemetry"
STAGES = ("queue", "decode", "forward", "maps", "refine", "encode", "total")


@dataclass(frozen=True, slots=True)
class Telemetry:
    """One request, as its worker saw it.

    Args:
        stages_s: Seconds by name, of STAGES; a stage that did not run is missing. ``total`` is the worker's part,
            from the arrival of the batch on; ``queue`` is before it.
        method: How maps were made, as the model's card says.
        refine: The refinement in force, as option ``refine`` spells it; "" where there was none to speak of.
        batch_size: Requests in the batch, told by the first one of each batch only; else None.
        foreground: Share of the photo's pixels that are not background, in [0, 1]; None where there is no mask.
        pid: Of the worker.
    """

    stages_s: dict[str, float] = field(default_factory=dict)
    method: str = ""
    refine: str = ""
    batch_size: int | None = None
    foreground: float | None = None
    pid: int = 0

    def to_header(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_header(cls, text: str) -> Telemetry:
        """Raises ValueError: the worker is of another version of weakseg."""
        try:
            return cls(**json.loads(text))
        except TypeError as error:
            raise ValueError(f"telemetry of another version: {error}") from error
