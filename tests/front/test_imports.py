"""The front needs no PyTorch: it starts in a second and takes some 100 MB."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys
import front.server
print(sorted({"torch", "torchvision", "onnxruntime", "ts", "handlers", "matplotlib"} & sys.modules.keys()))
"""


def test_it_imports_no_heavy_library() -> None:
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"
