"""TorchServe's way to class maps: it imports this file as the top-level module ``cam_handler``.

It takes the one class that is defined here; whatever decides anything is in the package.
"""

from __future__ import annotations

from typing import ClassVar

from weakseg.card import Method
from weakseg.serving import ModelWorker


class CamHandler(ModelWorker):
    """Maps from one forward pass."""

    methods: ClassVar[tuple[Method, ...]] = ("cam", "joint")
