"""The pipeline in this process, or in several, as a backend: no server, no network."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weakseg.archive import open_archive, read_config
from weakseg.batch.items import Failure, Reply
from weakseg.errors import BatchError
from weakseg.evaluation.workers import count_cores, end_with_parent
from weakseg.types import Answer, RawRequest

if TYPE_CHECKING:
    from weakseg.pipeline import Pipeline

MOST_WORKERS = 8  # each has some 600 MB of its own
_Waiting = tuple[RawRequest, "asyncio.Future[Answer]"]
_pipeline: Pipeline | None = None  # of a worker process


class InProcess:
    """Photos that wait are answered in batches, one batch per worker at a time.

    A batch of several photos is worth it where they run side by side: on a GPU, or on the card's threads. Elsewhere
    each photo is a batch of its own, so that its mask does not depend on its neighbours at all.

    Args:
        archive: A model archive.
        workers: 1: a thread of this process; more: so many processes.
        batch_size: At most so many photos at a time; None: the archive's batchSize where that is worth it, else 1.
    """

    def __init__(self, archive: Path, workers: int, batch_size: int | None = None) -> None:
        self.retries = 0
        card = open_archive(archive).card  # a wrong archive is refused before processes start
        self._size = batch_size or _usual_size(archive, card.threads)
        self.concurrency = 2 * workers * self._size  # while one batch is answered, the next one gathers
        self._executor, self._answer = _start(archive, workers)
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue(self.concurrency)
        self._runners = [asyncio.create_task(self._run()) for _ in range(workers)]

    async def close(self) -> None:
        for runner in self._runners:
            runner.cancel()
        await asyncio.gather(*self._runners, return_exceptions=True)
        self._executor.shutdown(wait=True, cancel_futures=True)

    async def ask(self, image: bytes, options: Mapping[str, Any], request_id: str) -> Reply:
        """See `Backend.ask`."""
        del request_id  # there is no log to match
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        await self._waiting.put((RawRequest(image, dict(options)), future))
        answer = await future
        if answer.status == 200:
            return Reply(answer.body)
        return Reply(answer.body, failure=Failure.answered(answer.status, answer.body, transient=answer.status == 503))

    async def _run(self) -> None:
        """One batch after the other."""
        loop = asyncio.get_running_loop()
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < self._size and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            try:
                answers = await loop.run_in_executor(self._executor, self._answer, [request for request, _ in batch])
            except Exception as error:  # whatever it is, nobody may wait for ever
                _fail(batch, _worker_ended(error))
            else:
                for (_, future), answer in zip(batch, answers, strict=True):
                    if not future.done():  # the run may have been cancelled
                        future.set_result(answer)


def usual_workers(archive: Path) -> int:
    """As many as there are cores for, MOST_WORKERS at most; one where there is a GPU."""
    import torch  # here, as it takes seconds to import

    if torch.cuda.is_available():
        return 1
    return max(1, min(count_cores() // open_archive(archive).card.threads, MOST_WORKERS))


def _usual_size(archive: Path, threads: int) -> int:
    import torch

    return int(read_config(archive).get("batchSize") or 1) if torch.cuda.is_available() or threads > 1 else 1


def _start(archive: Path, workers: int) -> tuple[Executor, Callable[[Sequence[RawRequest]], list[Answer]]]:
    """What runs batches, and what it runs."""
    if workers == 1:
        return ThreadPoolExecutor(1, "pipeline"), _open(archive).answer
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=_open_here, initargs=(archive,)), _answer_here


def _open(archive: Path) -> Pipeline:
    from weakseg.loading import open_pipeline  # here, as PyTorch takes seconds to import

    return open_pipeline(archive)


def _open_here(archive: Path) -> None:
    """In a process of its own."""
    global _pipeline
    end_with_parent()
    _pipeline = _open(archive)


def _answer_here(requests: Sequence[RawRequest]) -> list[Answer]:
    assert _pipeline is not None
    return _pipeline.answer(requests)


def _worker_ended(error: Exception) -> BatchError:
    return BatchError(
        f"a worker ended, or could not open the model or answer ({error!r}). If it ran out of memory, give fewer"
        " --workers; what is done is kept, and the same command goes on."
    )


def _fail(batch: Sequence[_Waiting], error: BatchError) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
