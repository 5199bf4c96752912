"""The models that the service makes by itself: how their maps are made, and their defaults.

Maps, and levels and thresholds of the presets, were chosen on VOC's ``train_official`` photos alone
(docs/decisions/0008-gradient-seeds.md; the CRF by ``weakseg tune``: docs/results/tune_crf). What a method without
preset starts with is a guess: the paper's number of rivals, and a Gaussian that ``weakseg tune`` betters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from export.build import BuiltArchive, build_archive
from weakseg.archive import DEFAULT_MODEL
from weakseg.attribution.cam import CamSettings
from weakseg.attribution.fusion import FusionSettings, Part
from weakseg.attribution.graph import GraphSettings
from weakseg.card import Method
from weakseg.models.classifier import Classifier
from weakseg.models.pixel.bundled import bundled_checkpoints
from weakseg.models.pixel.load import load_pixel_model
from weakseg.voc import voc_groups

SQUEEZENET_FUSION = FusionSettings(
    positive_weights=True,
    contrast=0.9,
    similarity=True,
    member_weighting="softmax",
    temperature=2.0,
    size_correction=0.75,
    parts=(Part("cat_6", sigma=0.03, reduce="mean"),),  # the last but one Fire module: a short way back
    damping=0.8,
    damping_reach=0.1,
    power=1.5,
    spread_layer="cat_6",
)
SQUEEZENET_CAM = CamSettings(
    positive_weights=True,
    contrast=0.9,
    similarity=True,
    scales=(1.0, 0.5),
    member_weighting="softmax",
    temperature=2.0,
    size_correction=0.75,
)
_CRF: dict[str, Any] = {  # docs/results/tune_crf
    "steps": 5,
    "confidence": 20,
    "smooth_sigma": 0.012,
    "smooth_weight": 3,
    "colour_sigma": 0.1,
    "colour_rgb": 8,
    "colour_weight": 7,
}
_FUSION_FIELDS: dict[str, Any] = {
    "refine_side": 192,
    "grabcut_side": 500,  # borders as fine as most photos; docs/results/pareto.md
    "box_context": 0.3,
    "photo_task": {
        "refine": "crf+grabcut",
        "threshold": 0.4,
        "refine_thresholds": {"crf": 0.48, "guided": 0.5},
        "crf": _CRF,
        "grabcut_mode": (0.25, 0.5, 0.8),
        "mode_thresholds": {"pf_pb": 0.4, "f_pf": 0.8, "f_pb": 0.7},
    },
    "box_task": {
        "refine": "crf+grabcut",
        "crf": _CRF,
        "grabcut_mode": (0.05, 0.25, 0.7),
        "threshold": 0.27,
        "refine_thresholds": {"crf": 0.35},
        "mode_thresholds": {"pf_pb": 0.1, "f_pf": 0.6, "f_pb": 0.4},
    },
}
_CAM_FIELDS: dict[str, Any] = {
    "refine_side": 320,
    "box_context": 0.3,
    "photo_task": {
        "grabcut_mode": (0.15, 0.4, 0.8),
        "threshold": 0.4,
        "mode_thresholds": {"pf_pb": 0.4, "f_pf": 0.8, "f_pb": 0.7},
    },
    "box_task": {
        "grabcut_mode": (0.05, 0.15, 0.7),
        "threshold": 0.27,
        "mode_thresholds": {"pf_pb": 0.1, "f_pf": 0.6, "f_pb": 0.4},
    },
}


@dataclass(frozen=True, slots=True)
class Preset:
    """How a model's maps are made, the size of its input (None: as trained), and its defaults in the card."""

    settings: GraphSettings
    hw: tuple[int, int] | None = None
    card_fields: Mapping[str, Any] = field(default_factory=dict)


PAPER_RIVALS = 4  # DCSM: the best N of the paper's table
_SMOOTHED = {"refine": "gaussian", "sigma": 0.04, "threshold": 0.4}
_GRADIENT_TASKS = {"photo_task": _SMOOTHED, "box_task": _SMOOTHED}
_PROBABLE = {  # maps are probabilities: cut where a pixel is the label rather than not
    "refine": "none",
    "threshold": 0.5,
    "crf": {"confidence": 1.0},
    "grabcut_mode": (0.1, 0.5, 0.9),
    "ranking": (
        {"refine": "crf", "crf_engine": "fast"},
        {"refine": "crf", "crf_engine": "fastest"},
        {"refine": "guided"},
    ),
}
METHOD_FIELDS: Mapping[Method, Mapping[str, Any]] = {  # defaults in the card of a model without preset
    "saliency": _GRADIENT_TASKS,
    "guided": _GRADIENT_TASKS,
    "dcsm": {"subtract_classes": PAPER_RIVALS},
    "pixels": {"tag_threshold": 0.5, "photo_task": _PROBABLE, "box_task": _PROBABLE},
}
PRESETS = {
    DEFAULT_MODEL: Preset(SQUEEZENET_FUSION, (448, 448), _FUSION_FIELDS),
    "squeezenet_cam": Preset(SQUEEZENET_CAM, (448, 448), _CAM_FIELDS),
}


def build_default_model(
    classifier: Classifier, directory: Path, on_step: Callable[[str], None] = lambda _: None, *, made_of: str = ""
) -> BuiltArchive:
    """The default model, from torchvision's SqueezeNet 1.1 with ImageNet weights; ``made_of`` goes into its card."""
    preset = PRESETS[DEFAULT_MODEL]
    return build_archive(
        classifier,
        name=DEFAULT_MODEL,
        directory=directory,
        groups=voc_groups(),
        settings=preset.settings,
        hw=preset.hw,
        card_fields={**preset.card_fields, "made_of": made_of},
        on_step=on_step,
    )


def build_bundled_model(
    name: str, directory: Path, on_step: Callable[[str], None] = lambda _: None, *, made_of: str = ""
) -> BuiltArchive:
    """A model whose weights come with the package (`weakseg.models.pixel.bundled`); ``made_of`` goes into its card.

    Raises:
        KeyError: there are no weights of this name.
    """
    model = load_pixel_model(
        bundled_checkpoints()[name],
        licence="weakseg's own; the model card beside the weights says of which data",
    )
    source = f"trained for weakseg: src/weakseg/models/pixel/weights/{name}.pt, model card {name}.md beside it"
    model = dataclasses.replace(model, weights=model.weights.model_copy(update={"source": source}))
    return build_archive(
        model,
        name=name,
        directory=directory,
        card_fields={**METHOD_FIELDS["pixels"], "made_of": made_of},
        on_step=on_step,
    )
