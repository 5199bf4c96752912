"""Results on plain folders to Markdown, percent with one decimal."""

from __future__ import annotations

from weakseg.evaluation.tables import Document, list_options, percent, render_masks, table

_WORDS = (
    "All classes of the model are asked for at once, so that each pixel has one label. All numbers in percent, from one"
    " confusion matrix over background and classes; void pixels count nowhere, and a class without a true pixel is in"
    " no mean."
)


def render_folders(results: Document) -> str:
    """All tables as one page. Args: results: See `weakseg.evaluation.folder_run.build_folder_results`."""
    variants = [("as asked for", results), *results.get("refines", {}).items()]
    timings = results["timings"]
    return (
        "\n\n".join(
            [
                f"# {results['model']} {results['version']} on {results['data']}, {results['images']} photos",
                f"Network {results['network']}, weights: {results['weights_source']}."
                + (" **A demonstration model: not for real photos.**" if results["demonstration"] else ""),
                f"```\n{results['command']}\n```",
                _WORDS,
                render_masks(variants),
                f"Options as asked for: {list_options(results['options'])}. Mean time of a photo on one thread:"
                f" {timings['network_mean_ms']} ms network, {timings['refine_mean_ms']} ms refinement.",
                "## By class",
                "\n\n".join(_render_classes(name, scores) for name, scores in variants),
            ]
        )
        + "\n"
    )


def _render_classes(variant: str, scores: Document) -> str:
    columns = {"IoU": "iou", "precision": "precision", "recall": "recall", "F1": "f1"}
    rows = [
        [name, *(percent((found or {}).get(key)) for key in columns.values())]
        for name, found in scores["per_class"].items()
    ]
    return table([variant, *columns], rows)
