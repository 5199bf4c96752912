"""``weakseg segment``: photos to masks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weakseg.archive import DEFAULT_MODEL, find_archive, open_archive
from weakseg.commands import flags
from weakseg.commands.terminal import WRONG_INPUT, complain, explained
from weakseg.options import Format
from weakseg.types import Answer, RawRequest

if TYPE_CHECKING:
    from weakseg.pipeline import Pipeline

Photos = Annotated[list[Path], typer.Argument(help="JPEG, PNG, WebP, BMP or TIFF files.", show_default=False)]
Out = Annotated[
    Path | None,
    typer.Option(
        help="A folder, or for a single photo a file name with an ending.",
        show_default="beside each photo: PHOTO.mask.png",
    ),
]


@flags.takes_options()
def segment(
    photos: Photos,
    model: flags.Model = DEFAULT_MODEL,
    store: flags.Store = None,
    out: Out = None,
    *,
    options: dict[str, str],
) -> None:
    """Cut objects out of photos.

    Writes one file per photo and prints what was found: label, score and area of each object, and the time of each
    stage. A photo that cannot be answered is explained on stderr; the others are still done, and the exit code is 2.

    Examples:

    - `weakseg segment dog.jpg` : the best-scoring label, as an indexed PNG of the photo's size: dog.mask.png

    - `weakseg segment dog.jpg --classes dog --format cutout` : the dog on a transparent background

    - `weakseg segment *.jpg --classes cat,dog --format json --out masks` : outlines and areas, one JSON per photo

    - `weakseg segment dog.jpg --budget-ms 20` : the best refinement that takes no longer

    - `weakseg segment dog.jpg --classes none --box 40,30,320,290` : GrabCut alone, without the network
    """
    if out is not None and out.suffix and not out.is_dir():
        _refuse_misnamed(out, _ending(options), single=len(photos) == 1)
    destinations = [_destination(photo, out, _ending(options), single=len(photos) == 1) for photo in photos]
    _refuse_shared(photos, destinations)
    with explained():
        pipeline = _open_pipeline(model, flags.find_store(store))
    pairs = zip(photos, destinations, strict=True)
    failed = [photo for photo, path in pairs if not _segment_photo(pipeline, photo, options, path)]
    if failed:
        raise typer.Exit(WRONG_INPUT)


def _open_pipeline(model: str, store: Path) -> Pipeline:
    from weakseg.pipeline import Pipeline  # here, as PyTorch takes seconds to import, and --help should not
    from weakseg.runtime import open_runtime

    archive = open_archive(find_archive(model, store))
    return Pipeline(archive.card, open_runtime(archive.card, archive.read_file))


def _segment_photo(pipeline: Pipeline, photo: Path, options: dict[str, str], path: Path) -> bool:
    """Whether it went well."""
    try:
        answer = pipeline.answer([RawRequest(photo.read_bytes(), options)])[0]
        if answer.status != 200:
            _explain(photo, json.loads(answer.body)["error"])
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(answer.body)
    except OSError as error:
        complain(f"{photo}: {error}")
        return False
    _report(photo, path, answer)
    return True


def _ending(options: dict[str, str]) -> str:
    kind = options.get("format", Format.MASK).strip().casefold()
    return f".{kind}" if kind in (Format.JSON, Format.NPZ) else f".{kind}.png"


def _destination(photo: Path, out: Path | None, ending: str, *, single: bool) -> Path:
    if out is None:
        return photo.with_name(photo.stem + ending)
    if single and out.suffix and not out.is_dir():
        return out
    return out / (photo.stem + ending)


def _refuse_misnamed(out: Path, ending: str, *, single: bool) -> None:
    """Before any work: a file name for several photos, or one whose ending says another format."""
    right = Path(ending).suffix or ending
    if not single:
        complain(f"Error: --out {out}: several photos need a folder. If this is to be one, make it first.")
    elif out.suffix.casefold() != right:
        complain(f"Error: --out {out}: this format is written as {right}. Name it {out.with_suffix(right)}.")
    else:
        return
    raise typer.Exit(WRONG_INPUT)


def _refuse_shared(photos: Sequence[Path], destinations: Sequence[Path]) -> None:
    """Before any work: two photos that would be written to one file are a wrong input."""
    owners: dict[Path, Path] = {}
    for photo, path in zip(photos, destinations, strict=True):
        first = owners.setdefault(path.resolve(), photo)
        if first is not photo:
            complain(
                f"Error: {first} and {photo} would both be written to {path}.",
                "  Do them one at a time with --out, or give the photos names that differ in more than the ending.",
            )
            raise typer.Exit(WRONG_INPUT)


def _explain(photo: Path, error: dict[str, str]) -> None:
    complain(f"{photo}: {error['field']}: {error['message']}", f"  {error['remedy']}")


def _report(photo: Path, path: Path, answer: Answer) -> None:
    segments, timings_ms, warnings, options = _findings(answer)
    print(f"{photo} -> {path}")
    for found in segments:
        score = "" if found["score"] is None else f"score {found['score']:.3f}, "
        print(f"  {found['value']} {found['label']}: {score}{found['area_px']:,} pixels")
    print("  " + ", ".join(f"{stage} {milliseconds:.1f} ms" for stage, milliseconds in timings_ms.items()))
    if auto := options.get("auto"):
        estimated_ms, budget_ms = auto["estimated_ms"], auto["budget_ms"]
        print(f"  refine=auto chose {options['refine']}: {estimated_ms:.1f} of {budget_ms:g} ms expected")
    complain(*(f"{photo}: warning: {warning}" for warning in warnings))


def _findings(answer: Answer) -> tuple[Sequence[dict[str, Any]], dict[str, float], Sequence[str], dict[str, Any]]:
    """Segments, timings, warnings and options in force: fields of a JSON answer, headers of any other."""
    if answer.content_type == "application/json":
        document = json.loads(answer.body)
        return document["segments"], document["timings_ms"], document["warnings"], document["options"]
    segments, timings_ms, warnings, options = (
        json.loads(answer.headers[f"X-Weakseg-{name}"]) for name in ("Segments", "Timings-Ms", "Warnings", "Options")
    )
    return segments, timings_ms, warnings, options
