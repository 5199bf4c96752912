"""``weakseg models``: what the archives of a store hold."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from weakseg.archive import Archive, find_archive, open_archive
from weakseg.card import ModelCard
from weakseg.commands import flags
from weakseg.commands.terminal import complain, explained

Names = Annotated[
    list[str] | None,
    typer.Argument(help="Models of the store, or paths of archives.", show_default="every model of the store"),
]


def models(
    names: Names = None,
    store: flags.Store = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list, for programs.")] = False,
) -> None:
    """List what model archives hold.

    Name, version, network and method; classes and groups; preprocessing and runtime; licence and source of the
    weights, and whether this is the demonstration model; the differences between runtimes found at export.
    """
    folder = flags.find_store(store)
    with explained():
        wanted = names or sorted(path.stem for path in folder.glob("*.mar"))
        archives = [open_archive(find_archive(name, folder)) for name in wanted]
    if as_json:
        print(json.dumps([_describe(archive) for archive in archives], indent=2, ensure_ascii=False))
        return
    if not archives:
        complain(
            f"No model in {folder.resolve()}. Build one with `./scripts/serve` or `python -m export`, or give --store."
        )
    for archive in archives:
        print(_render(archive))


def _describe(archive: Archive) -> dict[str, Any]:
    return {"archive": str(archive.path), **archive.card.model_dump(mode="json")}


def _render(archive: Archive) -> str:
    card = archive.card
    lines = {
        "archive": archive.path,
        "network": f"{card.network}, method {card.method}" + _pairs(card.graph, before=", "),
        "classes": f"{len(card.classes)}: {_some(card.classes)}",
        "groups": f"{len(card.groups)}: {', '.join(card.groups)}" if card.groups else "none",
        "preprocessing": _render_preprocessing(card),
        "runtime": f"{card.runtime}, threads {card.threads}, CRF and GrabCut at long sides of {card.sides.crf} "
        f"and {card.sides.grabcut} px at most",
        "weights": f"{card.weights.source} (sha256 {card.weights.sha256})",
        "licence": card.weights.licence,
        "demonstration": "yes: made from drawings, not for real photos" if card.weights.demonstration else "no",
        "parity": _pairs(card.parity) or "not recorded",
    }
    return "\n".join([f"{card.name} {card.version}", *(f"  {name:<14} {text}" for name, text in lines.items())])


def _render_preprocessing(card: ModelCard) -> str:
    settings = card.preprocessing
    size = f"{settings.width} x {settings.height} px"
    if settings.max_side is not None:
        size = f"long side {settings.max_side} px at most, proportions kept; tiles of {size}"
    return f"{size}, mean {settings.mean}, std {settings.std}"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 6 else f"{', '.join(names[:3])} ... {names[-1]}"


def _pairs(facts: dict[str, Any], before: str = "") -> str:
    return before + ", ".join(f"{name} {value}" for name, value in facts.items()) if facts else ""
