"""Register, scale, switch and remove models of a running service: ./scripts/models --help"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from scripts import management
from scripts.instance import STATE, Instance, ServiceError, find
from weakseg.errors import WeaksegError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)

State = Annotated[Path, typer.Option(file_okay=False, help="State folder of the service.")]
Name = Annotated[str, typer.Argument(help="Model, as callers name it.")]
Version = Annotated[str | None, typer.Option(help="Of the model.", show_default="the default one")]


@app.command(name="list")
def list_models(state: State = STATE) -> None:
    """What is served: versions, workers, batches."""
    with _service(state) as instance:
        table = Table("model", "version", "archive", "workers", "batch", "delay")
        for found in management.models(instance):
            table.add_row(
                found.name,
                f"{found.version}{' (default)' if found.is_default else ''}",
                found.archive,
                f"{found.workers_ready} of {found.workers}",
                str(found.batch_size),
                f"{found.max_batch_delay_ms} ms",
            )
        console.print(table)


@app.command()
def register(
    archive: Annotated[str, typer.Argument(help="Archive of the store, without .mar.")],
    name: Annotated[str | None, typer.Option(help="As callers name it.", show_default="the archive's name")] = None,
    workers: Annotated[int, typer.Option(min=1)] = 1,
    batch_size: Annotated[int | None, typer.Option(min=1, show_default="the archive's")] = None,
    max_batch_delay: Annotated[int | None, typer.Option(min=1, help="ms", show_default="the archive's")] = None,
    state: State = STATE,
) -> None:
    """Serve an archive of the store, beside what is served; a new version of a model beside the old one."""
    with _service(state) as instance:
        chosen = name or archive
        version = management.register(
            instance, archive, chosen, workers=workers, batch_size=batch_size, max_batch_delay_ms=max_batch_delay
        )
        console.print(f"{chosen} {version} is ready.")


@app.command()
def scale(
    name: Name, workers: Annotated[int, typer.Argument(min=0)], version: Version = None, state: State = STATE
) -> None:
    """Give a model so many workers, and wait until they are ready."""
    with _service(state) as instance:
        management.scale(instance, name, workers, version)
        console.print(f"{name} has {workers} workers.")


@app.command(name="default")
def set_default(name: Name, version: Annotated[str, typer.Argument()], state: State = STATE) -> None:
    """Let this version answer where callers name none. To roll back, name the one before."""
    with _service(state) as instance:
        management.set_default(instance, name, version)
        console.print(f"{name} is {version} from now on.")


@app.command()
def remove(name: Name, version: Version = None, state: State = STATE) -> None:
    """Serve a version no longer; its archive stays in the store."""
    with _service(state) as instance:
        management.remove(instance, name, version)
        console.print(f"{name} {version} is removed." if version else f"{name} is removed.")


@contextmanager
def _service(state: Path) -> Iterator[Instance]:
    """The running service; what goes wrong is said in one line, with status 1."""
    try:
        instance = find(state.resolve())
        if instance is None:
            raise ServiceError(f"No service runs with the state folder {state}. Start one, or name its --state.")
        yield instance
    except (ServiceError, WeaksegError) as error:
        console.print(f"Failed: {error}", markup=False)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app(prog_name="./scripts/models")
