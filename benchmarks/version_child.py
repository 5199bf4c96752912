"""One checkout's side of `benchmarks.versions`: answers requests that come in as lines, with the time of each stage.

Run as a file, with PYTHONPATH naming the checkout that it is to time; it asks nothing of it but what has not changed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

time.perf_counter = time.process_time  # the answers' own timings, undisturbed by whatever else runs on this machine

import cv2  # noqa: E402
import torch  # noqa: E402

from weakseg.archive import open_archive  # noqa: E402
from weakseg.pipeline import Pipeline  # noqa: E402
from weakseg.runtime import open_runtime  # noqa: E402
from weakseg.types import RawRequest  # noqa: E402


def main(archive_path: str, *photos: str) -> None:
    """Each line: the number of a photo, and options. Each answer: milliseconds of every stage."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    archive = open_archive(Path(archive_path))
    card = archive.card.model_copy(update={"threads": 1})
    pipeline = Pipeline(card, open_runtime(card, archive.read_file))
    contents = [Path(photo).read_bytes() for photo in photos]
    for line in sys.stdin:
        photo, options = json.loads(line)
        print(json.dumps(answer(pipeline, contents[photo], options)), flush=True)


def answer(pipeline: Pipeline, content: bytes, options: Mapping[str, str]) -> dict[str, float]:
    """The answer's own timings."""
    (given,) = pipeline.answer([RawRequest(content, options)])
    if given.status != 200:
        raise RuntimeError(given.body.decode())
    header = given.headers.get("X-Weakseg-Timings-Ms")
    return _name_alike(json.loads(header) if header else json.loads(given.body)["timings_ms"])


def _name_alike(timings: dict[str, float]) -> dict[str, float]:
    """Older checkouts name stage ``forward`` ``network``, and count stage ``maps`` as part of ``refine``."""
    forward = timings.pop("network", None)
    named = timings if forward is None else timings | {"forward": forward}
    return named | {"refine": named["refine"] + named.pop("maps", 0.0)}


if __name__ == "__main__":
    main(*sys.argv[1:])
