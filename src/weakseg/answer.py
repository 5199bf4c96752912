"""Segmentation to answer: which format, which headers, which words when something went wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from weakseg import __version__
from weakseg.card import ModelCard
from weakseg.codec.coco import area_px, bounding_box, encode_rle, find_polygons
from weakseg.codec.npz import encode_npz
from weakseg.codec.pictures import encode_cutout, encode_heatmap, encode_mask, encode_overlay
from weakseg.errors import AnswerTooLargeError, NotAcceptableError, OptionValueError
from weakseg.options import Format, Options
from weakseg.plan import Plan
from weakseg.runtime import Runtime
from weakseg.stopwatch import Stopwatch
from weakseg.types import Answer, Segmentation
from weakseg.voc import palette

_MEDIA_TYPES = {Format.JSON: "application/json", Format.NPZ: "application/x-npz"}
_ACCEPTED = {
    "*/*": Format.MASK,
    "image/*": Format.MASK,
    "image/png": Format.MASK,
    "application/*": Format.JSON,
    "application/json": Format.JSON,
    "application/x-npz": Format.NPZ,
}
_MAX_NPZ_VALUES = 25_000_000  # 50 MB of float16 before compression
# Below max_response_size in config.properties: TorchServe's worker dies of larger answers.
MAX_ANSWER_BYTES = 60_000_000


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who answered: goes into every answer."""

    model: str
    version: str
    method: str
    network: str
    runtime: str
    device: str
    demonstration: bool

    @classmethod
    def of(cls, card: ModelCard, runtime: Runtime) -> Provenance:
        return cls(
            card.name, card.version, card.method, card.network, runtime.name, runtime.device, card.weights.demonstration
        )


def negotiate_format(options: Options, accept: str | None, *, explain: bool) -> Format:
    """The format to answer in: option ``format``, else the Accept header, else the mask (heat map for explanations).

    Raises:
        NotAcceptableError: the Accept header allows nothing that we make.
    """
    default = Format.HEATMAP if explain else Format.MASK
    if options.format is not None:
        chosen = options.format
    elif not accept or not accept.strip():
        chosen = default
    else:
        chosen = _best_accepted(accept)
        chosen = default if chosen is Format.MASK else chosen
    if options.classes == ("none",) and chosen in (Format.HEATMAP, Format.NPZ):
        raise OptionValueError(
            f"{chosen} shows class maps, and classes=none makes none.",
            field="format",
            remedy="Send mask, cutout, overlay or json.",
        )
    return chosen


def encode_answer(
    segmentation: Segmentation,
    in_force: dict[str, Any],
    chosen: Format,
    provenance: Provenance,
    watch: Stopwatch,
) -> Answer:
    """One segmentation in the format that was chosen.

    Args:
        in_force: See `options_in_force`.
        watch: Knows the stages before this one, and gets this one, ``encode``.
    Raises:
        AnswerTooLargeError: more bytes than the server may send.
    """
    with watch.stage("encode"):
        body = _describe(segmentation) if chosen is Format.JSON else _draw(segmentation, chosen)
    timings_ms = watch.timings_ms()
    if isinstance(body, bytes):
        _check_answer_size(len(body))
        headers = _headers(segmentation, provenance, in_force, timings_ms)
        return Answer(body, _MEDIA_TYPES.get(chosen, "image/png"), headers=headers)
    document = {
        **{name: getattr(provenance, name) for name in Provenance.__dataclass_fields__},
        **body,
        "options": in_force,
        "timings_ms": timings_ms,
    }
    encoded = _dumps(document).encode()
    _check_answer_size(len(encoded))
    return Answer(encoded, "application/json", headers=_identity(provenance))


def options_in_force(plan: Plan, watch: Stopwatch) -> dict[str, Any]:
    """Every option as it was applied, JSON-ready; what does not apply is left out.

    With refine=auto: the refinement that was chosen, and under ``auto`` what it was expected to take and took, maps
    included.
    """
    options, choice = plan.options, plan.choice
    timings_ms = watch.timings_ms()
    actual_ms = round(timings_ms["maps"] + timings_ms["refine"], 3)
    in_force = {
        "classes": list(plan.asked),
        "pick": str(options.pick) if len(options.classes) > 1 else None,
        **plan.settings.model_dump(mode="json"),
        "auto": {"budget_ms": choice.asked_ms, "estimated_ms": round(choice.estimated_ms, 3), "actual_ms": actual_ms}
        if choice
        else None,
        "box": options.box.as_list() if options.box else None,
        "format": str(plan.format),
    }
    return {name: value for name, value in in_force.items() if value is not None}


def _best_accepted(accept: str) -> Format:
    ranked = []
    for position, item in enumerate(accept.split(",")):
        media_type, *parameters = (part.strip().casefold() for part in item.split(";"))
        quality = next((_quality(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
        if media_type in _ACCEPTED and quality > 0:
            ranked.append((-quality, position, _ACCEPTED[media_type]))
    if not ranked:
        raise NotAcceptableError(
            f"{accept[:80]!r} names no format that this service makes.",
            field="Accept",
            remedy="Accept image/png, application/json or application/x-npz, or send option format.",
        )
    return min(ranked)[2]


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _draw(segmentation: Segmentation, chosen: Format) -> bytes:
    if chosen is Format.MASK:
        return encode_mask(segmentation.label_map)
    if chosen is Format.CUTOUT:
        return encode_cutout(segmentation.rgb, segmentation.label_map)
    if chosen is Format.OVERLAY:
        return encode_overlay(segmentation.rgb, segmentation.label_map, segmentation.segments)
    if chosen is Format.HEATMAP:
        height, width = segmentation.label_map.shape
        highest = np.zeros((height, width), np.float32)
        for restored in segmentation.restored_maps():
            np.maximum(highest, restored, out=highest)
        return encode_heatmap(segmentation.rgb, highest[None])
    _check_npz_size(segmentation)
    maps = np.stack([restored.astype(np.float16) for restored in segmentation.restored_maps()])  # (K, H, W)
    segments = segmentation.segments
    values = [segment.value for segment in segments] if segmentation.legend else None
    return encode_npz(maps, segmentation.label_map, [segment.label for segment in segments], values)


def _check_answer_size(size: int) -> None:
    if size > MAX_ANSWER_BYTES:
        raise AnswerTooLargeError(
            f"the answer would have {size:,} bytes, more than {MAX_ANSWER_BYTES:,}.",
            field="format",
            remedy="Use format=mask or json, ask for fewer classes, or send a smaller photo.",
        )


def _check_npz_size(segmentation: Segmentation) -> None:
    values = segmentation.label_map.size * len(segmentation.segments)
    if values > _MAX_NPZ_VALUES:
        raise AnswerTooLargeError(
            f"npz would hold {values:,} map values, more than {_MAX_NPZ_VALUES:,}.",
            field="format",
            remedy="Ask for fewer classes, send a smaller photo, or use format=json.",
        )


def _describe(segmentation: Segmentation) -> dict[str, Any]:
    height, width = segmentation.label_map.shape
    segments = []
    for segment in segmentation.segments:
        mask = segmentation.label_map == segment.value
        box = bounding_box(mask)
        area = area_px(mask)
        segments.append(
            {
                "label": segment.label,
                "index": segment.index,
                "value": segment.value,
                "category_id": segment.category_id,
                "score": _rounded(segment.score),
                "area_px": area,
                "area_fraction": round(area / mask.size, 6),
                "box": box.as_list() if box else None,
                "rle": encode_rle(mask),
                "polygons": find_polygons(mask),
            }
        )
    return {
        "image": {"width": width, "height": height},
        "scores": [{"label": label, "score": _rounded(score)} for label, score in segmentation.top_scores],
        "segments": segments,
        **({"legend": _describe_legend(segmentation)} if segmentation.legend else {}),
        "warnings": list(segmentation.warnings),
    }


def _describe_legend(segmentation: Segmentation) -> list[dict[str, Any]]:
    """What each value of the mask means, with its colour there and in the overlay. 0 is background, black."""
    colours = palette()  # (256, 3)
    return [
        {"value": value, "label": label, "color": f"#{bytes(colours[value]).hex()}"}
        for value, label in segmentation.legend
    ]


def _headers(
    segmentation: Segmentation, provenance: Provenance, in_force: dict[str, Any], timings_ms: dict[str, float]
) -> dict[str, str]:
    """What JSON says in fields, as headers: ASCII, JSON inside."""
    segments = [
        {
            "value": segment.value,
            "label": segment.label,
            "score": _rounded(segment.score),
            "area_px": area_px(segmentation.label_map == segment.value),
        }
        for segment in segmentation.segments
    ]
    return {
        **_identity(provenance),
        "X-Weakseg-Segments": _dumps(segments),
        "X-Weakseg-Options": _dumps(in_force),
        "X-Weakseg-Timings-Ms": _dumps(timings_ms),
        "X-Weakseg-Warnings": _dumps(list(segmentation.warnings)),
    }


def _identity(provenance: Provenance) -> dict[str, str]:
    return {
        "X-Weakseg-Model": provenance.model,
        "X-Weakseg-Version": provenance.version,
        "X-Weakseg-Method": provenance.method,
        "X-Weakseg-Demonstration": _dumps(provenance.demonstration),
        "X-Weakseg-Software": f"weakseg {__version__}",
    }


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 6)


def _dumps(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"), allow_nan=False)
