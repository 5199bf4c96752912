"""deploy/compose.yaml: against the compose specification's schema, and against the files that it speaks of."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.configuration import read_properties
from scripts.instance import PORTS
from scripts.torchserve import STOP_TIMEOUT_S
from tests.helpers.manifests import DEPLOY, ROOT

COMPOSE, GPU = (DEPLOY / name for name in ("compose.yaml", "compose.gpu.yaml"))
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
CONFIG = read_properties((ROOT / "config.container.properties").read_text(encoding="utf-8"))
PORT = int(CONFIG["weakseg_address"].rpartition(":")[2])


def fits_schema(path: Path) -> bool:
    """Against the schema that check-jsonschema brings along: no network."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("path", [COMPOSE, GPU], ids=lambda path: path.name)
def test_it_is_what_the_compose_specification_allows(path: Path) -> None:
    assert fits_schema(path)


def test_the_schema_refuses_what_is_wrong(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text().replace("cap_drop", "cap_dropp"))
    assert not fits_schema(wrong)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_bounded_watched_and_has_no_rights_to_spare(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit", "healthcheck"} <= service.keys()
    assert "max-size" in service["logging"]["options"]
    assert "privileged" not in service
    if "build" not in service:
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])


def test_published_ports_are_on_loopback_and_management_is_not_among_them() -> None:
    published = [port for service in SERVICES.values() for port in service["ports"]]
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert SERVICES["weakseg"]["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
    assert not any(f":{PORT + PORTS['management_address']}" in port for port in published)


def test_what_is_mounted_from_the_repository_is_there() -> None:
    mounted = [volume.split(":") for service in SERVICES.values() for volume in service["volumes"]]
    ours = [(source, mode) for source, _, *mode in mounted if source.startswith("./")]
    assert len(ours) == 5
    for source, mode in ours:
        assert mode == ["ro"], source
        if source != "./tokens":  # made by whoever starts it
            assert (DEPLOY / source).exists(), source
    named = {source for source, *_ in mounted if not source.startswith("./")}
    assert named == set(yaml.safe_load(COMPOSE.read_text())["volumes"])


def test_the_token_list_lies_in_the_folder_that_is_mounted_and_is_not_committed() -> None:
    (mount,) = SERVICES["weakseg"]["volumes"]
    source, target, _ = mount.split(":")
    assert Path(SERVICES["weakseg"]["environment"]["WEAKSEG_TOKEN_FILE"]).parent == Path(target)
    assert f"/deploy/{Path(source).name}/" in (ROOT / ".gitignore").read_text().splitlines()


def test_what_the_service_writes_is_in_memory_and_belongs_to_the_images_user() -> None:
    mounts = {mount.partition(":")[0]: mount.partition(":")[2].split(",") for mount in SERVICES["weakseg"]["tmpfs"]}
    uid = re.search(r"useradd .*--uid (\d+)", (ROOT / "Dockerfile").read_text())
    assert uid is not None
    assert f"uid={uid[1]}" in mounts["/opt/weakseg/.weakseg"]
    assert set(mounts) == {"/opt/weakseg/.weakseg", "/tmp"}
    assert "exec" in mounts["/tmp"], "a tmpfs of Docker's is noexec unless it is told otherwise"
    assert all(any(option.startswith("size=") for option in options) for options in mounts.values())


def test_a_stop_has_time_to_answer_what_is_under_way() -> None:
    grace_s = int(SERVICES["weakseg"]["stop_grace_period"].removesuffix("s"))
    assert grace_s >= float(CONFIG["weakseg_drain_timeout_s"]) + STOP_TIMEOUT_S + 10


def test_commands_name_what_exists() -> None:
    command = SERVICES["weakseg"]["command"]
    assert (ROOT / command[command.index("--config") + 1]).exists()
    for words in (command, SERVICES["weakseg"]["healthcheck"]["test"][1:]):
        assert words[:2] == ["python", "-m"]
        assert (ROOT / f"{words[2].replace('.', '/')}.py").exists()


def test_prometheus_scrapes_the_service_and_grafana_asks_prometheus() -> None:
    prometheus = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    targets = [
        target
        for job in prometheus["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
        if job["job_name"] == "weakseg"
    ]
    assert f"weakseg:{PORT + PORTS['weakseg_metrics_address']}" in targets
    assert "weakseg" in SERVICES
    mounts = {volume.split(":")[0]: Path(volume.split(":")[1]) for volume in SERVICES["prometheus"]["volumes"]}
    config = mounts["./prometheus/prometheus.yml"]
    assert f"--config.file={config}" in SERVICES["prometheus"]["command"]
    for pattern in prometheus["rule_files"]:
        assert (config.parent / pattern).parent == mounts["./prometheus/rules"]
    for path in (DEPLOY / "grafana" / "provisioning" / "datasources").glob("*.yml"):
        for source in yaml.safe_load(path.read_text())["datasources"]:
            assert "http://prometheus:9090" in source["url"]


def test_grafana_finds_the_dashboards_where_they_are_mounted() -> None:
    mounts = {volume.split(":")[0]: volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]}
    for path in (DEPLOY / "grafana" / "provisioning" / "dashboards").glob("*.yml"):
        for provider in yaml.safe_load(path.read_text())["providers"]:
            assert provider["options"]["path"] == mounts["./grafana/dashboards"]
    assert [*(DEPLOY / "grafana" / "dashboards").glob("*.json")]


def test_the_gpu_file_changes_the_service_and_nothing_else() -> None:
    override = yaml.safe_load(GPU.read_text())
    assert set(override) == {"services"}
    assert set(override["services"]) == {"weakseg"}
    (device,) = override["services"]["weakseg"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    variants = [SERVICES["weakseg"]["build"]["args"], override["services"]["weakseg"]["build"]["args"]]
    assert variants == [{"VARIANT": "cpu"}, {"VARIANT": "gpu"}]
