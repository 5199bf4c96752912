"""State dicts: read from untrusted files, and put into networks that they must fit."""

from __future__ import annotations

import hashlib
import pickle
import struct
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from weakseg.errors import ModelError

# What reading a damaged file of weights raises, beside OSError: pickle promises nothing.
DAMAGE = (
    RuntimeError,
    EOFError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ImportError,
    struct.error,
)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, unwrapped. Only tensors and plain values are unpickled, never code.

    Raises:
        ModelError: no such file, not a checkpoint, or no tensors inside.
    """
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, *DAMAGE) as error:
        raise ModelError(
            f"{path} cannot be read as a state dict: {_why(error)}. Save it with torch.save(model.state_dict(), path)."
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ModelError(f"{path} holds no state dict (names to tensors), but {type(content).__name__}.")
    if not content:
        raise ModelError(f"{path} holds an empty state dict.")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def _why(error: Exception) -> str:
    """In one clause, without torch's advice to load what may run code."""
    if isinstance(error, OSError):
        return str(error)
    if "Unsupported global" in str(error):
        return "it holds a whole model or other Python objects, which are not loaded as they could run code"
    return "it is damaged, or torch.save did not write it"


def fill_network(
    model: nn.Module, state: Mapping[str, Tensor], complaint: str, *, needed: Collection[str] | None = None
) -> None:
    """Load a state dict.

    Args:
        complaint: How the message of an error begins.
        needed: Names that must not be missing; None: all of the network's, but for counters of batches.
    Raises:
        ModelError: names that the network has not, other shapes, or missing names; the message has the first.
    """
    own = model.state_dict()
    if needed is None:
        needed = {name for name in own if not name.endswith("num_batches_tracked")}
    unknown = [name for name in state if name not in own]
    misshapen = [name for name in state if name in own and state[name].shape != own[name].shape]
    missing = [name for name in own if name in needed and name not in state]
    if unknown:
        raise ModelError(f"{complaint}: it has {unknown[0]!r}, which the network has not ({len(unknown)} such).")
    if misshapen:
        name = misshapen[0]
        raise ModelError(f"{complaint}: {name!r} is {tuple(state[name].shape)}, not {tuple(own[name].shape)}.")
    if missing:
        raise ModelError(f"{complaint}: {missing[0]!r} is missing ({len(missing)} such).")
    model.load_state_dict(state, strict=False)


def hash_file(path: Path) -> str:
    """SHA-256, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
