"""The pipeline without a service: as many processes as a service has workers, each asking itself."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from threadpoolctl import threadpool_limits

from benchmarks.samples import Exchange, Round, make_round

Run = Callable[[float, float], Round]  # seconds that count, seconds before them


@contextmanager
def in_process(
    archive: Path, photo: bytes, options: Mapping[str, str], *, processes: int, batch: int, blas_threads: int = 1
) -> Iterator[Run]:
    """Open ``processes`` pipelines as a worker opens them; they end with the block.

    Args:
        batch: Photos per call.
        blas_threads: Of each process; workers have one.
    """
    context = multiprocessing.get_context("spawn")  # nothing of this process: no threads, no open sockets
    ends = [context.Pipe() for _ in range(processes)]
    members = [
        context.Process(
            target=_serve_itself, args=(theirs, archive, photo, dict(options), batch, blas_threads), daemon=True
        )
        for _, theirs in ends
    ]
    ours = [end for end, _ in ends]
    for member in members:
        member.start()
    try:
        for end in ours:
            _receive(end)  # ready
        yield lambda duration_s, ramp_s: _put_load(ours, duration_s, ramp_s)
    finally:
        for end in ours:
            end.close()
        for member in members:
            member.join(timeout=10)
            if member.is_alive():
                member.kill()


def _put_load(ends: Sequence[Connection], duration_s: float, ramp_s: float) -> Round:
    """A closed loop in every process."""
    start = time.monotonic() + 0.02  # one clock for all processes of a machine
    for end in ends:
        end.send((start, ramp_s + duration_s))
    answers = [_receive(end) for end in ends]
    made = make_round([exchange for exchanges, _ in answers for exchange in exchanges], ramp_s, ramp_s + duration_s)
    return Round(
        made.exchanges, made.answered, made.elapsed_s, {"workers": sum(cpu_s for _, cpu_s in answers)}, made.whole
    )


def _receive(end: Connection) -> tuple[list[Exchange], float]:
    try:
        answer: tuple[list[Exchange], float] = end.recv()
    except EOFError as error:
        raise RuntimeError("a pipeline of the benchmark died; its own message is above") from error
    return answer


def _serve_itself(
    end: Connection, archive: Path, photo: bytes, options: Mapping[str, str], batch: int, blas_threads: int
) -> None:
    """What each process does until its pipe is closed."""
    from weakseg.loading import open_pipeline  # here: the parent loads no PyTorch
    from weakseg.types import RawRequest

    pipeline = open_pipeline(archive)
    threadpool_limits(limits=blas_threads, user_api="blas")
    requests = [RawRequest(photo, dict(options)) for _ in range(batch)]
    pipeline.answer(requests)
    end.send(([], 0.0))
    while True:
        try:
            start, end_s = end.recv()
        except EOFError:
            return
        time.sleep(max(start - time.monotonic(), 0.0))
        exchanges: list[Exchange] = []
        before_s, now_s = time.process_time(), 0.0
        while now_s < end_s:
            answers = pipeline.answer(requests)
            done_s = time.monotonic() - start
            exchanges += [Exchange(now_s, now_s, done_s, answer.status) for answer in answers]
            now_s = done_s
        end.send((exchanges, time.process_time() - before_s))
