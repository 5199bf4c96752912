"""CRF problems as tensors on one device, and which of them are solved together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weakseg.refine.densecrf.problem import CrfProblem, Kernels
from weakseg.refine.densecrf.torch_lattice import EMPTY, KeySpace

LEAST_WIDTH = 0.2  # pixels, or grey levels: narrower appearance kernels are taken as this wide, exp(-12.5) at 1

Numbered = tuple[int, "TensorProblem"]


@dataclass(frozen=True, slots=True)
class TensorProblem:
    """A `CrfProblem` on a device.

    Attributes:
        logits: (L, H, W) float32. Never modified.
        rgb: (H, W, 3) uint8. Never modified.
    Raises:
        ShapeMismatchError, CrfInputError: as `CrfProblem`.
    """

    logits: Tensor
    rgb: Tensor
    kernels: Kernels
    steps: int

    def __post_init__(self) -> None:
        like_logits = np.broadcast_to(np.float32(0), self.logits.shape)
        CrfProblem(like_logits, np.broadcast_to(np.uint8(0), self.rgb.shape), self.kernels, self.steps)

    @classmethod
    def uploaded(cls, problem: CrfProblem, device: torch.device) -> TensorProblem:
        """A copy on the device."""
        logits, rgb = upload(problem.logits, device), upload(problem.rgb, device)
        return cls(logits, rgb, problem.kernels, problem.steps)

    @property
    def hw(self) -> tuple[int, int]:
        return self.logits.shape[1], self.logits.shape[2]

    @property
    def is_binary(self) -> bool:
        """Two labels of the same weights: the difference of their probabilities says all."""
        weights = self.kernels.smooth_weight, self.kernels.colour_weight
        return len(self.logits) == 2 and all(np.ptp(weight) == 0 for weight in weights)

    def appearance(self) -> Appearance:
        """The appearance kernel's widths. They are no narrower than a fifth of a pixel and of a grey level, which
        changes no more than exp(-12.5), and so wide that keys of one photo fit 62 bits (narrow kernels on photos
        beyond 1000 pixels)."""
        sigma_px = max(self.kernels.colour_sigma_px, LEAST_WIDTH)
        while not (found := Appearance(self.hw, sigma_px, max(self.kernels.colour_rgb, LEAST_WIDTH))).space.holds(1):
            sigma_px *= 1.25
        return found


@dataclass(frozen=True, slots=True)
class Appearance:
    hw: tuple[int, int]
    sigma_px: float
    sigma_rgb: float

    @property
    def volume(self) -> float:
        """Of the kernel, in pixels x grey levels^3."""
        return self.sigma_px**2 * self.sigma_rgb**3

    @property
    def space(self) -> KeySpace:
        (height, width), colours = self.hw, 255 / self.sigma_rgb
        return KeySpace.spanning([(width - 1) / self.sigma_px, (height - 1) / self.sigma_px, colours, colours, colours])


@dataclass(frozen=True, slots=True)
class Run:
    """Photos of one size, with the same kernels and number of labels, whose tensors are stacked."""

    numbers: tuple[int, ...]  # which problems they are
    logits: Tensor  # (n, L, H, W) float32
    rgb: Tensor  # (n, 3, H, W) float32
    kernels: Kernels
    appearance: Appearance
    first: int  # number of its first photo within the batch

    @classmethod
    def stacked(cls, members: Sequence[Numbered], first: int) -> Run:
        numbers, problems = zip(*members, strict=True)
        logits = torch.stack([problem.logits for problem in problems])  # (n, L, H, W)
        rgb = torch.stack([problem.rgb for problem in problems]).permute(0, 3, 1, 2)  # (n, 3, H, W)
        return cls(
            numbers, logits, rgb.to(torch.float32).contiguous(), problems[0].kernels, problems[0].appearance(), first
        )

    @property
    def hw(self) -> tuple[int, int]:
        return self.appearance.hw

    @property
    def photos(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True, slots=True)
class Batch:
    """Runs that are solved in one set of tensors: they share all but their size and the widths of their kernels."""

    runs: tuple[Run, ...]
    problem: TensorProblem  # one of them
    spacing: int  # every so many rows and columns are sampled
    is_binary: bool
    photos: int
    space: KeySpace
    key_dtype: torch.dtype

    @classmethod
    def of(cls, members: Sequence[Numbered], spacing: int) -> Batch:
        runs: list[Run] = []
        for alike in _grouped(members, lambda problem: (problem.hw, problem.kernels)):
            runs.append(Run.stacked(alike, sum(run.photos for run in runs)))
        space = reduce(KeySpace.joined, (run.appearance.space for run in runs))
        _, problem = members[0]
        return cls(tuple(runs), problem, spacing, problem.is_binary, len(members), space, space.dtype(len(members)))


def upload(array: NDArray[Any], device: torch.device) -> Tensor:
    """A copy on the device, which nobody waits for."""
    on_host = torch.tensor(np.ascontiguousarray(array))
    return on_host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else on_host.to(device)


def plan_batches(
    problems: Sequence[TensorProblem], spacing_of: Callable[[TensorProblem], int], most_pixels: int
) -> Iterator[Batch]:
    """Batches of problems with as many labels, the same weights, steps and spacing, of at most about so many pixels."""

    def shared(problem: TensorProblem) -> Hashable:
        weights = problem.kernels.smooth_weight, problem.kernels.colour_weight
        return len(problem.logits), *weights, problem.steps, spacing_of(problem)

    for members in _grouped(enumerate(problems), shared):
        for part in _cut(members, most_pixels):
            yield Batch.of(part, spacing_of(part[0][1]))


def _grouped(members: Iterable[Numbered], key: Callable[[TensorProblem], Hashable]) -> list[list[Numbered]]:
    groups: dict[Hashable, list[Numbered]] = defaultdict(list)
    for number, problem in members:
        groups[key(problem)].append((number, problem))
    return list(groups.values())


def _cut(members: list[Numbered], most_pixels: int) -> Iterator[list[Numbered]]:
    """In order; a part ends before it has too many pixels, or more photos than keys can tell apart."""
    part: list[Numbered] = []
    pixels, space = 0, EMPTY
    for number, problem in members:
        pixels += problem.hw[0] * problem.hw[1]
        space = space.joined(problem.appearance().space)
        if part and (pixels > most_pixels or not space.holds(len(part) + 1)):
            yield part
            part, pixels, space = [], problem.hw[0] * problem.hw[1], problem.appearance().space
        part.append((number, problem))
    yield part
