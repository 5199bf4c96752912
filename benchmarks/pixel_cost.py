"""Parameters and arithmetic of every pixel network: ``python -m benchmarks.pixel_cost``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from weakseg.models.pixel.registry import PIXEL_NETWORKS, build_pixel_network


@dataclass(frozen=True, slots=True)
class Cost:
    """What one picture costs.

    Args:
        parameters: Numbers that training changes, and those that it keeps (frozen kernels), without buffers.
        gflops: 10^9 additions and multiplications of the convolutions and matrix products, each counted as one: twice
            the multiply-adds. Poolings, activations and interpolations are not counted.
    """

    parameters: int
    gflops: float


def cost(network: nn.Module, hw: tuple[int, int]) -> Cost:
    """Count for one picture of (h, w) pixels, in eval mode. The network may be on the meta device; it is unchanged."""
    device = next(network.parameters()).device
    was_training = network.training
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network.eval()(torch.zeros(1, 3, *hw, device=device))
    finally:
        network.train(was_training)
    return Cost(count_parameters(network), counter.get_total_flops() / 1e9)


def count_parameters(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hw", nargs=2, type=int, default=(320, 320), help="picture, pixels")
    parser.add_argument("--outputs", type=int, default=7, help="classes and background")
    arguments = parser.parse_args()
    height, width = arguments.hw
    print(f"| network | million parameters | GFLOPs at {height} x {width} |\n|---|---|---|")
    for name in PIXEL_NETWORKS:
        with torch.device("meta"):
            found = cost(build_pixel_network(name, arguments.outputs), (height, width))
        print(f"| {name} | {found.parameters / 1e6:.2f} | {found.gflops:.1f} |")


if __name__ == "__main__":
    main()
