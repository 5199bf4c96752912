"""TorchServe's way to networks that label pixels: it imports this file as the top-level module ``pixel_handler``.

It takes the one class that is defined here; whatever decides anything is in the package.
"""

from __future__ import annotations

from typing import ClassVar

from weakseg.card import Method
from weakseg.serving import ModelWorker


class PixelHandler(ModelWorker):
    """Class probabilities of every pixel, from one forward pass."""

    methods: ClassVar[tuple[Method, ...]] = ("pixels",)
