"""How many threads libraries may start in this process: those of the worker, and no pools beside it."""

from __future__ import annotations

import cv2
import torch
from threadpoolctl import threadpool_limits

BLAS_VARIABLE = "OPENBLAS_NUM_THREADS"  # in the environment of a process it holds for libraries that come later, too


def limit_threads(count: int) -> None:
    """For the whole process: ``count`` threads for OpenCV and PyTorch, one for the BLAS libraries loaded so far.

    The pipeline's matrices are too small to be shared out, and OpenBLAS' idle threads spin: with a pool in each of two
    workers on two cores a photo took twice as long (docs/results/threads.md).
    """
    cv2.setNumThreads(count)
    torch.set_num_threads(count)
    threadpool_limits(limits=1, user_api="blas")
