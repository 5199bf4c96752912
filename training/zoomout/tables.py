"""Results to Markdown, in the layout of the slides: Method | Mean IU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.zoomout.measure import KNOWN, PREDICTED

SLIDES = {"FCN-MIL [ICLR 2015] (FCN only)": 24.9, "ZOF with GBP (slides)": 37.7, "FCN with GBP (slides)": 40.7}
_DASH = "–"


def render(results: Mapping[str, Any]) -> str:
    """One page: a table for each split, and what was chosen.

    Args:
        results: See `training.zoomout.run.run`.
    """
    parts = [_render_head(results)]
    parts += [_render_split(split, found) for split, found in results["splits"].items()]
    return "\n\n".join([*parts, _render_choices(results)]) + "\n"


def _render_head(results: Mapping[str, Any]) -> str:
    training = results["training"]
    return "\n".join(
        [
            "# Zoom-out features with guided backprop (ZOF with GBP)",
            "",
            f"Network {results['recipe']['network']}, weights: {results['weights_source']}.",
            "",
            "```",
            results["command"],
            "```",
            "",
            f"The SVM was trained on {training['photos']} photos of {training['split']} with image labels alone, in"
            f" {training['seconds']:.0f} s, features included. Way, thresholds and CRF were chosen on"
            f" {results['chosen_on']}, known tags. Mean IU in percent over background and"
            f" {', '.join(results['recipe']['classes'])}; pixels accumulated over the split, void left out. Predicted"
            " tags: the one class of these that the SVM scores highest.",
        ]
    )


def _render_split(split: str, found: Mapping[str, Any]) -> str:
    rows = [
        (title, _percent(scores[KNOWN]["miou"]), _percent(scores[PREDICTED]["miou"]), _DASH)
        for title, scores in found["methods"].items()
    ]
    rows += [(title, _DASH, _DASH, f"{miou:.1f}") for title, miou in SLIDES.items()]
    headings = ("Method", "Mean IU, known tags", "Mean IU, predicted tags", "Slides: 20 classes, VGG16")
    return f"## {split}: {found['images']} photos\n\n{_table(headings, rows)}"


def _render_choices(results: Mapping[str, Any]) -> str:
    rows = [
        (title, choice["way"], f"{choice['threshold']:.2f}", str(choice["crf_confidence"] or _DASH))
        for title, choice in results["choices"].items()
    ]
    return f"## Choices\n\n{_table(('Method', 'map', 'threshold', 'CRF confidence'), rows)}"


def _percent(fraction: float | None) -> str:
    return _DASH if fraction is None else f"{100 * fraction:.1f}"


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
