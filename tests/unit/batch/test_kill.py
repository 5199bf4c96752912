"""A run that is killed in the middle and started again ends as one that was not."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.helpers.fake_service import Action, Asked, Error, FakeService
from tests.helpers.many_photos import draw_photos

COUNT = 60
COMMAND = [sys.executable, "-c", "from weakseg.cli import app; app()", "batch"]


def start(photos: Path, out: Path, service: FakeService) -> subprocess.Popen[bytes]:
    arguments = [str(photos), "--out", str(out), "--url", service.url, "--concurrency", "3", "--quiet"]
    return subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.DEVNULL)


def contents(out: Path) -> dict[str, bytes]:
    files = {str(path.relative_to(out)): path.read_bytes() for path in (out / "masks").rglob("*") if path.is_file()}
    return files | {name: (out / name).read_bytes() for name in ("coco.json", "failures.csv")}


def test_kills_leave_no_trace(tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos", COUNT)

    def refuse(asked: Asked) -> Action:
        return Error(415, "image_unreadable") if asked.photo % 10 == 7 else None

    with FakeService(refuse).running() as service:
        assert start(photos, tmp_path / "whole", service).wait(120) == 1, "some failed"
        whole = contents(tmp_path / "whole")
        assert len(whole) == COUNT - 6 + 2
        assert Counter(asked.photo for asked in service.asked) == dict.fromkeys(range(1, COUNT + 1), 1)

        service.asked.clear()
        for kill_at in (20, 40):
            process: list[subprocess.Popen[bytes]] = []

            def kill(asked: Asked, kill_at: int = kill_at, process: list[subprocess.Popen[bytes]] = process) -> Action:
                if asked.photo == kill_at:
                    os.kill(process[0].pid, signal.SIGKILL)
                return refuse(asked)

            service.script = kill
            process.append(start(photos, tmp_path / "killed", service))
            assert process[0].wait(120) == -signal.SIGKILL
        service.script = refuse
        assert start(photos, tmp_path / "killed", service).wait(120) == 1
        assert contents(tmp_path / "killed") == whole
        repeated = {photo: count for photo, count in Counter(a.photo for a in service.asked).items() if count > 1}
        assert set(Counter(asked.photo for asked in service.asked)) == set(range(1, COUNT + 1))
        assert len(repeated) <= 2 * 3, "no more than were under way"
