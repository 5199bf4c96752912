"""TorchScript and ONNX Runtime beside PyTorch, at other batches and sizes than those of the trace."""

from pathlib import Path

import pytest
import torch

from tests.helpers.pixel_networks import OPTIONS, ask, build_lively, export

SHAPES = [(1, 3, 16, 23), (3, 3, 64, 96), (2, 3, 45, 131)]


@pytest.mark.parametrize("name", OPTIONS)
def test_exports_agree_at_any_batch_and_size(name: str, tmp_path: Path) -> None:
    network = build_lively(name)
    traced, session = export(network, tmp_path)
    for shape in SHAPES:
        images = torch.randn(shape)
        with torch.no_grad():
            expected = network(images)
            found = traced(images)
        assert expected.std() > 0.01
        limit = 1e-5 * float(expected.abs().max())
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=limit)
        torch.testing.assert_close(torch.from_numpy(ask(session, images)), expected, rtol=1e-4, atol=10 * limit)
