"""The backend without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from weakseg.batch import in_process
from weakseg.errors import BatchError
from weakseg.types import Answer, RawRequest


def test_whatever_a_worker_raises_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(requests: Sequence[RawRequest]) -> list[Answer]:
        raise MemoryError("no room for the answer")

    monkeypatch.setattr(in_process, "open_archive", lambda archive: SimpleNamespace(card=SimpleNamespace(threads=1)))
    monkeypatch.setattr(in_process, "_start", lambda archive, workers: (ThreadPoolExecutor(workers), fail))

    async def ask_twice() -> None:
        backend = in_process.InProcess(Path("a.mar"), workers=1, batch_size=1)
        try:
            for _ in range(2):
                with pytest.raises(BatchError, match="no room for the answer"):
                    await asyncio.wait_for(backend.ask(b"photo", {}, "id"), 60)
        finally:
            await backend.close()

    asyncio.run(ask_twice())
