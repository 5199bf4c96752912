"""Results to Markdown: percent with one decimal, and always a column that says where the classes came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from weakseg.evaluation.counting import KNOWN, OBJECT, PREDICTED
from weakseg.evaluation.techniques import GRABCUT, IN_FORCE, SWEPT, TITLES

Document = dict[str, Any]
FIELDS = ("miou", "fwiou", "macc", "precision", "recall", "f1")
HEADINGS = ("mIoU", "fwIoU", "mAcc", "precision", "recall", "F1")
MASK_FIELDS = ("pixel_accuracy", "mean_accuracy", "mean_iu", "fw_iu")
MASK_HEADINGS = ("pixel accuracy", "mean accuracy", "mean IU", "frequency-weighted IU")
TAGS = {KNOWN: "known", PREDICTED: "predicted", OBJECT: "known, box given"}
TASKS = {KNOWN: "class", PREDICTED: "class", OBJECT: "object (box)"}

# Tables 1 and 2 of the paper: t, then mIoU / fwIoU / mAcc on its own data (VOC 2012 trainval, 2913 images, 20 classes).
PAPER = {
    KNOWN: {
        "cam": ("0.3", "30.0 / 30.4 / 76.4"),
        "gccam_pf_pb": ("0.3", "34.9 / 35.8 / 76.9"),
        "gccam_f_pf": ("0.7", "20.2 / 22.4 / 31.6"),
        "gccam_f_pb": ("0.5", "33.7 / 34.8 / 76.1"),
    },
    OBJECT: {
        GRABCUT: ("", "67.7 / 69.5 / 95.1"),
        "gccam_pf_pb": ("0.1", "64.5 / 65.4 / 94.8"),
        "gccam_f_pf": ("0.6", "68.5 / 70.1 / 95.0"),
        "gccam_f_pb": ("0.2", "60.8 / 62.0 / 92.7"),
    },
}


def render_report(results: Document, figures: Sequence[str]) -> str:
    """All tables as one Markdown page.

    Args:
        results: See `weakseg.evaluation.results.build_results`.
        figures: Paths of pictures, relative to the page.
    """
    parts = [_render_head(results), _render_main(results), _render_classes(results)]
    if "refines" in results:
        parts.append(_render_refines(results))
    if "sweep" in results:
        parts += [_render_sweep(results, KNOWN, 1), _render_sweep(results, OBJECT, 2), _render_choice(results)]
    parts += [f"![{name}]({name})" for name in figures]
    return "\n\n".join(parts) + "\n"


def _render_head(results: Document) -> str:
    demonstration = " **A demonstration model: not for real photos.**" if results["demonstration"] else ""
    return "\n".join(
        [
            f"# {results['model']} {results['version']} on {results['split']}, {results['images']} photos",
            "",
            f"Network {results['network']}, method {results['method']}, weights: {results['weights_source']}."
            + demonstration,
            "",
            "```",
            results["command"],
            "```",
            "",
            "All numbers in percent. IoU, accuracy and their means by the paper's equations (4) to (8), pixels"
            " accumulated over the split; precision, recall and F1 are means over classes. Void pixels count nowhere."
            " A class without a true pixel is in no mean.",
        ]
    )


def _render_main(results: Document) -> str:
    rows = [
        [
            TASKS[task],
            TAGS[task],
            list_options(results[task]["options"]),
            *_cells(results[task]),
            _means_over(results[task]),
        ]
        for task in (KNOWN, PREDICTED, OBJECT)
    ]
    return "\n\n".join(
        [
            "## Results with the options in force",
            table(["task", "tags", "options", *HEADINGS, "means over"], rows),
            _explain_tags(results),
        ]
    )


def _explain_tags(results: Document) -> str:
    predicted = results[PREDICTED]
    asked = "the best-scoring VOC class of each photo (pick=best), a closed set of 20 names"
    if results["method"] == "pixels":
        asked = "all VOC classes that the model knows, asked for at once"
    words = (
        f"Predicted tags: {asked}; the model is not told which of them a photo shows. Their mean IoU without"
        f" background: {percent(predicted['miou_without_background'])}."
    )
    if "others" not in predicted:
        return words
    others = f" True pixels of other classes are {predicted['others']}; those given to other classes are background."
    return f"{words}{others}\n\n{render_masks([('predicted tags', predicted)])}"


def render_masks(rows: Iterable[tuple[str, Document]]) -> str:
    """The four metrics of mask papers, one row each."""
    cells = [[name, *(percent(scores[field]) for field in MASK_FIELDS)] for name, scores in rows]
    return table(["", *MASK_HEADINGS], cells)


def _render_refines(results: Document) -> str:
    rows = [
        [refine, TASKS[task], TAGS[task], *_cells(found[task])]
        for task in (KNOWN, PREDICTED, OBJECT)
        for refine, found in results["refines"].items()
    ]
    words = "The same maps, refined in several ways; each with the card's defaults where no flag says otherwise."
    return "\n\n".join(["## Refinements", table(["refine", "task", "tags", *HEADINGS], rows), words])


def _means_over(summary: Document) -> str:
    return ", ".join(summary["over"])


def _render_classes(results: Document) -> str:
    names = results[PREDICTED]["over"]
    rows = []
    for task in (KNOWN, PREDICTED, OBJECT):
        found = results[task]["per_class"]
        ious = [percent((found.get(name) or {}).get("iou")) for name in names]
        rows.append([TASKS[task], TAGS[task], *ious])
    return "## IoU by class\n\n" + table(["task", "tags", *names], rows)


def _render_sweep(results: Document, task: str, number: int) -> str:
    sweep, thresholds = results["sweep"], results["sweep"]["thresholds"]
    rows = []
    if task == OBJECT:
        rows.append([TITLES[GRABCUT], "", TAGS[task], *_cells(sweep[task][GRABCUT]), *_paper(task, GRABCUT)])
    for technique in SWEPT:
        t = f"{thresholds[task][technique]:.1f}"
        rows.append([TITLES[technique], t, TAGS[task], *_cells(sweep[task][technique][t]), *_paper(task, technique)])
    in_force = f"options in force: {list_options(results[task]['options'])}"
    rows.append([in_force, "", TAGS[task], *_cells(results[task]), *_paper(task, IN_FORCE)])
    title = f"## Table {number}: {TASKS[task]} segmentation, as the paper's Table {number}"
    headings = ["technique", "t", "tags", *HEADINGS, "paper's t", "paper, its own data: mIoU / fwIoU / mAcc"]
    return f"{title}\n\n{table(headings, rows)}"


def _render_choice(results: Document) -> str:
    sweep, split = results["sweep"], results["split"]
    chosen_on = sweep["thresholds"]["chosen_on"]
    if chosen_on == split:
        how = f"on {split} itself, as the paper does: the best of nine, which flatters every technique a little."
    else:
        how = f"on {chosen_on}, without a look at {split}."
    return (
        f"t is chosen by mIoU {how} In these tables GrabCut runs {sweep['iterations']} iteration(s) at a long side of"
        f" at most {sweep['side_px']} pixels; in the rows of the options in force, {results['grabcut']['side_px']}."
        f"{_context(results)}"
        " The paper's numbers come from VOC 2012 trainval (2913 images, 20 classes): compare the order, not the height."
    )


def _context(results: Document) -> str:
    context = results["grabcut"]["box_context"]
    seen = "the whole photo" if context is None else f"the box and {context:g} of the box's sides around it"
    return f" In the object task it sees {seen}."


def _paper(task: str, technique: str) -> tuple[str, str]:
    return PAPER[task].get(technique, ("", "–"))


def list_options(options: Document) -> str:
    shown = {name: value for name, value in options.items() if name != "levels"}
    return ", ".join(f"{name} {_plain(value)}" for name, value in shown.items())


def _plain(value: Any) -> str:
    return " ".join(str(part) for part in value) if isinstance(value, list) else str(value)


def _cells(scores: Document) -> list[str]:
    return [percent(scores[field]) for field in FIELDS]


def percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.1f}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
