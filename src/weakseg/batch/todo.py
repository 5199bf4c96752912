"""Which photos of a source are still to be sent, with their bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from weakseg.batch.items import Failure, Item
from weakseg.batch.journal import Entry, Journal, State
from weakseg.batch.outputs import Outputs
from weakseg.batch.tally import Tally
from weakseg.codec.decode import Limits, check_bytes
from weakseg.errors import RequestError, UnusablePhotoError


@dataclass(frozen=True, slots=True)
class Task:
    """One photo to be sent, or a failure that is known already."""

    item: Item
    entry: Entry
    image: bytes = b""
    failure: Failure | None = None


class Todo:
    """Goes through a source once; photos that the journal knows as finished are passed over.

    Args:
        retry_failed: Photos that failed are sent again, whatever it was. Those that nobody answered always are.
    """

    def __init__(
        self,
        items: Callable[[], Iterator[Item]],
        journal: Journal,
        outputs: Outputs,
        tally: Tally,
        *,
        retry_failed: bool,
    ) -> None:
        self._items, self._journal, self._outputs, self._tally = items, journal, outputs, tally
        self._retry_failed = retry_failed

    def __iter__(self) -> Iterator[Task]:
        met: set[int] = set()  # numbers of photos
        for item in self._items():
            entry = self._journal.entries.get(item.name)
            if entry is not None and entry.number in met:
                self._tally.repeated += 1
                continue
            if entry is not None and self._is_finished(item, entry):
                self._tally.skipped += 1
            else:
                entry = self._journal.see(item.name, item.stamp)
                yield _load(item, entry)
            met.add(entry.number)

    def _is_finished(self, item: Item, entry: Entry) -> bool:
        if entry.stamp != item.stamp or entry.state in (State.SEEN, State.INTERRUPTED):
            return False
        if entry.state is State.FAILED:
            return not self._retry_failed
        return self._outputs.are_there(item.name)


def _load(item: Item, entry: Entry) -> Task:
    try:
        if item.fault is not None:
            raise item.fault
        image = item.read()
        check_bytes(image, Limits())
        return Task(item, entry, image)
    except UnusablePhotoError as error:
        return Task(item, entry, failure=Failure.of(error))
    except RequestError as error:
        return Task(item, entry, failure=Failure.refused(error))
