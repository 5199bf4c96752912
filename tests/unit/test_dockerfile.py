"""The Dockerfile, checked against the rules of hadolint that matter here. No container engine is needed."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPILERS = re.compile(r"(?<![\w-])(g\+\+|gcc|clang|make|cmake|build-essential)(?![\w-])")


@dataclass
class Stage:
    """A FROM and the instructions after it."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)  # instruction, the rest of its line

    def all_of(self, instruction: str) -> list[str]:
        return [rest for kind, rest in self.steps if kind == instruction]


def parse(text: str) -> tuple[dict[str, str], list[Stage]]:
    """The arguments before the first FROM, with their defaults, and the stages."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        instruction, rest = line.split(maxsplit=1)
        assert instruction.isupper(), line
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(base, name))
        elif not stages:
            assert instruction == "ARG"
            name, _, default = rest.partition("=")
            arguments[name] = default
        else:
            stages[-1].steps.append((instruction, " ".join(rest.split())))
    return arguments, stages


ARGUMENTS, STAGES = parse((ROOT / "Dockerfile").read_text())
NAMED = {stage.name: stage for stage in STAGES}
FINAL = STAGES[-1]


def lineage(stage: Stage, variant: str) -> list[Stage]:
    """The stage and those that it is built on, here in this file."""
    base = NAMED.get(stage.base.replace("${VARIANT}", variant))
    return [stage, *(lineage(base, variant) if base else [])]


def test_the_parser_joins_lines_and_drops_comments() -> None:
    arguments, stages = parse('# a\nARG A=b\nFROM x:1 AS y\n# c\nRUN one \\\n    && two\nCMD ["z"]\n')
    assert arguments == {"A": "b"}
    assert stages == [Stage("x:1", "y", [("RUN", "one && two"), ("CMD", '["z"]')])]


def test_every_base_is_pinned_or_a_stage_of_this_file() -> None:  # DL3006, DL3007
    for stage in STAGES:
        if stage.base not in NAMED and stage.base != "${VARIANT}":
            image, _, tag = stage.base.partition(":")
            assert re.match(r"\d+\.\d+\.\d+", tag), f"{image} is not pinned to a version"
            assert "latest" not in tag


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_both_variants_lead_to_a_base(variant: str) -> None:
    assert ARGUMENTS["VARIANT"] in ("cpu", "gpu")
    chain = lineage(FINAL, variant)
    assert chain[1].name == variant
    assert chain[-1].base.startswith("python:3.11.")
    settings = " ".join(rest for stage in chain for rest in stage.all_of("ENV"))
    assert ("NVIDIA_VISIBLE_DEVICES=all" in settings) is (variant == "gpu")


def test_it_does_not_run_as_root() -> None:  # DL3002
    kinds = [kind for kind, _ in FINAL.steps]
    assert FINAL.all_of("USER")[-1] not in ("root", "0")
    assert kinds.index("USER") < kinds.index("CMD")
    assert "RUN" not in kinds[kinds.index("USER") :]
    assert all("--chown=" in rest for rest in FINAL.all_of("COPY"))


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_the_final_image_has_no_compiler(variant: str) -> None:
    steps = [rest for stage in lineage(FINAL, variant) for rest in stage.all_of("RUN")]
    assert not [step for step in steps if COMPILERS.search(step) or "apt-get" in step]
    assert COMPILERS.search(" ".join(NAMED["build"].all_of("RUN")))


def test_apt_leaves_nothing_behind() -> None:  # DL3009, DL3014, DL3015, DL3027
    for step in (rest for stage in STAGES for rest in stage.all_of("RUN")):
        assert not re.search(r"\bapt (install|update)\b|\bsudo\b", step)
        if "apt-get install" in step:
            assert "apt-get update" in step
            assert " -y " in step
            assert "--no-install-recommends" in step
            assert step.endswith("rm -rf /var/lib/apt/lists/*")


def test_pip_takes_locked_packages_only_and_keeps_no_cache() -> None:  # DL3013, DL3042
    steps = [
        step for stage in STAGES for rest in stage.all_of("RUN") for step in rest.split("&&") if "pip install" in step
    ]
    assert len(steps) == 2
    for step in steps:
        assert "--no-cache-dir" in step
        assert "--no-deps" in step
        assert "--require-hashes -r requirements/serve.lock" in step or step.strip().endswith("-e .")


def test_commands_are_in_exec_form_and_name_what_exists() -> None:  # DL3025
    (command,) = FINAL.all_of("CMD")
    (check,) = FINAL.all_of("HEALTHCHECK")
    for words in (json.loads(command), json.loads(check.partition("CMD ")[2])):
        assert words[:2] == ["python", "-m"]
        assert (ROOT / f"{words[2].replace('.', '/')}.py").exists()
    assert (ROOT / json.loads(command)[json.loads(command).index("--config") + 1]).exists()
    assert "--start-period=" in check


def test_only_absolute_work_folders_and_no_add() -> None:  # DL3000, DL3020
    assert all(rest.startswith("/") for stage in STAGES for rest in stage.all_of("WORKDIR"))
    assert not [stage for stage in STAGES if stage.all_of("ADD")]


def copied_from_the_repository() -> list[str]:
    copies = [shlex.split(rest) for stage in STAGES for rest in stage.all_of("COPY")]
    return [source for words in copies if "--from=build" not in words for source in words[:-1]]


def test_every_copied_file_exists_and_passes_the_dockerignore() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert set(copied_from_the_repository()) == allowed
    assert [source for source in allowed if not (ROOT / source).exists()] == []


def test_the_container_asks_for_keys_and_keeps_management_inside() -> None:
    lines = (ROOT / "config.container.properties").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert settings["disable_token_authorization"] == "false"
    assert settings["enable_model_api"] == "false"
    assert settings["weakseg_address"] == "http://0.0.0.0:8080"
    assert settings["weakseg_metrics_address"] == "http://0.0.0.0:8082"
    assert settings["inference_address"].startswith("http://127.0.0.1:")
    assert settings["metrics_address"].startswith("http://127.0.0.1:")
    assert settings["management_address"].startswith("http://127.0.0.1:")
    assert settings["grpc_management_address"] == "127.0.0.1"
    exposed = FINAL.all_of("EXPOSE")[0].split()
    assert exposed == ["8080", "8082"]


def test_both_configurations_agree_on_everything_else() -> None:
    def read(name: str) -> dict[str, str]:
        lines = (ROOT / name).read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    local, container = read("config.properties"), read("config.container.properties")
    differing = {name for name in local | container if local.get(name) != container.get(name)}
    assert differing == {
        "weakseg_address",
        "weakseg_metrics_address",
        "disable_token_authorization",
        "token_expiration_min",
        "enable_model_api",
    }
