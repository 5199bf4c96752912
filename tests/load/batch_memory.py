"""Memory of ``weakseg batch`` over many photos: ``python -m tests.load.batch_memory``.

Tiny drawn photos against a service that answers at once, so that the client is what is measured. Prints the curve of
its resident size, and fails where that grew by more than 5 % after the first tenth, or where a photo has no mask.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from tests.helpers.fake_service import FakeService
from tests.helpers.many_photos import draw_photos
from tests.load.soak import Sample, draw_curve, find_growth

LIMIT = 0.05
WARM_UP_SHARE = 0.1
EVERY_S = 0.2
COMMAND = [sys.executable, "-c", "from weakseg.cli import app; app()", "batch"]


def watch(command: list[str], done: Any) -> tuple[list[Sample], int]:
    """Run it, and look at its resident size and at how many photos are done until it ends.

    Returns:
        The curve, and the exit code.
    """
    curve = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                resident_mb = psutil.Process(process.pid).memory_info().rss / 1e6
            except psutil.NoSuchProcess:
                break
            curve.append(Sample(done(), resident_mb))
            time.sleep(EVERY_S)
    return [sample for sample in curve if sample.requests], process.returncode


def main(
    count: Annotated[int, typer.Option("--photos", min=100)] = 10_000,
    concurrency: Annotated[int, typer.Option(min=1)] = 8,
) -> None:
    """Measure whether the client's memory stays flat."""
    from pycocotools.coco import COCO

    with tempfile.TemporaryDirectory(prefix="weakseg-") as folder, FakeService(keeps=False).running() as service:
        photos, out = draw_photos(Path(folder) / "photos", count), Path(folder) / "out"
        arguments = [str(photos), "--out", str(out), "--url", service.url, "--concurrency", str(concurrency), "--quiet"]
        started = time.monotonic()
        curve, code = watch([*COMMAND, *arguments], lambda: service.answered)
        seconds = time.monotonic() - started
        growth = find_growth(curve, round(WARM_UP_SHARE * count))
        print(draw_curve(curve))
        masks = sum(1 for _ in (out / "masks").rglob("*.png"))
        images = len(COCO(out / "coco.json").imgs)
        journal_mb = (out / "journal.jsonl").stat().st_size / 1e6
    print(
        f"{masks:,} masks, {images:,} images in coco.json, journal {journal_mb:.1f} MB, {count / seconds:.0f} photos/s"
    )
    print(f"resident size {growth:+.1%} after the first tenth (limit {LIMIT:.0%})")
    sys.exit(0 if code == 0 and masks == images == count and growth <= LIMIT else 1)


if __name__ == "__main__":
    typer.run(main)
