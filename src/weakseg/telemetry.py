"""What a worker tells the HTTP front of one request: measurements, in a header that callers do not see.

The front alone holds the metrics: one process counts, whatever becomes of workers.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace

HEADER = "X-Weakseg-Telemetry"
STAGES = ("queue", "decode", "forward", "maps", "refine", "encode", "total")


@dataclass(frozen=True, slots=True)
class Telemetry:
    """One request, as its worker saw it.

    Args:
        stages_s: Seconds by name, of STAGES; a stage that did not run is missing. ``queue`` lies between the front's
            sending and the arrival of the batch at the worker; ``total`` is the worker's part, from that arrival until
            the whole batch is answered.
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

    def in_batch(self, queue_s: float, batch_size: int | None) -> Telemetry:
        """With what only the worker's loop knows: seconds from front to batch, and the batch's size."""
        return replace(self, stages_s=self.stages_s | {"queue": round(max(queue_s, 0.0), 6)}, batch_size=batch_size)

    def to_header(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_header(cls, text: str) -> Telemetry:
        """Raises ValueError: the worker is of another version of weakseg."""
        try:
            return cls(**json.loads(text))
        except TypeError as error:
            raise ValueError(f"telemetry of another version: {error}") from error
