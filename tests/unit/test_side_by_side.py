import threading

import cv2
import pytest

from weakseg.side_by_side import SideBySide


@pytest.mark.parametrize("threads", [1, 3])
def test_every_item_is_worked_on_once_by_as_many_threads_as_there_are(threads: int) -> None:
    done: list[tuple[int, str, int]] = []
    before = cv2.getNumThreads()
    arrived = threading.Barrier(threads, timeout=120)  # nobody goes on alone

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


def test_callers_that_overlap_leave_opencv_as_it_was() -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    first_is_in, second_is_done = threading.Event(), threading.Event()

    def linger(item: int) -> None:
        first_is_in.set()
        assert second_is_done.wait(20)

    first = threading.Thread(target=SideBySide(2).each, args=(linger, [0, 1]))
    first.start()
    assert first_is_in.wait(20)
    seen: list[int] = []
    SideBySide(2).each(lambda item: seen.append(cv2.getNumThreads()), [0, 1])
    between = cv2.getNumThreads()
    second_is_done.set()
    first.join(20)
    after = cv2.getNumThreads()
    cv2.setNumThreads(before)
    assert (seen, between, after) == ([1, 1], 1, 3)
