"""Libraries start no threads beside those of the worker."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, cv2, numpy, torch
from threadpoolctl import threadpool_info
from weakseg.threads import limit_threads
limit_threads(2)
numpy.ones((300, 300), numpy.float32) @ numpy.ones((300, 300), numpy.float32)
blas = [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]
print(json.dumps({"blas": blas, "opencv": cv2.getNumThreads(), "torch": torch.get_num_threads()}))
"""


def test_blas_has_one_thread_and_the_others_the_workers() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)  # it is for good
    told = json.loads(done.stdout)
    assert told["blas"]
    assert set(told["blas"]) == {1}
    assert (told["opencv"], told["torch"]) == (2, 2)
