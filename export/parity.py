"""Do the eager graph, TorchScript and ONNX Runtime give the same answers? Without this, no archive.

Gradients jump where rounding decides (see :mod:`weakseg.attribution.gradient`), and two runtimes that are both right
may then differ. Such graphs are compared as strictly as all others, but on photos that are far enough from any jump:
photos are drawn until single precision agrees with double precision on either side of the photo. Small photos, as the
chance of a jump grows with the number of pixels.

A trained network that labels pixels may find nothing in noise: maps of 1e-8 everywhere agree with whatever is small.
Logarithms of probabilities still show a wrong pad or crop there, as logits do, and are compared too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.torchscript import EXAMPLE_HW
from weakseg.attribution.graph import MapGraph
from weakseg.errors import ModelError, ParityError
from weakseg.runtime import OnnxRuntime, Runtime, TorchScriptRuntime
from weakseg.types import NO_LABEL, GraphOutput, Query

TOLERANCE = 1e-4  # absolute, on scores and maps, which all lie in [0, 1]
LEAST_PROBABILITY = 1e-12  # smaller ones count as this: far below what noise gives, far above the least float32
# Absolute, on natural logarithms of probabilities: one per cent of a probability, however small. Rounding changes those
# of `hair`, which has 24 layers, by 9e-4; a shift by a pixel changes them by 0.1 to 10.
LOGARITHM_TOLERANCE = 1e-2
BATCH_SIZES = (1, 3)
LABEL_COUNTS = (1, 4)
STEADY_SIZES_HW = ((64, 75), (97, 66))  # of photos whose maps must not jump, where the network takes them
STEADY_MARGIN = 1e-4  # grey levels to either side: some ten times what rounding does to a network's values
STEADY_TRIES = 20  # photos drawn, at most, for each one that is used

Images = NDArray[np.uint8]
Size = tuple[int, int]


def check_parity(
    graph: MapGraph, *, torchscript: bytes, onnx: bytes, hw: tuple[int, int], tolerance: float = TOLERANCE
) -> dict[str, object]:
    """Compare three runtimes on two image sizes x two batch sizes x two numbers of labels.

    Args:
        hw: The serving size; the other sizes are smaller and have other proportions, and none is square. Those that
            are too small for the network are left out. Of a graph that jumps, only scores are compared at this size,
            and of one whose scores jump too, only shapes.
    Returns:
        For the model card: tolerance, sizes compared, the largest value of all maps, and per runtime the largest
        difference of scores, of maps, and of the logarithms of probabilities that do not jump; of a graph that jumps
        also how many photos were drawn to find those whose maps do not.
    Raises:
        ParityError: shapes or chosen labels differ, or a score, map or logarithm differs by more than its tolerance;
            says where. Or all maps of a graph that jumps hang on rounding.
    """
    sizes = [size for size in (*(STEADY_SIZES_HW if graph.jumps else ()), *parity_sizes(hw)) if fits(graph, size)][:2]
    label_count = graph.membership.shape[0]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ("torchscript", "onnx")}
    look = compare_probabilities if graph.gives_probabilities and not graph.jumps else compare
    largest = 0.0
    with one_thread():
        runtimes: list[Runtime] = [
            TorchScriptRuntime(torchscript, threads=1, gpu=None),
            OnnxRuntime(onnx, threads=1, gpu=None),
        ]
        inputs, drawn = steady_inputs(graph, sizes) if graph.jumps else (parity_inputs(sizes, label_count), None)
        for images, query in inputs:
            expected = run_eager(graph, images, query)
            largest = max(largest, float(expected.maps.max()))
            for runtime in runtimes:
                where = f"{runtime.name} at {images.shape}"
                found[runtime.name].append(look(expected, runtime.run(images, query), tolerance, where))
        if graph.jumps:
            check_scores(graph, runtimes, hw, tolerance)
    return {
        "tolerance": tolerance,
        "sizes_hw": [list(size) for size in sizes],
        "batch_sizes": list(BATCH_SIZES),
        "labels": list(LABEL_COUNTS),
        **({} if drawn is None else {"photos": {"drawn": drawn, "used": max(BATCH_SIZES) * len(sizes)}}),
        "largest_map_value": largest,
        "largest_difference_from_eager": {
            runtime: {name: max(each[name] for each in differences) for name in differences[0]}
            for runtime, differences in found.items()
        },
    }


def check_scores(graph: MapGraph, runtimes: Sequence[Runtime], hw: Size, tolerance: float) -> None:
    """What does not jump, at the serving size: scores, or shapes alone. Raises: ParityError, as ``check_parity``."""
    images, query = next(parity_inputs([hw], graph.membership.shape[0]))
    expected = run_eager(graph, images, query)
    for runtime in runtimes:
        found, where = runtime.run(images, query), f"{runtime.name} at {images.shape}"
        if graph.scores_jump:
            compare_shapes(expected, found, where)
        else:
            compare_scores(expected, found, tolerance, where)


def steady_inputs(graph: MapGraph, sizes: Sequence[Size]) -> tuple[list[tuple[Images, Query]], int]:
    """Every combination of size, batch size and number of labels, without jumps; and how many photos were drawn.

    Raises:
        ParityError: see ``draw_steady_photos``.
    """
    rng = np.random.default_rng(0)
    inputs, drawn = [], 0
    for hw in sizes:
        query = parity_query(max(BATCH_SIZES), max(LABEL_COUNTS), graph.membership.shape[0], rng)
        photos, tried = draw_steady_photos(graph, hw, query, rng)
        drawn += tried
        for batch_size, count in product(BATCH_SIZES, LABEL_COUNTS):
            part = Query(query.labels[:batch_size, :count], query.among[:batch_size], query.rivals[:batch_size])
            inputs.append((photos[:batch_size], part))
    return inputs, drawn


def draw_steady_photos(graph: MapGraph, hw: Size, query: Query, rng: np.random.Generator) -> tuple[Images, int]:
    """A photo, noise or a smooth picture, for each row of a query: (B, h, w, 3); and how many were drawn.

    Raises:
        ParityError: the maps of all photos drawn for one row hang on rounding.
    """
    photos = np.zeros((len(query.labels), *hw, 3), np.uint8)
    missing, drawn = np.arange(len(photos)), 0
    for step in range(STEADY_TRIES):
        for row in missing:
            noise = rng.integers(0, 256, (*hw, 3), dtype=np.uint8)
            photos[row] = noise if (row + step) % 2 else smooth_picture(hw, rng)
        drawn += len(missing)
        rows = Query(query.labels[missing], query.among[missing], query.rivals[missing])
        missing = missing[~are_steady(graph, photos[missing], rows, rng)]
        if not missing.size:
            return photos, drawn
    raise ParityError(
        f"Of {drawn} photos of {hw[0]} x {hw[1]} pixels too few have maps on which single and double precision agree "
        f"to {TOLERANCE:.2g}: maps of this network and method hang on rounding, so that runtimes cannot be compared."
    )


def are_steady(graph: MapGraph, images: Images, query: Query, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Whether float32 agrees with float64 a little to either side of each photo: (B,). The graph stays as it is."""
    single = run_eager(graph, images, query)
    chosen = Query(single.chosen, query.among, query.rivals)  # ranks hang on rounding where scores are equal
    aside = STEADY_MARGIN * rng.choice(np.array([-1, 1], np.float32), images.shape)  # (B, h, w, 3)
    with double_precision(graph):
        double = [run_eager(graph, images + side, chosen) for side in (aside, -aside)]
    off = np.stack([np.abs(each.maps - single.maps).max((1, 2, 3)) for each in double])  # (2, B)
    if graph.scores_jump:
        off = np.maximum(off, [np.abs(each.scores - single.scores).max(1) for each in double])  # (2, B)
    steady: NDArray[np.bool_] = off.max(0) <= TOLERANCE
    return steady


@contextmanager
def double_precision(graph: MapGraph) -> Iterator[None]:
    """In place: a copy of a large network takes gigabytes, and float64 holds every float32, so that nothing is lost."""
    graph.double()
    try:
        yield
    finally:
        graph.float()


@contextmanager
def one_thread() -> Iterator[None]:
    """As it serves; and on a busy machine threads that wait for each other take ten times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_eager(graph: MapGraph, images: NDArray[Any], query: Query) -> GraphOutput:
    """The graph as PyTorch runs it, on NumPy arrays."""
    fed = (images, query.labels, query.among, query.rivals)
    with torch.inference_mode():
        outputs = graph(*map(torch.from_numpy, fed))
    return GraphOutput(*(output.numpy() for output in outputs))


def compare(expected: GraphOutput, found: GraphOutput, tolerance: float, where: str) -> dict[str, float]:
    """The largest absolute difference of scores and of maps.

    Raises:
        ParityError: see ``check_parity``.
    """
    return {
        "scores": compare_scores(expected, found, tolerance, where),
        "maps": _difference(expected.maps, found.maps, tolerance, f"{where}: maps"),
    }


def compare_probabilities(expected: GraphOutput, found: GraphOutput, tolerance: float, where: str) -> dict[str, float]:
    """As ``compare``, and the largest difference of the maps' logarithms. Raises: as ``compare``."""
    differences = compare(expected, found, tolerance, where)
    logs = (np.log(np.clip(output.maps, LEAST_PROBABILITY, 1)) for output in (expected, found))  # (B, K, h', w') each
    difference = _difference(*logs, LOGARITHM_TOLERANCE, f"{where}: logarithms of maps")
    return {**differences, "logarithms_of_maps": difference}


def compare_shapes(expected: GraphOutput, found: GraphOutput, where: str) -> None:
    """Raises: ParityError: scores, maps or chosen labels are not as many."""
    for name in ("scores", "maps", "chosen"):
        _check_shape(getattr(expected, name), getattr(found, name), f"{where}: {name}")


def compare_scores(expected: GraphOutput, found: GraphOutput, tolerance: float, where: str) -> float:
    """The largest absolute difference of scores; of the maps only the shape is looked at. Raises: as ``compare``."""
    if not np.array_equal(expected.chosen, found.chosen):
        raise ParityError(f"{where}: chose labels {found.chosen.tolist()}, eager chose {expected.chosen.tolist()}.")
    _check_shape(expected.maps, found.maps, f"{where}: maps")
    return _difference(expected.scores, found.scores, tolerance, f"{where}: scores")


def _difference(expected: NDArray[np.float32], found: NDArray[np.float32], tolerance: float, where: str) -> float:
    _check_shape(expected, found, where)
    difference = float(np.abs(expected - found).max())
    if not difference <= tolerance:  # also when it is not a number
        raise ParityError(f"{where} differ from eager by {difference:.2g}, more than {tolerance:.2g}.")
    return difference


def _check_shape(expected: NDArray[Any], found: NDArray[Any], where: str) -> None:
    if expected.shape != found.shape:
        raise ParityError(f"{where} have shape {found.shape}, eager {expected.shape}.")


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
    other = min(max(64, 2 * width // 3), 190), min(max(75, 3 * height // 4), 225)
    return (height, width), (other[0], other[1] + (other[0] == other[1]))


def parity_inputs(sizes: Sequence[Size], label_count: int) -> Iterator[tuple[Images, Query]]:
    """Every combination of size, batch size and number of labels, as noise and as smooth pictures."""
    rng = np.random.default_rng(0)
    for hw, batch_size, count in product(sizes, BATCH_SIZES, LABEL_COUNTS):
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
