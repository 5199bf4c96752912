"""Requests that wait for TorchServe, by version: of one that is removed it forgets them, and would never answer."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from front.errors import WorkerDiedError

Result = TypeVar("Result")
Key = tuple[str, str]  # a model and its version


class UnderWay:
    """Who waits for which version."""

    def __init__(self) -> None:
        self._waiting: defaultdict[Key, set[asyncio.Task[object]]] = defaultdict(set)

    async def wait(self, key: Key, answer: Awaitable[Result]) -> Result:
        """The answer of a version, or an end to waiting for it.

        Raises:
            WorkerDiedError: the version was removed meanwhile.
        """
        task = asyncio.current_task()
        assert task is not None
        self._waiting[key].add(task)
        try:
            return await answer
        except asyncio.CancelledError:
            if task in self._waiting.get(key, ()):
                raise  # somebody else's wish, such as a client that hung up
            task.uncancel()
            raise WorkerDiedError(key[0]) from None
        finally:
            waiting = self._waiting.get(key, set())
            waiting.discard(task)
            if not waiting:
                self._waiting.pop(key, None)

    def drop(self, keys: Iterable[Key]) -> None:
        """These versions are no longer there."""
        for key in keys:
            for task in self._waiting.pop(key, set()):
                task.cancel()
