import threading

import cv2
import pytest

from weakseg.side_by_side import SideBySide


@pytest.mark.parametrize("threads", [1, 3])
def test_every_item_is_worked_on_once_by_as_many_threads_as_there_are(threads: int) -> None:
    done: list[tuple[int, str, int]] = []
    before = cv2.getNumThreads()
    arrived = threading.Barrier(threads, timeout=20)  # nobody goes on alone

    def work(item: int) -> None:
        arrived.wait()
        done.append((item, threading.current_thread().name, cv2.getNumThreads()))

    SideBySide(threads).each(work, list(range(6)))
    assert sorted(item for item, _, _ in done) == list(range(6))
    assert len({name for _, name, _ in done}) == threads
    assert {count for _, _, count in done} == ({before} if threads == 1 else {1}), "OpenCV's threads stand back"
    assert cv2.getNumThreads() == before


def test_an_error_comes_out_and_leaves_opencv_as_it_was() -> None:
    before = cv2.getNumThreads()
    with pytest.raises(ZeroDivisionError):
        SideBySide(2).each(lambda item: 1 // item, [1, 0, 2])
    assert cv2.getNumThreads() == before
