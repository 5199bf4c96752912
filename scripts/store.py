"""Archives that are served as they are, as in a container: nothing is built then, and the store may be read-only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from weakseg.archive import DEFAULT_MODEL, open_archive
from weakseg.card import ModelCard
from weakseg.errors import ModelError, WeightsUnavailableError


def stored_models(store: Path) -> tuple[str, ...]:
    """Names of all archives that lie in the store, in order; the default model comes first.

    Raises:
        ModelError: there is none.
    """
    names = tuple(sorted((path.stem for path in store.glob("*.mar")), key=lambda name: (name != DEFAULT_MODEL, name)))
    if not names:
        raise ModelError(
            f"No archive (NAME.mar) in {store}. Mount or copy one there, name another --store, or leave out --no-build."
        )
    return names


def stored_cards(names: Sequence[str], store: Path, *, demo: bool) -> list[ModelCard]:
    """The cards of archives that are there; nothing is written.

    Args:
        demo: Whether the demonstration model may be served.
    Raises:
        ModelError: no such archive, or it cannot be read.
        WeightsUnavailableError: it is the demonstration model, and that is not wanted.
    """
    known = stored_models(store)
    for name in names:
        if name not in known:
            raise ModelError(f"No model {name!r} in {store} (it has: {', '.join(known)}). Change --models or --store.")
    cards = [open_archive(store / f"{name}.mar").card for name in names]
    for card in cards:
        if card.weights.demonstration and not demo:
            raise WeightsUnavailableError(
                f"{store / card.name}.mar is the demonstration model, which --no-demo refuses. Build the archive where"
                " SqueezeNet's weights can be had (TORCH_HOME), or leave out --no-demo."
            )
    return cards
