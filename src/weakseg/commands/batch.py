"""``weakseg batch``: many photos to masks and a COCO file, through the service or in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from weakseg.archive import DEFAULT_MODEL, find_archive
from weakseg.commands import flags
from weakseg.commands.terminal import complain, explained
from weakseg.options import Format, parse_options

INTERRUPTED = 130  # exit code, as after Ctrl-C
UNFINISHED = 3
MOST_CATEGORIES = 10  # printed at the end
USUAL_URL = "http://127.0.0.1:8080"

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        show_default=False,
        help="A folder (with all below it), a tar (plain, gzip, bzip2, xz; read as it comes, never unpacked), or a text"
        " file of paths, one a line; `-`: such lines from stdin.",
    ),
]
Out = Annotated[
    Path, typer.Option(help="Folder of the results and of the journal.", show_default=False, file_okay=False)
]
Url = Annotated[str, typer.Option(help="The service, without a path.")]
Version = Annotated[str | None, typer.Option(help="A version of the model.", show_default="the service's default")]
Token = Annotated[
    str | None,
    typer.Option(envvar="WEAKSEG_TOKEN", help="The service's token, where it wants one.", show_default="none"),
]
InProcessFlag = Annotated[bool, typer.Option("--in-process", help="No server: the model's archive, in this process.")]
Formats = Annotated[
    str,
    typer.Option(
        "--format",
        help="Files for each photo, comma separated: mask, cutout, overlay, heatmap, json, npz. Each but mask and json"
        " is a request of its own. coco.json comes always.",
    ),
]
Concurrency = Annotated[
    int | None,
    typer.Option(min=1, max=512, help="Photos under way at a time.", show_default="as /health says, else 4"),
]
Timeout = Annotated[float, typer.Option(min=0.1, help="Of one request, seconds.")]
PatienceS = Annotated[
    float,
    typer.Option(
        "--patience",
        min=0,
        help="Seconds for which a photo is sent again (503, 429, 502, 504, no connection, no answer).",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="With --in-process: processes, 600 MB each.", show_default="as cores, 8 at most"),
]
BatchSize = Annotated[
    int | None,
    typer.Option(min=1, help="With --in-process: photos per forward pass.", show_default="1; on a GPU the archive's"),
]
Base = Annotated[
    Path, typer.Option(help="Listed paths are relative to this folder, and so are the names of their results.")
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Send photos again that were refused before.")]
Redo = Annotated[bool, typer.Option("--redo", help="Forget what is done in --out.")]
Force = Annotated[
    bool, typer.Option("--force", help="Let results of another model or of other options stay beside the new ones.")
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first photo that fails.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only failures and errors.")]


@flags.takes_options("format")
def batch(
    source: SourceArgument,
    out: Out,
    model: flags.Model = DEFAULT_MODEL,
    version: Version = None,
    url: Url = USUAL_URL,
    token: Token = None,
    in_process: InProcessFlag = False,
    store: flags.Store = None,
    formats: Formats = "mask",
    concurrency: Concurrency = None,
    timeout: Timeout = 180.0,
    patience: PatienceS = 300.0,
    workers: Workers = None,
    batch_size: BatchSize = None,
    base: Base = Path(),
    retry_failed: RetryFailed = False,
    redo: Redo = False,
    force: Force = False,
    fail_fast: FailFast = False,
    quiet: Quiet = False,
    *,
    options: dict[str, str],
) -> None:
    """Make masks and a COCO file of a folder, a list or a tar of photos.

    Sends them to a running service, several at a time; what it is too busy for is sent again later. With
    `--in-process` no server is needed. Stop it, or let it be killed, whenever you like: the same command goes on where
    it was, and does no photo twice. Photos that changed since are done again.

    In the folder `--out`:

    - `masks/NAME.png`: indexed PNG (VOC palette) of the upright photo's size. 0 is background; other values are the
      category ids of coco.json, the same in all masks: of models that learned masks those of their legend, else groups
      first (VOC's classes are 1 to 20), then the network's classes. A mask with an id above 254 is a 16-bit grey PNG.

    - `coco.json`: images, annotations (run lengths, area, box, score), categories. Ids stay when you start again.

    - `failures.csv`: photos without a mask, and why. `summary.json`: counts. `journal.jsonl`: what is done.

    A line of a list may also be JSON, with options for that photo alone:
    `{"path": "a/1.jpg", "options": {"classes": "dog", "box": [40, 30, 320, 290]}}`

    Exit code: 0, every photo has its mask; 1, some failed; 2, it could not begin; 3, it could not go on; 130, it was
    stopped.

    Examples:

    - `weakseg batch photos --out prelabels` : a folder, through the service on this machine

    - `weakseg batch photos --out prelabels --classes cat,dog --pick best` : one of these in each photo

    - `weakseg batch photos.tar.gz --out prelabels --in-process` : no server

    - `find photos -name '*.jpg' | weakseg batch - --out prelabels --format mask,overlay`

    - `weakseg batch photos --out prelabels --retry-failed` : what was refused, once more
    """
    kinds = _read_formats(formats)
    with explained():
        from weakseg.batch.endpoint import Address  # here, as --help should not wait for aiohttp
        from weakseg.batch.patience import Patience
        from weakseg.batch.progress import open_display
        from weakseg.batch.run import Order, StoppedError, UnfinishedError, exit_code, run

        for kind in kinds:
            parse_options({**options, "format": kind.value})  # wrong ones are refused before any work
        order = Order(
            source=source,
            out=out,
            model=model,
            options=options,
            formats=kinds,
            address=None if in_process else Address(url, model, version, token, timeout),
            archive=find_archive(model, flags.find_store(store)) if in_process else None,
            concurrency=concurrency,
            workers=workers,
            batch_size=batch_size,
            patience=Patience(total_s=patience),
            base=base,
            retry_failed=retry_failed,
            redo=redo,
            force=force,
            fail_fast=fail_fast,
        )
        try:
            summary = run(order, open_display(quiet=quiet))
        except (StoppedError, UnfinishedError) as error:
            complain(f"Error: {error}" if isinstance(error, UnfinishedError) else f"{error}")
            raise typer.Exit(UNFINISHED if isinstance(error, UnfinishedError) else INTERRUPTED) from error
    if not quiet:
        _report(summary, out)
    raise typer.Exit(exit_code(summary))


def _read_formats(text: str) -> tuple[Format, ...]:
    """Comma separated, without repeats."""
    names = dict.fromkeys(name.strip().casefold() for name in text.split(","))
    try:
        return tuple(Format(name) for name in names)
    except ValueError as error:
        raise typer.BadParameter(f"--format {text}: send some of {', '.join(Format)}, comma separated.") from error


def _report(summary: dict[str, Any], out: Path) -> None:
    start = summary["this_start"]
    print(f"{summary['done']:,} of {summary['photos']:,} photos have masks, {summary['failed']:,} failed: {out}")
    print(
        f"  this time: {start['done']:,} done, {start['skipped']:,} passed over, {start['retries']:,} tries repeated,"
        f" {start['photos_per_second']:.1f} photos/s"
    )
    if warned := summary["photos_with_warnings"]:
        print(f"  {warned:,} masks are probably wrong: `warnings` of their images in {out / 'coco.json'} say why")
    for category in sorted(summary["categories"], key=lambda found: -found["photos"])[:MOST_CATEGORIES]:
        print(f"  {category['id']} {category['name']}: in {category['photos']:,} photos")
    for code, count in summary["failures"].items():
        print(f"  {code}: {count:,} photos; see {out / 'failures.csv'}")
