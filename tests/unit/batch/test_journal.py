import json
from pathlib import Path

import pytest

from weakseg.batch.items import Failure
from weakseg.batch.journal import FILE_NAME, Journal, State, set_aside
from weakseg.errors import BatchError

LATER = Failure("unreachable", "no connection.", "Wait.", transient=True)
NEVER = Failure("image_unreadable", "no picture.", "Send one.", field="image", status=415)


def fill(folder: Path) -> None:
    with Journal(folder) as journal:
        journal.begin({"model": "m"})
        journal.note_model({"version": "1"})
        for name in ("b.png", "a\udcff.png", "d.png", "c.png"):
            journal.see(name, "s")
        journal.finish(journal.entries["d.png"], {"width": 3})
        journal.finish(journal.entries["b.png"], {"width": 1})
        journal.fail(journal.entries["a\udcff.png"], NEVER, {"tries": 1})
        journal.fail(journal.entries["c.png"], LATER, {"tries": 9})


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    fill(tmp_path)
    with Journal(tmp_path) as journal:
        assert journal.orders == [{"model": "m"}]
        assert journal.model == {"version": "1"}
        assert {name: (entry.number, entry.state) for name, entry in journal.entries.items()} == {
            "b.png": (1, State.DONE),
            "a\udcff.png": (2, State.FAILED),
            "d.png": (3, State.DONE),
            "c.png": (4, State.INTERRUPTED),
        }
        done = [(name, record["width"]) for name, record in journal.results(State.DONE)]
        assert done == [("b.png", 1), ("d.png", 3)], "by number, not by time"
        assert [record["tries"] for _, record in journal.results(State.FAILED, State.INTERRUPTED)] == [1, 9]


def test_the_latest_line_of_a_photo_counts(tmp_path: Path) -> None:
    fill(tmp_path)
    for _ in range(2):
        with Journal(tmp_path) as journal:
            entry = journal.see("b.png", "changed")
            assert (entry.number, entry.state) == (1, State.SEEN)
            journal.finish(entry, {"width": 7})
    with Journal(tmp_path) as journal:
        assert journal.entries["b.png"].stamp == "changed"
        assert [record["width"] for _, record in journal.results(State.DONE)] == [7, 3]
        assert journal.see("new.png", "s").number == 5


@pytest.mark.parametrize("kept", range(1, 40, 4))
def test_a_line_that_was_cut_off_is_forgotten(tmp_path: Path, kept: int) -> None:
    fill(tmp_path)
    path = tmp_path / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:kept])
    for _ in range(2):
        with Journal(tmp_path) as journal:
            assert journal.entries["c.png"].state is State.SEEN
    with Journal(tmp_path) as journal:
        journal.finish(journal.entries["c.png"], {"width": 4})
    with Journal(tmp_path) as journal:
        assert journal.count(State.DONE) == 3


def test_a_line_damaged_in_the_middle_is_no_reason_to_do_everything_again(tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], lines[3][:5], *lines[4:]]))
    with pytest.raises(BatchError, match=r"line 4 is damaged.*--redo"):
        Journal(tmp_path)
    set_aside(tmp_path)
    with Journal(tmp_path) as journal:
        assert not journal.entries
    assert (tmp_path / "journal.jsonl.before").exists()


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with Journal(tmp_path), pytest.raises(BatchError, match="another weakseg batch writes"):
        Journal(tmp_path)
    with Journal(tmp_path), pytest.raises(BatchError, match="another weakseg batch writes"):
        set_aside(tmp_path / ".")
    with Journal(tmp_path):
        pass


def test_failures_may_be_forgotten(tmp_path: Path) -> None:
    fill(tmp_path)
    with Journal(tmp_path) as journal:
        journal.forget_failures()
        assert [journal.count(state) for state in State] == [2, 2, 0, 0]


def test_after_half_a_line_nothing_more_is_written(tmp_path: Path) -> None:
    fill(tmp_path)
    with Journal(tmp_path) as journal:
        full = open("/dev/full", "wb", buffering=0)  # noqa: SIM115, PTH123
        own, journal._file = journal._file, full
        with pytest.raises(BatchError, match=r"cannot be written: .*No space left"):
            journal.see("new.png", "s")
        journal._file = own
        with pytest.raises(BatchError, match="could not be written"):
            journal.see("other.png", "s")
        full.close()
    assert b"other" not in (tmp_path / FILE_NAME).read_bytes()


def test_lines_are_on_their_way_to_the_disk_at_once(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.see("a.png", "s")
        assert json.loads((tmp_path / FILE_NAME).read_text()) == {"photo": 1, "name": "a.png", "stamp": "s"}
