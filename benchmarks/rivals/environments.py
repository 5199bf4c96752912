"""An environment for each rival: what it needs beyond the project's own, which it sees through a .pth file.

So PyTorch is not installed again, and nothing of the rival's reaches the project's environment.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
LINK = "weakseg-project.pth"


class InstallError(Exception):
    """A rival could not be installed."""


def ensure_environment(name: str, cache: Path, say: Callable[[str], None]) -> Path:
    """The Python of a rival's environment; made where it is missing, or of another version of its requirements.

    Args:
        name: Of ``NAME.txt`` beside this file.
        cache: Folder of the environments.
    Raises:
        InstallError: pip failed; has its last lines.
    """
    requirements = FOLDER / f"{name}.txt"
    made_of = hashlib.sha256(f"{sys.prefix} {requirements.read_text(encoding='utf-8')}".encode()).hexdigest()[:12]
    environment = cache / f"{name}-{made_of}"
    python = environment / "bin" / "python"
    if (environment / "complete").exists():
        return python
    say(f"install {name} into {environment}")
    shutil.rmtree(environment, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(environment)])
    own = environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (own / LINK).write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")  # after its own packages
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)])
    (environment / "complete").touch()
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
        raise InstallError(f"{' '.join(command)} failed; leave this rival out with --without, or mend it:\n{tail}")
