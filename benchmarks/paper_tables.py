"""``python -m benchmarks.paper_tables``: results of ``weakseg evaluate`` in the layout of the papers' own tables."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.report import Row, Table, console
from weakseg.commands.terminal import explained
from weakseg.errors import DataError

Document = dict[str, Any]
TASKS = {"known_tags": "known", "predicted_tags": "predicted"}

# "Saliency based methods" of the course project: precision, recall, F1, each on train and test.
SALIENCY = {
    "none": ("Raw Saliency Map", (0.44, 0.53, 0.62, 0.57, 0.51, 0.55)),
    "gaussian": ("Saliency Map + Gaussian Denoising", (0.48, 0.53, 0.75, 0.69, 0.59, 0.60)),
    "crf": ("Saliency Map + Tuned CRF", (0.32, 0.27, 0.51, 0.51, 0.39, 0.35)),
    "gaussian+crf": ("Saliency Map + Gaussian Denoising + Tuned CRF", (0.37, 0.28, 0.48, 0.48, 0.41, 0.35)),
}
# "Joint Segmentation and classification network-based methods" of the same; it has no CRF on joint maps.
JOINT = {
    "none": ("Joint Training Network", (0.55, 0.61, 0.53, 0.54, 0.54, 0.57)),
    "gaussian": ("Joint Training Network + Gaussian Denoising", (0.58, 0.61, 0.54, 0.55, 0.56, 0.58)),
    "crf": ("Joint Training Network + Tuned CRF", ()),
    "gaussian+crf": ("Joint Training Network + Gaussian Denoising + Tuned CRF", ()),
}
# "Effect of subtraction" and "Comparison with previous works" of the DCSM slides: mean IU in percent.
SUBTRACTION_WITH_CRF = {0: 38.2, 1: 42.2, 2: 43.5, 3: 44.1, 4: 44.2, 5: 44.0, 10: 43.7}
SUBTRACTION_WITHOUT_CRF = {3: 40.5}

SALIENCY_NOTE = (
    "In brackets: the paper's figure (20 classes of VOC 2012, AlexNet). Class task, known tags, pixels accumulated "
    "over the split; precision, recall and F1 are means over classes."
)
SUBTRACTION_NOTE = (
    "Mean IU in percent over background and the classes of the evaluation (predicted tags) or over these classes alone "
    "(known tags). Slides: 20 classes and background, predicted tags, VGG16, `val` of VOC 2012."
)

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
Results = Annotated[list[Path], typer.Argument(help="results.json files of `weakseg evaluate`.", show_default=False)]
TestSplit = Annotated[str, typer.Option(help="The split whose figures are the test's; any other one is train.")]
Out = Annotated[Path | None, typer.Option(help="Write the tables into this Markdown file too.")]


@app.command()
def saliency(results: Results, test_split: TestSplit = "val", out: Out = None) -> None:
    """Precision, recall and F1 on train and test, by refinement: the course project's table, one for each model.

    A joint network's results are set beside the paper's joint network.
    """
    with explained():
        publish(make_saliency_tables(read_results(results), test_split), out)


@app.command()
def joint(results: Results, test_split: TestSplit = "val", out: Out = None) -> None:
    """The same figures of saliency and joint networks in one table: each technique, and who does it."""
    with explained():
        publish([make_joint_table(read_results(results), test_split)], out)


@app.command()
def subtraction(results: Results, out: Out = None) -> None:
    """Mean IU by the number of subtracted classes: the DCSM slides' table, one for each model and split."""
    with explained():
        publish(make_subtraction_tables(read_results(results)), out)


def read_results(paths: Iterable[Path]) -> list[Document]:
    """Raises: DataError: a file that ``weakseg evaluate`` did not write."""
    documents = []
    for path in paths:
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            document["known_tags"]["options"]["refine"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} holds no results of `weakseg evaluate` ({error!r}).") from error
        documents.append(document)
    return documents


def make_saliency_tables(documents: Sequence[Document], test_split: str) -> list[Table]:
    models = _by_model(documents, test_split)
    return [
        Table(f"{model}: {_facts(splits)}", _saliency_rows(splits), f"Weights: {_weights(splits)}. {SALIENCY_NOTE}")
        for model, splits in models.items()
    ]


def make_joint_table(documents: Sequence[Document], test_split: str) -> Table:
    """One table of all models, technique by technique in the paper's order: saliency first, then joint networks."""
    models = _by_model(documents, test_split)
    rows = [{"Model": model, **row} for model, splits in models.items() for row in _saliency_rows(splits)]
    titles = [title for title, _ in (*SALIENCY.values(), *JOINT.values())]
    rows.sort(key=lambda row: titles.index(row["Technique"]))
    weights = "; ".join(f"{model}: {_weights(splits)}" for model, splits in models.items())
    facts = "; ".join(dict.fromkeys(_facts(splits) for splits in models.values()))
    return Table(f"Saliency and joint networks: {facts}", rows, f"Weights: {weights}. {SALIENCY_NOTE}")


def _by_model(documents: Sequence[Document], test_split: str) -> dict[str, dict[bool, Document]]:
    """Model to its results on train (False) and test (True)."""
    models: dict[str, dict[bool, Document]] = defaultdict(dict)
    for document in documents:
        models[_model(document)][document["split"] == test_split] = document
    return models


def _facts(splits: dict[bool, Document]) -> str:
    return ", ".join(f"{splits[key]['images']} photos of {splits[key]['split']}" for key in sorted(splits))


def _saliency_rows(splits: dict[bool, Document]) -> list[Row]:
    train, test = (_by_refine(splits.get(is_test)) for is_test in (False, True))
    is_joint = next(iter(splits.values())).get("method") == "joint"
    return [
        _saliency_row(title, train.get(refine), test.get(refine), paper)
        for refine, (title, paper) in (JOINT if is_joint else SALIENCY).items()
        if refine in train or refine in test
    ]


def _saliency_row(title: str, train: Document | None, test: Document | None, paper: Sequence[float]) -> Row:
    row: dict[str, Any] = {"Technique": title}
    figures = iter(paper)
    for metric, words in (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1")):
        for split, found in (("Train", train), ("Test", test)):
            ours = None if found is None else found["known_tags"][metric]
            theirs = next(figures, None)
            row[f"{words} ({split})"] = f"{_figure(ours)} ({_figure(theirs)})"
    return row


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def make_subtraction_tables(documents: Sequence[Document]) -> list[Table]:
    """Raises: DataError: a run whose number of subtracted classes is in none of its options."""
    runs: dict[tuple[str, str], dict[int, Document]] = defaultdict(dict)
    for document in documents:
        runs[_model(document), document["split"]][_subtracted(document)] = document
    return [_subtraction_table(model, split, found) for (model, split), found in runs.items()]


def _subtraction_table(model: str, split: str, runs: dict[int, Document]) -> Table:
    counts = sorted({*range(6), *runs})
    refined = {count: _by_refine(document) for count, document in runs.items()}
    refines = dict.fromkeys(refine for found in refined.values() for refine in found)
    rows = [
        _subtraction_row(refine, task, {count: found.get(refine) for count, found in refined.items()}, counts)
        for task in TASKS
        for refine in refines
    ]
    rows += [
        _slides_row("slides: with CRF", SUBTRACTION_WITH_CRF, counts),
        _slides_row("slides: without CRF", SUBTRACTION_WITHOUT_CRF, counts),
    ]
    images = next(iter(runs.values()))["images"]
    title = f"{model}: {images} photos of {split}, N subtracted classes"
    return Table(title, rows, f"Weights: {_weights(runs)}. {SUBTRACTION_NOTE}")


def _subtraction_row(refine: str, task: str, found: dict[int, Document | None], counts: Sequence[int]) -> Row:
    row: dict[str, Any] = {"refine": refine, "tags": TASKS[task]}
    for count in counts:
        scores = found.get(count)
        row[f"N = {count}"] = (
            "–" if scores is None or scores[task]["miou"] is None else f"{100 * scores[task]['miou']:.1f}"
        )
    return row


def _slides_row(title: str, figures: dict[int, float], counts: Sequence[int]) -> Row:
    cells = {f"N = {count}": f"{figures[count]:.1f}" if count in figures else "–" for count in counts}
    return {"refine": title, "tags": "predicted", **cells}


def _by_refine(document: Document | None) -> dict[str, Document]:
    """Refinement to what was measured with it, task by task: the one in force, and those of ``--refines``, which come
    first where one was measured at another threshold."""
    if document is None:
        return {}
    runs = [document, *document.get("refines", {}).values()]
    return {found["known_tags"]["options"]["refine"]: found for found in runs}


def _subtracted(document: Document) -> int:
    options = {**document.get("flags", {}), **document["predicted_tags"]["options"]}
    if "subtract_classes" not in options:
        raise DataError(f"The run `{document['command']}` has no option subtract_classes: is it one of DCSM?")
    return int(options["subtract_classes"])


def _model(document: Document) -> str:
    return f"{document['model']} {document['version']}"


def _weights(documents: dict[Any, Document]) -> str:
    return "; ".join(dict.fromkeys(document["weights_source"] for document in documents.values()))


def publish(tables: Sequence[Table], out: Path | None) -> None:
    text = "\n\n".join(table.to_markdown() for table in tables)
    console.print(text, markup=False)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    app()
