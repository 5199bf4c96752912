"""TorchServe's way to maps by gradients: it imports this file as the top-level module ``gradient_handler``.

It takes the one class that is defined here; whatever decides anything is in the package.
"""

from __future__ import annotations

from typing import ClassVar

from weakseg.card import Method
from weakseg.serving import ModelWorker


class GradientHandler(ModelWorker):
    """Maps from a forward pass and one backward pass per label, all inside the graph."""

    methods: ClassVar[tuple[Method, ...]] = ("saliency", "guided", "dcsm", "gradcam", "layercam", "fusion")
