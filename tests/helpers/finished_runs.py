"""Run folders as trainings leave them, of networks that nobody trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tests.helpers.drawn_masks import pixel_recipe
from weakseg.models.pixel.registry import build_pixel_network


def write_run(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """``folder/best.pt`` and ``metrics.json`` of a conv-deconv network with random weights."""
    recipe = pixel_recipe(**changes)
    torch.manual_seed(seed)
    network = build_pixel_network(recipe.network, len(recipe.classes) + 1, recipe.network_options)
    facts = {
        "network": recipe.network,
        "network_options": dict(recipe.network_options),
        "pixels": True,
        "classes": list(recipe.classes),
        "hw": list(recipe.input_hw),
        "max_side": recipe.max_side or max(recipe.input_hw),
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "multi_label": False,
        "recipe": recipe.model_dump(mode="json"),
        "data": {"labels_sha256": "none"},
    }
    folder.mkdir(parents=True)
    torch.save({"state_dict": network.state_dict(), **facts, "metrics": {}}, folder / "best.pt")
    (folder / "metrics.json").write_text(json.dumps({**facts, "metrics": {}, "minutes": 1.25}), encoding="utf-8")
    return folder
