"""A run over many photos: bounded everywhere, to be stopped and started again at any moment."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weakseg import __version__
from weakseg.batch.answers import UnreadableAnswerError, read_answer, unreadable
from weakseg.batch.endpoint import USUAL_CONCURRENCY, Address, Endpoint, find_concurrency
from weakseg.batch.in_process import InProcess, usual_workers
from weakseg.batch.items import Backend, Failure, Reply
from weakseg.batch.journal import Journal, State, set_aside
from weakseg.batch.outputs import Outputs
from weakseg.batch.patience import Patience
from weakseg.batch.progress import Display
from weakseg.batch.sources import Source, open_source
from weakseg.batch.summary import write_summary
from weakseg.batch.tally import Tally
from weakseg.batch.todo import Task, Todo
from weakseg.errors import BatchError, UnusablePhotoError
from weakseg.options import Format

_OF_ALL_PHOTOS = frozenset({"class_unknown", "option_unknown"})  # where the run's own options are to blame
_LEAST_UNANSWERED = 3  # photos in a row, before the service counts as gone
_ASKED = ("source", "model", "version", "options")  # what one folder of results has in common


@dataclass(frozen=True, slots=True)
class Order:
    """What a run is to do.

    Args:
        source: A folder, a list, a tar, or ``-``.
        out: Folder of the results.
        options: Of every photo, as a request sends them, without ``format``.
        address: The service; None: ``archive`` in this process.
        concurrency: Photos under way at a time; None: as the service says.
        workers: Processes, without a service; None: as there are cores.
        base: Listed paths are relative to it.
        retry_failed: Also photos that were refused.
        redo: Everything anew.
        force: Results of another model or of other options may stay beside the new ones.
        fail_fast: Stop at the first photo that fails.
    """

    source: str
    out: Path
    model: str
    options: Mapping[str, str] = field(default_factory=dict)
    formats: tuple[Format, ...] = (Format.MASK,)
    address: Address | None = None
    archive: Path | None = None
    concurrency: int | None = None
    workers: int | None = None
    batch_size: int | None = None
    patience: Patience = field(default_factory=Patience)
    base: Path = Path()
    retry_failed: bool = False
    redo: bool = False
    force: bool = False
    fail_fast: bool = False


class UnfinishedError(BatchError):
    """A run cannot go on."""


class StoppedError(BatchError):
    """Somebody wanted the run to end; what was under way is finished."""


def run(order: Order, display: Display) -> dict[str, Any]:
    """Do it.

    Returns:
        The summary, as in ``summary.json``.
    Raises:
        BatchError: it cannot begin. UnfinishedError: it cannot go on. StoppedError: it was stopped. What is done is
            kept, with a COCO file of it.
    """
    try:
        order.out.mkdir(parents=True, exist_ok=True)
        source = open_source(order.source, base=order.base.absolute(), leave_out=order.out)
        if order.redo:
            set_aside(order.out)
        journal = Journal(order.out)
    except OSError as error:
        raise BatchError(f"{error}. Check --out and the source.") from error
    with journal:
        asked = _begin(order, source, journal)
        batch = _Batch(order, source, journal, display)
        try:
            with display:
                asyncio.run(batch.run())
        finally:
            summary = write_summary(order.out, journal, batch.tally, asked, retries=batch.retries, ended=batch.ended)
    return summary


def _begin(order: Order, source: Source, journal: Journal) -> dict[str, Any]:
    """Note what is asked; refuse to mix it with something else.

    Raises:
        BatchError: the folder holds results of another order.
    """
    asked = {
        "source": source.place,
        "model": order.model,
        "version": order.address.version if order.address else None,
        "options": dict(order.options),
        "formats": [str(kind) for kind in order.formats],
        "software": f"weakseg {__version__}",
    }
    before = journal.orders[-1] if journal.orders else asked
    differing = [name for name in _ASKED if before[name] != asked[name]]
    if differing and not journal.count(State.DONE):  # only failures: what was wrong may be right now
        journal.forget_failures()
    elif differing and not order.force:
        name = differing[0]
        raise BatchError(
            f"{order.out} holds results of {name} {before[name]!r}, and this is {name} {asked[name]!r}. Give another"
            " --out; or --redo, which begins anew; or --force, which leaves them beside the new ones."
        )
    if before != asked or not journal.orders:
        journal.begin(asked)
    return asked


class _Batch:
    """One start of a run."""

    def __init__(self, order: Order, source: Source, journal: Journal, display: Display) -> None:
        self.tally = Tally(source.count)
        self.retries = 0
        self.ended = "interrupted"
        self._order, self._journal, self._display = order, journal, display
        self._outputs = Outputs(order.out, order.formats)
        self._todo = Todo(source.items, journal, self._outputs, self.tally, retry_failed=order.retry_failed)
        self._stop = asyncio.Event()
        self._unanswered = 0  # photos in a row that nobody answered
        self._failed_fast = False
        self._source_fault: BatchError | None = None

    async def run(self) -> None:
        """Raises: UnfinishedError, StoppedError: see `run`."""
        try:
            await self._go()
        except BatchError as error:
            self.ended = str(error)
            raise UnfinishedError(self.ended) from error
        if self._stop.is_set() and not self._failed_fast:
            self.ended = "stopped; the same command goes on from here."
            raise StoppedError(self.ended)
        self.ended = "failed fast" if self._failed_fast else "finished"

    async def _go(self) -> None:
        backend, concurrency = await self._open()
        self.tally.started = time.monotonic()
        queue: asyncio.Queue[Task | None] = asyncio.Queue(concurrency)
        work = [self._feed(queue, concurrency), *(self._serve(queue, backend, concurrency) for _ in range(concurrency))]
        try:
            with _signals_set(self._stop):
                await _run_together(work)
        finally:
            await backend.close()
        if self._source_fault is not None:
            raise self._source_fault

    async def _open(self) -> tuple[Backend, int]:
        order = self._order
        if order.address is not None:
            concurrency = order.concurrency or await find_concurrency(order.address) or USUAL_CONCURRENCY
            return Endpoint(order.address, concurrency, order.patience), concurrency
        assert order.archive is not None
        backend = InProcess(order.archive, order.workers or usual_workers(order.archive), order.batch_size)
        return backend, order.concurrency or backend.concurrency

    async def _feed(self, queue: asyncio.Queue[Task | None], servers: int) -> None:
        """Read photos ahead, as many as the queue holds; then send everybody home."""
        tasks = iter(self._todo)
        try:
            while not self._stop.is_set() and (task := await asyncio.to_thread(next, tasks, None)) is not None:
                await queue.put(task)
        except BatchError as error:  # the source breaks off: what came before is finished
            self._source_fault = error
        for _ in range(servers):
            await queue.put(None)

    async def _serve(self, queue: asyncio.Queue[Task | None], backend: Backend, servers: int) -> None:
        while (task := await queue.get()) is not None:
            if self._stop.is_set():
                continue
            record: dict[str, Any] = {"request_id": _request_id(task), "tries": 0}
            if task.item.options:
                record["options"] = dict(task.item.options)
            failure = task.failure or await self._segment(task, backend, record)
            if failure is None:
                self._unanswered = 0
                self._journal.finish(task.entry, record)
                self.tally.finish()
            else:
                self._journal.fail(task.entry, failure, record)
                self.tally.finish(failure.code)
                self._consider(task, failure, servers)
            self.retries = backend.retries
            self._display.show(self.tally, self.retries)

    async def _segment(self, task: Task, backend: Backend, record: dict[str, Any]) -> Failure | None:
        """All files of one photo; what was found goes into the record."""
        try:
            reply = await self._ask(task, backend, record, Format.JSON)
            if reply.failure is not None:
                return reply.failure
            found = read_answer(reply.body)
            self._check_model(found.pop("model"))
            record.update(found)
            for kind in self._order.formats:
                if kind is Format.MASK:
                    await asyncio.to_thread(self._outputs.write_mask, task.item.name, task.entry.number, found)
                    continue
                if kind is not Format.JSON:
                    reply = await self._ask(task, backend, record, kind)
                if reply.failure is not None:
                    return reply.failure
                await asyncio.to_thread(self._outputs.write, task.item.name, task.entry.number, kind, reply.body)
        except UnreadableAnswerError as error:
            return unreadable(error)
        except UnusablePhotoError as error:
            return Failure.of(error)
        return None

    async def _ask(self, task: Task, backend: Backend, record: dict[str, Any], kind: Format) -> Reply:
        options = {**self._order.options, **task.item.options, "format": kind.value}
        reply = await backend.ask(task.image, options, f"{record['request_id']}.{kind}")
        record["tries"] += reply.tries
        return reply

    def _check_model(self, model: dict[str, Any]) -> None:
        """Raises: BatchError: in the middle of a run another model, or another version, answers."""
        before = self._journal.model
        if before == model:
            return
        if before is not None and not self._order.force:
            raise BatchError(
                f"{self._order.out} holds masks of {_spell(before)}, and now {_spell(model)} answers. Ask for the"
                " former with --version, begin anew with --redo, or mix the two with --force."
            )
        self._journal.note_model(model)

    def _consider(self, task: Task, failure: Failure, servers: int) -> None:
        """Raises: BatchError: there is no sense in going on."""
        self._display.complain(task.item.name, f"{failure.code}: {failure.message} {failure.remedy}".strip())
        if self._order.fail_fast:
            self._failed_fast = True
            self._stop.set()
        if failure.code in _OF_ALL_PHOTOS and failure.field in self._order.options.keys() - task.item.options.keys():
            raise BatchError(f"every photo would be refused: {failure.field}: {failure.message} {failure.remedy}")
        self._unanswered = self._unanswered + 1 if failure.transient else 0
        if self._unanswered >= max(servers, _LEAST_UNANSWERED):
            raise BatchError(
                f"{self._unanswered} photos in a row got no mask; the last: {failure.message} Check that the service"
                " runs; the same command goes on from here."
            )


def exit_code(summary: Mapping[str, Any]) -> int:
    """1 where photos failed."""
    return int(summary["failed"] > 0)


def _request_id(task: Task) -> str:
    """The same at every start, so that logs can be searched for it."""
    digest = hashlib.sha256(task.item.name.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f"batch.{task.entry.number}.{digest}"


def _spell(model: Mapping[str, Any]) -> str:
    return f"{model['model']} {model['version']}"


async def _run_together(work: list[Coroutine[Any, Any, None]]) -> None:
    """Raises: the first error of any of them, after the others were cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


@contextmanager
def _signals_set(stop: asyncio.Event) -> Iterator[None]:
    """The first Ctrl-C lets photos under way finish; after it the signals do what they always do."""
    loop = asyncio.get_running_loop()

    def ask_to_stop() -> None:
        stop.set()
        forget()

    def forget() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask_to_stop)
    try:
        yield
    finally:
        forget()
