"""What a process may use, read from control groups as they lie in a folder."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from scripts import machine
from scripts.machine import Machine, control_groups, count_gpus, cpu_quota, look_at_machine, memory_left

GIB = 2**30


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


@pytest.mark.parametrize(("text", "cores"), [("150000 100000\n", 1.5), ("max 100000\n", None), ("", None)])
def test_cores_of_control_groups_version_2(tmp_path: Path, text: str, cores: float | None) -> None:
    assert cpu_quota(write(tmp_path, cpu__max=text)) == cores


@pytest.mark.parametrize(("quota", "cores"), [("400000\n", 4.0), ("-1\n", None)])
def test_cores_of_control_groups_version_1(tmp_path: Path, quota: str, cores: float | None) -> None:
    folder = write(tmp_path, cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000\n")
    assert cpu_quota(folder) == cores


def test_memory_of_control_groups_version_2(tmp_path: Path) -> None:
    cache = f"anon 5\ninactive_file {GIB}\n"
    group = write(tmp_path, memory__max=f"{4 * GIB}\n", memory__current=f"{3 * GIB}\n", memory__stat=cache)
    assert memory_left(group) == 2 * GIB, "page cache gives way"
    (group / "memory.max").write_text("max\n")
    assert memory_left(group) is None


def test_memory_of_control_groups_version_1(tmp_path: Path) -> None:
    group = write(tmp_path, memory__limit_in_bytes=f"{4 * GIB}\n", memory__usage_in_bytes=f"{GIB}\n")
    assert memory_left(group) == 3 * GIB
    (group / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert memory_left(group) is None
    assert memory_left(tmp_path / "nowhere") is None


def test_a_group_and_all_above_it_and_the_root_where_the_path_is_the_hosts(tmp_path: Path) -> None:
    mount = write(tmp_path / "mount")
    write(mount / "a" / "b")
    write(mount / "memory")
    groups = tmp_path / "cgroup"
    groups.write_text("4:memory:/of/the/host\n1:name=systemd:/x\n0::/a/b\n")
    assert list(control_groups(groups, mount)) == [mount / "memory", mount / "a" / "b", mount / "a", mount]
    assert list(control_groups(tmp_path / "nowhere", mount)) == []


def test_this_machine() -> None:
    here = look_at_machine()
    assert 1 <= here.cores <= psutil.cpu_count()
    assert 0 < here.memory_bytes <= psutil.virtual_memory().total
    assert count_gpus({"CUDA_VISIBLE_DEVICES": ""}) == 0
    assert count_gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == 0


def test_no_memory_left_is_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, memory__max=f"{GIB}\n", memory__current=f"{GIB}\n", cgroup="0::/\n")
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_MOUNT", tmp_path)
    assert look_at_machine().memory_bytes == 0


def test_a_machine_in_words() -> None:
    assert str(Machine(1, 3 * GIB)) == "1 core, 3.0 GiB of memory, no GPU"
    assert str(Machine(16, 128 * GIB, 2)) == "16 cores, 128.0 GiB of memory, 2 GPUs"
