"""The steps of ./scripts/serve, once its environment is there: archives, TorchServe, a curl line."""

from __future__ import annotations

import fcntl
import shlex
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import skimage.data
import typer
from rich.console import Console
from rich.markup import escape

from scripts import archives, torchserve
from scripts.torchserve import Instance, ServiceError
from weakseg.archive import open_archive
from weakseg.card import ModelCard
from weakseg.errors import WeaksegError

ROOT = Path(__file__).resolve().parents[1]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOCK = "start.lock"  # in the state folder: held while an instance is built and started

console = Console(highlight=False, soft_wrap=True)


class Interrupted(Exception):
    """Somebody wants the service to end."""


def serve(
    detach: Annotated[bool, typer.Option("--detach", help="Return once the service is ready.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the service.")] = False,
    models: Annotated[
        str, typer.Option(help="Models to serve, with commas: archives of the store by name.")
    ] = archives.DEFAULT_MODEL,
    port: Annotated[
        int, typer.Option(help="Inference port; management is the next one, then metrics and two for gRPC.")
    ] = 8080,
    store: Annotated[Path, typer.Option(help="Folder of the archives.")] = ROOT / "model_store",
    state: Annotated[Path, typer.Option(help="Folder for logs and notes; one service each.")] = ROOT / ".weakseg",
) -> None:
    """Serve weakseg's models with TorchServe on 127.0.0.1.

    The first start builds what is missing: the environment, the weights, the archive. Later starts reuse it. Without
    --detach the service runs until Ctrl-C.
    """
    store, state = store.resolve(), state.resolve()
    try:
        with _signals_raise():
            if stop:
                stop_service(state)
            else:
                names = tuple(name.strip() for name in models.split(","))
                run_service(names, port, store, state, detach=detach)
    except (ServiceError, WeaksegError) as error:
        say(f"[bold red]Failed:[/] {escape(str(error))}")
        raise typer.Exit(1) from error
    except Interrupted as error:
        say(f"Interrupted ({error}).")
        raise typer.Exit(130) from error


def run_service(names: tuple[str, ...], port: int, store: Path, state: Path, *, detach: bool) -> None:
    """Build, start and wait; without ``detach`` until a signal comes.

    Raises:
        ServiceError, ModelError: it could not be started; nothing is left running.
    """
    state.mkdir(parents=True, exist_ok=True)
    with ExitStack() as cleanup:
        with _only_one(state):
            running = torchserve.find(state)
            if running:
                _check_running(running, names, port)
                say("It runs already.")
                _show_usage(running, _read_card(running), state)
                return
            torchserve.check_ports(port)  # before minutes of building
            cards = [archives.ensure_archive(name, store, lambda line: say(escape(line))) for name in names]
            say(f"TorchServe starts on {torchserve.HOST}:{port}; logs: {escape(str(state / 'logs'))}")
            instance = torchserve.start(ROOT / "config.properties", store, names, state, port)
            cleanup.callback(_stop, instance, state)
            torchserve.wait_until_ready(instance, state, say)
        _show_usage(instance, cards[0], state)
        if detach:
            cleanup.pop_all()
        else:
            _follow(instance, state)


def stop_service(state: Path) -> None:
    """Stop what runs; nothing to stop is no error."""
    instance = torchserve.find(state)
    if instance is None:
        say("It does not run.")
        return
    torchserve.stop(instance, state)
    say(f"Stopped; the ports from {instance.port} on are free.")


def say(line: str) -> None:
    """One line of progress, with the time. rich's markup works in it."""
    console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {line}")


def copy_samples(card: ModelCard, store: Path, state: Path) -> Path:
    """Put sample pictures into the state folder; the one that the model knows best."""
    cat = Path(shutil.copy(Path(skimage.data.__file__).parent / "chelsea.png", state))
    return Path(shutil.copy(archives.sample_drawing(store), state)) if card.weights.demonstration else cat


def _show_usage(instance: Instance, card: ModelCard, state: Path) -> None:
    photo = copy_samples(card, Path(instance.store), state)
    url = f"{instance.inference_url}/predictions/{card.name}"
    console.print("\n[bold green]Ready.[/] The object of a sample photo, cut out into cutout.png:\n")
    console.print(
        f"  curl -T {shlex.quote(str(photo))} -H 'X-Weakseg-Format: cutout' -o cutout.png {url}\n", markup=False
    )
    if card.weights.demonstration:
        console.print("[bold yellow]This is the demonstration model: it knows drawings, no real photos.[/]")
    console.print(f"About the model: curl '{instance.management_url}/models/{card.name}?customized=true'", markup=False)
    console.print(
        f"To stop it: {shlex.quote(str(ROOT / 'scripts' / 'serve'))} --stop{_state_option(state)}", markup=False
    )


def _state_option(state: Path) -> str:
    return "" if state == ROOT / ".weakseg" else f" --state {shlex.quote(str(state))}"


def _follow(instance: Instance, state: Path) -> None:
    """Sit beside the service until a signal comes, or until it ends by itself (ServiceError)."""
    say("Ctrl-C stops it, too.")
    try:
        while instance.processes():
            time.sleep(1)
    except Interrupted:
        return
    raise ServiceError(f"TorchServe ended by itself.\n{torchserve.log_tail(state)}")


def _stop(instance: Instance, state: Path) -> None:
    for number in SIGNALS:  # a second Ctrl-C must not leave half of it behind; this takes 20 s at most
        signal.signal(number, signal.SIG_IGN)
    say("TorchServe and its workers stop")
    torchserve.stop(instance, state)


def _read_card(instance: Instance) -> ModelCard:
    return open_archive(Path(instance.store) / f"{instance.models[0]}.mar").card


def _check_running(running: Instance, names: tuple[str, ...], port: int) -> None:
    if (running.models, running.port) != (names, port):
        raise ServiceError(
            f"It runs already, with {', '.join(running.models)} on port {running.port}. Stop it first (--stop), or give"
            " the second one a --state folder and a --port of its own."
        )
    if not all(torchserve.is_ready(running, model) for model in names):
        raise ServiceError("It runs already, but not all of its models are ready. Wait, or start it anew after --stop.")


@contextmanager
def _only_one(state: Path) -> Iterator[None]:
    """Two starts at once: the second waits, and then finds the first one's service."""
    with (state / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another start is under way; wait for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _signals_raise() -> Iterator[None]:
    def interrupt(number: int, _: object) -> None:
        raise Interrupted(signal.Signals(number).name)

    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    typer.run(serve)
