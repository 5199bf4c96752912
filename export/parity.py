"""Do the eager graph, TorchScript and ONNX Runtime give the same answers? Without this, no archive."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from export.torchscript import EXAMPLE_HW
from weakseg.attribution.graph import MapGraph
from weakseg.errors import ModelError, ParityError
from weakseg.runtime import OnnxRuntime, Runtime, TorchScriptRuntime
from weakseg.types import NO_LABEL, GraphOutput, Query

TOLERANCE = 1e-4  # absolute, on scores and maps, which all lie in [0, 1]
# Of maps that may jump (see weakseg.attribution.gradient), on the mean difference over a map: where the largest value
# jumps, the whole map is divided by another one. Half of all comparisons must do much better.
JUMP_TOLERANCE = 2e-2
MEDIAN_JUMP_TOLERANCE = 1e-3
BATCH_SIZES = (1, 3)
LABEL_COUNTS = (1, 4)

Images = NDArray[np.uint8]
Size = tuple[int, int]


def check_parity(
    graph: MapGraph, *, torchscript: bytes, onnx: bytes, hw: tuple[int, int], tolerance: float = TOLERANCE
) -> dict[str, object]:
    """Compare three runtimes on two image sizes x two batch sizes x two numbers of labels x two kinds of picture.

    Args:
        hw: The serving size; the other sizes are smaller and have other proportions, and none is square. Those that
            are too small for the network are left out.
    Returns:
        For the model card: tolerance, sizes compared, and per runtime the largest difference of scores and of maps
        (of a graph that jumps: the largest mean difference over a map).
    Raises:
        ParityError: shapes or chosen labels differ, or a score or map differs by more than the tolerance; says where.
    """
    sizes = [size for size in parity_sizes(hw) if fits(graph, size)]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ("torchscript", "onnx")}
    with one_thread():
        runtimes: list[Runtime] = [
            TorchScriptRuntime(torchscript, threads=1, gpu=None),
            OnnxRuntime(onnx, threads=1, gpu=None),
        ]
        for images, query in parity_inputs(
            sizes, label_count=graph.membership.shape[0], spares_first=graph.jumps and len(sizes) > 1
        ):
            expected = run_eager(graph, images, query)
            for runtime in runtimes:
                where = f"{runtime.name} at {images.shape}"
                output = runtime.run(images, query)
                found[runtime.name].append(compare(expected, output, tolerance, where, jumps=graph.jumps))
    if graph.jumps:
        refuse_frequent_jumps(found)
    return {
        "tolerance": tolerance,
        **({"mean_tolerance_of_maps": JUMP_TOLERANCE} if graph.jumps else {}),
        "sizes_hw": [list(size) for size in sizes],
        "batch_sizes": list(BATCH_SIZES),
        "labels": list(LABEL_COUNTS),
        "largest_difference_from_eager": {
            runtime: {name: max(each[name] for each in differences) for name in ("scores", "maps")}
            for runtime, differences in found.items()
        },
    }


def refuse_frequent_jumps(found: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    """Raises: ParityError: in a runtime, more than half of the comparisons show maps that differ."""
    for runtime, differences in found.items():
        median = statistics.median(each["maps"] for each in differences)
        if not median <= MEDIAN_JUMP_TOLERANCE:
            raise ParityError(
                f"{runtime}: maps differ from eager by {median:.2g} on average, in half of the comparisons by more; "
                f"{MEDIAN_JUMP_TOLERANCE:.2g} is what rounding may do."
            )


@contextmanager
def one_thread() -> Iterator[None]:
    """As it serves; and on a busy machine threads that wait for each other take ten times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_eager(graph: MapGraph, images: Images, query: Query) -> GraphOutput:
    """The graph as PyTorch runs it, on NumPy arrays."""
    fed = (images, query.labels, query.among, query.rivals)
    with torch.inference_mode():
        outputs = graph(*map(torch.from_numpy, fed))
    return GraphOutput(*(output.numpy() for output in outputs))


def compare(
    expected: GraphOutput, found: GraphOutput, tolerance: float, where: str, *, jumps: bool = False
) -> dict[str, float]:
    """The largest absolute difference of scores and of maps; with ``jumps``, the largest mean difference over a map.

    Raises:
        ParityError: see ``check_parity``.
    """
    if not np.array_equal(expected.chosen, found.chosen):
        raise ParityError(f"{where}: chose labels {found.chosen.tolist()}, eager chose {expected.chosen.tolist()}.")
    return {
        "scores": _difference(expected.scores, found.scores, tolerance, f"{where}: scores"),
        "maps": _difference(
            expected.maps, found.maps, JUMP_TOLERANCE if jumps else tolerance, f"{where}: maps", mean=jumps
        ),
    }


def _difference(
    expected: NDArray[np.float32], found: NDArray[np.float32], tolerance: float, where: str, *, mean: bool = False
) -> float:
    if expected.shape != found.shape:
        raise ParityError(f"{where} have shape {found.shape}, eager {expected.shape}.")
    differences = np.abs(expected - found)
    difference = float((differences.mean((2, 3)) if mean else differences).max())
    if not difference <= tolerance:  # also when it is not a number
        raise ParityError(f"{where} differ from eager by {difference:.2g}, more than {tolerance:.2g}.")
    return difference


def find_example_size(graph: MapGraph, hw: Size) -> Size:
    """A size to trace the graph at: small, if the network takes it, as tracing keeps sizes dynamic.

    Raises:
        ModelError: the serving size is too small for the network.
    """
    if not fits(graph, hw):
        raise ModelError(
            f"Photos of {hw[0]} x {hw[1]} pixels are too small for this network: its poolings or convolutions have "
            "nothing left to see. Give a larger --size, or larger --scales."
        )
    return EXAMPLE_HW if fits(graph, EXAMPLE_HW) else parity_sizes(hw)[0]


def fits(graph: MapGraph, hw: Size) -> bool:
    """Whether the network takes images of this size."""
    images = np.zeros((1, *hw, 3), np.uint8)
    first = np.zeros((1, 1), np.int64)
    try:
        run_eager(graph, images, Query(first, first, first - 1))
    except RuntimeError as error:
        if "size" in str(error):  # "Output size is too small", "Kernel size can't be greater than actual input size"
            return False
        raise
    return True


def parity_sizes(hw: Size) -> tuple[Size, Size]:
    """Two sizes, neither square: near the serving size; and about two thirds of it, at most 225 px, lying where that
    stands."""
    height, width = hw if hw[0] != hw[1] else (hw[0], hw[1] + 31)  # 31: odd sizes too
    return (height, width), (min(max(64, 2 * width // 3), 190), min(max(75, 3 * height // 4), 225))


def parity_inputs(
    sizes: Sequence[Size], label_count: int, *, spares_first: bool = False
) -> Iterator[tuple[Images, Query]]:
    """Every combination of size, batch size and number of labels, as noise and as smooth pictures.

    Args:
        spares_first: Of the first size, which is the largest, only single photos: backward passes take minutes.
    """
    rng = np.random.default_rng(0)
    for hw, batch_size, count in product(sizes, BATCH_SIZES, LABEL_COUNTS):
        if spares_first and hw == sizes[0] and batch_size > 1:
            continue
        query = parity_query(batch_size, count, label_count, rng)
        yield rng.integers(0, 256, (batch_size, *hw, 3), dtype=np.uint8), query
        yield np.stack([smooth_picture(hw, rng) for _ in range(batch_size)]), query


def parity_query(batch_size: int, count: int, label_count: int, rng: np.random.Generator) -> Query:
    """Labels by number, and every second one by rank; some of all compete, and the last photo has no rivals."""
    labels = rng.integers(0, label_count, (batch_size, count))  # (B, K)
    labels[:, ::2] = -1 - rng.integers(0, min(label_count, 5), labels[:, ::2].shape)
    among = rng.permuted(np.tile(np.arange(label_count), (batch_size, 1)), axis=1)  # (B, M)
    among[:, 1:][rng.random(among[:, 1:].shape) < 0.2] = NO_LABEL
    rivals = np.tile(-1 - np.arange(2), (batch_size, 1))  # (B, N)
    rivals[-1] = NO_LABEL
    return Query(labels, among, rivals)


def smooth_picture(hw: tuple[int, int], rng: np.random.Generator) -> Images:
    """(h, w, 3): three slanted ramps. Neighbouring pixels differ, so pooling windows hold few ties."""
    rows, columns = np.mgrid[: hw[0], : hw[1]]
    slopes = rng.uniform(1, 7, (2, 3))  # grey levels per pixel
    ramps = rows[..., None] * slopes[0] + columns[..., None] * slopes[1]  # (h, w, 3)
    return (127.5 + 127.5 * np.sin(ramps / 60)).astype(np.uint8)  # (h, w, 3)
