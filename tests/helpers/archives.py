"""Archives made of another one: of another version, or broken."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import yaml

Change = Callable[[str, bytes], bytes]  # a file's name and content to its new content


def changed(source: Path, target: Path, change: Change) -> Path:
    """A copy of an archive with other contents."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return target


def of_version(version: str) -> Change:
    """The same model as another version, as TorchServe and weakseg read it."""

    def change(name: str, content: bytes) -> bytes:
        if name == "MAR-INF/MANIFEST.json":
            manifest = json.loads(content)
            manifest["model"]["modelVersion"] = version
            return json.dumps(manifest).encode()
        if name == "model-config.yaml":
            config = yaml.safe_load(content)
            config["weakseg"]["version"] = version
            return yaml.safe_dump(config).encode()
        return content

    return change


def without_a_module(name: str, content: bytes) -> bytes:
    """The handler needs a module that is not there."""
    if not name.endswith("_handler.py"):
        return content
    return b"import a_module_that_nobody_has\n" + content.replace(b"from __future__ import annotations", b"")


def with_half_a_graph(name: str, content: bytes) -> bytes:
    return content[: len(content) // 2] if name == "model.onnx" else content
