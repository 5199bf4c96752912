"""Lines of curl and ``weakseg batch`` in README and docs, run as they stand, from the repository's root, on a service.

Only the ports are replaced. Every block runs in a folder of links to the repository's files, so that what it writes
stays out of the repository and ``.weakseg`` is the state folder of this service. In a block, lines that call
./scripts/... are left out: they manage the service itself. A block with a comment that names a 4xx status must fail
with it. The demonstration model knows no cats: then blocks that ask it for classes are left out, visibly.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Service
from tests.helpers.http import send
from tests.helpers.launcher import ROOT

FENCE = re.compile(r"^```bash\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
ASKS = re.compile(r"\bcurl\b|\bweakseg batch\b")
PAGES = ("README.md", "docs/api.md", "docs/operation.md", "docs/batch.md")
SAID = list(
    dict.fromkeys(block for page in PAGES for block in FENCE.findall((ROOT / page).read_text(encoding="utf-8")))
)
BLOCKS = [block for block in SAID if ASKS.search(block) and "Authorization" not in block]  # the rest: test_tokens.py
NAMES_A_CLASS = re.compile(r"classes\W", flags=re.IGNORECASE)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_has_lines_that_are_run(page: str) -> None:
    assert any(block in BLOCKS for block in FENCE.findall((ROOT / page).read_text(encoding="utf-8")))


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_the_documents(service: Service, tmp_path: Path, block: str) -> None:
    (described,) = send("GET", f"{service.management}/weakseg").json
    if described["modelVersion"] == "demo" and "/weakseg" in block and NAMES_A_CLASS.search(block):
        pytest.skip("names a class that the demonstration model does not know; needs the ImageNet weights")
    lines = [line for line in block.splitlines() if not line.lstrip().startswith("./scripts/")]
    script = re.sub(r"\b808([0-6])\b", lambda port: str(service.launcher.port + int(port[1])), "\n".join(lines))

    (tmp_path / ".weakseg").symlink_to(service.launcher.state)
    for path in ROOT.iterdir():
        if path.name != ".weakseg":
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n", encoding="utf-8")
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=os.environ
        | {
            "CURL_HOME": str(tmp_path),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
        },
        capture_output=True,
        timeout=120,
        check=False,
    )
    expected = re.search(r"#.*\b(4\d\d)\b", block)
    if expected:
        assert expected[1].encode() in done.stderr, done
    else:
        assert done.returncode == 0, done
