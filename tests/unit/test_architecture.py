"""The invariants of ARCHITECTURE.md that a machine can check."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRONT = sorted((ROOT / "front").rglob("*.py"))
CORE = sorted((ROOT / "src" / "weakseg").rglob("*.py"))
EDGE = {"cli.py", "commands"}


def imported_modules(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}


def test_there_is_code_to_check() -> None:
    assert len(CORE) > 10
    assert len(FRONT) > 10


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_weakseg_imports_nothing_from_outside_itself(path: Path) -> None:
    tops = {name.split(".")[0] for name in imported_modules(path)}
    assert not tops & {"front", "ts", "handlers", "export", "training", "scripts", "tests", "benchmarks"}


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_command_line_knows_the_command_line(path: Path) -> None:
    if EDGE & set(path.parts):
        return
    tops = {name.split(".")[0] for name in imported_modules(path)}
    assert not tops & {"typer", "argparse", "click"}
    assert not any(name.startswith("weakseg.cli") for name in imported_modules(path))


@pytest.mark.parametrize("path", FRONT, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_front_imports_weakseg_alone(path: Path) -> None:
    tops = {name.split(".")[0] for name in imported_modules(path)}
    assert not tops & {"torch", "ts", "handlers", "export", "training", "scripts", "tests", "benchmarks"}
