"""The archive (.mar) that TorchServe loads: handler, both graphs, model-config.yaml."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from weakseg.archive import CONFIG_FILE
from weakseg.errors import ModelError
from weakseg.runtime import ONNX_FILE, TORCHSCRIPT_FILE


def write_archive(*, name: str, version: str, graphs: Path, config: str, handler: Path, directory: Path) -> Path:
    """Pack ``directory/name.mar`` with torch-model-archiver. It appears complete or not at all.

    Args:
        graphs: The folder that holds model.onnx and model.pt.
        config: Text of model-config.yaml.
        handler: The handler's Python file; its class is found by TorchServe.
    Raises:
        ModelError: torch-model-archiver is not installed or fails; has its message.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".export-") as folder:
        work = Path(folder)
        shutil.copy(graphs / ONNX_FILE, work)
        shutil.copy(graphs / TORCHSCRIPT_FILE, work)
        shutil.copy(handler, work)
        (work / CONFIG_FILE).write_text(config, encoding="utf-8")
        _run_archiver(name, version, handler.name, work)
        return (work / f"{name}.mar").replace(directory / f"{name}.mar")


def _run_archiver(name: str, version: str, handler: str, work: Path) -> None:
    """In a process of its own: the archiver empties ``$TMPDIR/<name>``, so it gets a TMPDIR of its own, and it splits
    file lists at commas, so it gets bare names."""
    scratch = work / "tmp"
    scratch.mkdir()
    command = [sys.executable, "-m", "model_archiver.model_packaging", "--model-name", name, "--version", version]
    command += ["--handler", handler, "--serialized-file", TORCHSCRIPT_FILE, "--extra-files", ONNX_FILE]
    command += ["--config-file", CONFIG_FILE, "--export-path", "."]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ModelError(f"torch-model-archiver failed: {last}. It comes with the serve extra: weakseg[serve].")
