"""What the launcher tells people: progress, and how the service is used."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import skimage.data
from rich.console import Console
from rich.markup import escape

from scripts import archives
from scripts.configuration import read_properties
from scripts.instance import ROOT, STATE, Instance
from weakseg.card import ModelCard

CAT, PORTRAIT = "chelsea.png", "astronaut.png"  # of scikit-image
SAMPLES = {"hair": PORTRAIT}  # of models that know no cats


class LenientConsole(Console):
    """A console whose reader may go away, as in ``./scripts/serve --detach | head``: rich would end the program."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


console = LenientConsole(highlight=False, soft_wrap=True)


def say(line: str) -> None:
    """One line of progress, with the time. rich's markup works in it."""
    console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {line}")


def copy_samples(card: ModelCard, instance: Instance) -> Path:
    """Put sample pictures into the state folder; the one that the model knows best."""
    pictures = Path(skimage.data.__file__).parent
    copied = {name: Path(shutil.copy(pictures / name, instance.state)) for name in (CAT, PORTRAIT)}
    drawing = archives.sample_drawing(instance.store)
    if card.weights.demonstration and drawing.exists():  # somebody's own checkpoint of the same network has none
        return Path(shutil.copy(drawing, instance.state))
    return copied[SAMPLES.get(card.name, CAT)]


def show_usage(instance: Instance, cards: Sequence[ModelCard]) -> None:
    """A curl line for every model, and how to stop it all."""
    headers, about = "-H 'X-Weakseg-Format: cutout'", ""
    tokens = _token_file(instance)
    if tokens:
        say(f"Every request needs a token of {escape(tokens)}; `python -m scripts.tokens add` makes one")
        headers += " -H 'Authorization: Bearer TOKEN'"
    elif instance.key_file.exists():
        say(f"Every request needs a key; they are in {escape(str(instance.key_file))}")
        headers += " -H 'Authorization: Bearer INFERENCE_KEY'"
    if instance.key_file.exists():
        about = "-H 'Authorization: Bearer MANAGEMENT_KEY' "
    console.print("\n[bold green]Ready.[/] The object of a sample photo, cut out:\n")
    for place, card in enumerate(cards):
        photo = shlex.quote(str(copy_samples(card, instance)))
        url = f"{instance.inference_url}/predictions/{card.name}"
        console.print(f"  curl -T {photo} {headers} -o {card.name if place else 'cutout'}.png {url}", markup=False)
    console.print()
    for card in (card for card in cards if card.weights.demonstration):
        console.print(f"[bold yellow]{card.name} is the demonstration model: it knows drawings, no real photos.[/]")
    details = f"'{instance.management_url}/models/{cards[0].name}?customized=true'"
    console.print(f"About the model: curl {about}{details}", markup=False)
    own_state = "" if instance.state == STATE else f" --state {shlex.quote(str(instance.state))}"
    console.print(f"To stop it: {shlex.quote(str(ROOT / 'scripts' / 'serve'))} --stop{own_state}", markup=False)


def _token_file(instance: Instance) -> str:
    """Where callers' tokens are, as the front reads it; empty: TorchServe's keys count, if any do."""
    written = read_properties(instance.config.read_text(encoding="utf-8")).get("weakseg_token_file", "")
    return os.environ.get("WEAKSEG_TOKEN_FILE") or written
