"""The steps of ./scripts/serve, once its environment is there: archives, the service, a curl line."""

from __future__ import annotations

import fcntl
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from scripts import archives, torchserve
from scripts.archives import Trained
from scripts.configuration import derive, find_difference, read_properties
from scripts.machine import look_at_machine
from scripts.sizing import Plan, make_plan, read_model, read_workers
from scripts.store import stored_cards, stored_models
from scripts.torchserve import PORTS, ROOT, STATE, Instance, ServiceError, Wanted
from scripts.usage import say, show_usage
from weakseg.archive import open_archive
from weakseg.card import ModelCard
from weakseg.errors import WeaksegError

CONFIG = ROOT / "config.properties"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Interrupted(Exception):
    """Somebody wants this program to end."""


@app.command()
def serve(
    detach: Annotated[bool, typer.Option("--detach", help="Return once the service is ready.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the service.")] = False,
    models: Annotated[
        str | None,
        typer.Option(
            help="Models to serve, with commas: archives of the store by name.",
            show_default=f"{','.join(archives.default_models())}; with --no-build all of the store",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Export and serve this checkpoint of `python -m training` (best.pt), instead of --models.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="How its maps are made: joint, cam, saliency, guided, dcsm, gradcam, layercam. A network that labels "
            "pixels takes none.",
            show_default="joint or cam where the network suits, else saliency",
        ),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(
            help="Worker processes: N for every model, or name=N,name=N.",
            show_default="as many as the machine has cores and memory for; one per GPU",
        ),
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            min=1,
            max=65536 - len(PORTS),
            help="Where callers ask; six more follow: management, metrics, two for gRPC, two of TorchServe's own.",
        ),
    ] = 8080,
    store: Annotated[Path, typer.Option(file_okay=False, help="Folder of the archives.")] = ROOT / "model_store",
    state: Annotated[Path, typer.Option(file_okay=False, help="Folder for logs and notes; one service each.")] = STATE,
    config: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="Configuration of TorchServe and of the front.")
    ] = CONFIG,
    show_logs: Annotated[
        bool, typer.Option("--show-logs", help="Logs of requests and of TorchServe on the console, too.")
    ] = False,
    build_only: Annotated[bool, typer.Option("--build-only", help="Build the archives, start nothing.")] = False,
    no_build: Annotated[
        bool, typer.Option("--no-build", help="Serve the store's archives as they are: nothing is built or downloaded.")
    ] = False,
    no_demo: Annotated[
        bool, typer.Option("--no-demo", help="Without ImageNet weights fail, instead of making a demonstration model.")
    ] = False,
) -> None:
    """Serve weakseg's models on 127.0.0.1: TorchServe, and an HTTP front before it.

    The first start builds what is missing: the environment, the weights, the archive. Later starts reuse it. Without
    --detach the service runs until Ctrl-C.
    """
    if method and not checkpoint:
        raise typer.BadParameter("--method belongs to --checkpoint; archives have theirs.")
    if no_build and (checkpoint or build_only):
        raise typer.BadParameter("--no-build goes with neither --checkpoint nor --build-only.")
    try:
        with _signals_raise():
            trained = None
            if checkpoint and not stop:
                trained = archives.read_checkpoint(checkpoint, _report, method=method)
                models = trained.name
            names = _names(models, store.resolve(), no_build=no_build and not stop)
            decided = read_workers(workers, names) if workers and not stop else {}
            wanted = Wanted(names, port, store.resolve(), state.resolve(), config.resolve(), show_logs, decided)
            if stop:
                stop_service(wanted.state)
            elif build_only:
                build_archives(wanted, trained, demo=not no_demo)
            else:
                run_service(wanted, trained, detach=detach, demo=not no_demo, build=not no_build)
    except (ServiceError, WeaksegError) as error:
        say(f"[bold red]Failed:[/] {escape(str(error))}")
        raise typer.Exit(1) from error
    except Interrupted as error:
        say(f"Interrupted ({error}).")
        raise typer.Exit(130) from error


def run_service(
    wanted: Wanted, trained: Trained | None = None, *, detach: bool, demo: bool, build: bool = True
) -> None:
    """Build, start and wait; without ``detach`` until a signal comes. Without ``build`` archives are taken as they are.

    Raises:
        ServiceError, ModelError: it could not be started; nothing is left running.
    """
    with ExitStack() as cleanup:
        with _only_one(wanted.state):
            running = torchserve.find(wanted.state)
            if running:
                _check_running(running, wanted)
                if trained:
                    trained.refuse_other_weights(running.store)
                say("It runs already.")
                if wanted.workers:
                    say("Its workers stay as they are: ./scripts/models scale NAME N changes them.")
                show_usage(running, [open_archive(running.store / f"{name}.mar").card for name in running.models])
                return
            torchserve.check_ports(wanted.port)  # before minutes of building
            if build:
                cards = build_archives(wanted, trained, demo=demo)
            else:
                cards = stored_cards(wanted.models, wanted.store, demo=demo)
            say(f"The service starts; its logs: {escape(str(wanted.state / 'logs'))}")
            plan = _make_plan(wanted)
            instance = torchserve.start(wanted, plan)
            cleanup.callback(_stop, instance)
            torchserve.wait_until_ready(instance, say)
            torchserve.scale(instance, plan)
        show_usage(instance, cards)
        if detach:
            cleanup.pop_all()
        else:
            _follow(instance)


def build_archives(wanted: Wanted, trained: Trained | None = None, *, demo: bool) -> list[ModelCard]:
    """The models' cards, from archives that are up to date; ``demo``: see ``archives.ensure_archive``."""
    if trained:
        archives.ensure_trained(trained, wanted.store, _report)
    return [archives.ensure_archive(name, wanted.store, _report, demo=demo) for name in wanted.models]


def _make_plan(wanted: Wanted) -> Plan:
    models = [read_model(wanted.store / f"{name}.mar") for name in wanted.models]
    plan = make_plan(look_at_machine(), models, wanted.workers)
    say(escape(plan.reason))
    return plan


def _names(models: str | None, store: Path, *, no_build: bool) -> tuple[str, ...]:
    if models:
        return tuple(name.strip() for name in models.split(","))
    return stored_models(store) if no_build else archives.default_models()


def _report(line: str) -> None:
    say(escape(line))


def stop_service(state: Path) -> None:
    """Stop what runs; nothing to stop is no error."""
    instance = torchserve.find(state)
    if instance is None:
        say(f"It does not run: the state folder {escape(str(state))} knows of no service. Another one: --state.")
        return
    torchserve.stop(instance)
    say(f"Stopped; the ports from {instance.port} on are free.")


def _follow(instance: Instance) -> None:
    """Sit beside the service until a signal comes, or until it ends by itself (ServiceError)."""
    say("Ctrl-C stops it, too.")
    try:
        while instance.processes():
            time.sleep(1)
    except Interrupted:
        return
    raise ServiceError(f"The service ended by itself.\n{torchserve.log_tail(instance.state)}")


def _stop(instance: Instance) -> None:
    for number in SIGNALS:  # a second Ctrl-C must not leave half of it behind; this ends
        signal.signal(number, signal.SIG_IGN)
    say("Stopping: what is under way is answered first")
    torchserve.stop(instance)


def _check_running(running: Instance, wanted: Wanted) -> None:
    if (running.models, running.port) != (wanted.models, wanted.port):
        raise ServiceError(
            f"It runs already, with {', '.join(running.models)} on port {running.port}. Stop it first (--stop), or give"
            " the second one a --state folder and a --port of its own."
        )
    wanted_settings = read_properties(derive(wanted.config.read_text(encoding="utf-8"), wanted.port, {}))
    name = find_difference(wanted_settings, read_properties(running.config.read_text(encoding="utf-8")))
    if name:
        raise ServiceError(
            f"It runs already, with other settings than {wanted.config.name}: {name}, for one. Stop it first (--stop)."
        )
    if not all(torchserve.is_ready(running, model) for model in running.models):
        raise ServiceError("It runs already, but not all of its models are ready. Wait, or start it anew after --stop.")


@contextmanager
def _only_one(state: Path) -> Iterator[None]:
    """Two starts at once: the second waits, and then finds the first one's service."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "start.lock").open("w") as lock:
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
    app(prog_name="./scripts/serve")
