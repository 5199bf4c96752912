"""What a model is and what one may ask of it, as JSON: the custom metadata of ``GET /models/...``."""

from __future__ import annotations

import json

from weakseg.card import ModelCard
from weakseg.options import Options
from weakseg.runtime import Runtime
from weakseg.types import Answer


def describe_model(card: ModelCard, runtime: Runtime) -> Answer:
    """The card without the members of its groups, the runtime in use, and every option with its meaning."""
    document = {
        **card.model_dump(mode="json", exclude={"classes", "groups", "weights"}),
        "class_count": len(card.classes),
        "classes": list(card.classes),
        "groups": sorted(card.groups),
        "weights": card.weights.source,
        "weights_sha256": card.weights.sha256,
        "licence": card.weights.licence,
        "demonstration": card.weights.demonstration,
        "runtime": runtime.name,
        "device": runtime.device,
        "options": {name: field.description for name, field in Options.model_fields.items()},
    }
    return Answer(json.dumps(document).encode(), "application/json")
