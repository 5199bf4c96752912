"""deploy/kubernetes: against Kubernetes' schemas, and against what the service is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from front import gate
from front.app import create_app
from front.settings import Settings
from scripts.configuration import read_properties
from scripts.instance import PORTS
from scripts.prometheus_rule import RULES, TARGET, as_text, make_rule
from scripts.torchserve import READY_TIMEOUT_S, STOP_TIMEOUT_S
from tests.helpers.manifests import (
    DEPLOY,
    NEWEST,
    OLDEST,
    ROOT,
    SCHEMAS,
    Manifest,
    build,
    check,
    containers,
    find,
    manifests_below,
    merge,
    read_manifests,
)

KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = sorted((KUBERNETES / "overlays").iterdir())
FOLDERS = [path.parent for path in sorted(KUBERNETES.rglob("kustomization.yaml"))]
MANIFESTS = [*manifests_below(KUBERNETES)]
CONFIG = read_properties((ROOT / "config.container.properties").read_text(encoding="utf-8"))


def named(folder: Path) -> str:
    return str(folder.relative_to(KUBERNETES))


def deployment(folder: Path) -> Manifest:
    return find(build(folder), "Deployment", "weakseg")


def only_container(folder: Path) -> dict[str, Any]:
    (container,) = containers(build(folder))
    return container


def seconds_to_failure(probe: dict[str, Any]) -> int:
    return int(probe["periodSeconds"]) * int(probe["failureThreshold"])


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize(("path", "manifest"), MANIFESTS, ids=[path.name for path, _ in MANIFESTS])
def test_every_manifest_is_what_kubernetes_takes(path: Path, manifest: Manifest, version: str) -> None:
    check(manifest, version)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("folder", OVERLAYS, ids=named)
def test_what_the_overlays_make_of_them_is_too(folder: Path, version: str) -> None:
    built = build(folder)
    for manifest in built:
        check(manifest, version)
    kinds = [manifest["kind"] for manifest in built]
    assert {"Deployment", "Service", "ServiceMonitor", "PrometheusRule", "NetworkPolicy"} <= set(kinds)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("Deployment", {"spec": {"template": {"spec": {"containerz": []}}}}),
        ("ServiceMonitor", {"spec": {"endpoints": [{"port": 8082}]}}),
        ("PrometheusRule", {"spec": {"groups": [{"name": "a", "rules": [{"alert": "A"}]}]}}),
        ("ScaledObject", {"spec": {"triggers": [{"type": "prometheus", "metadata": {"threshold": 4}}]}}),
        ("HorizontalPodAutoscaler", {"spec": {"maxReplicas": "ten"}}),
        ("NetworkPolicy", {"spec": {"ingress": {"from": []}}}),
    ],
)
def test_the_schemas_refuse_what_is_wrong(kind: str, change: dict[str, Any]) -> None:
    (manifest,) = [manifest for _, manifest in MANIFESTS if manifest["kind"] == kind]
    check(manifest, NEWEST)
    with pytest.raises(jsonschema.ValidationError):
        check(merge(manifest, change), NEWEST)


def test_every_schema_of_our_own_is_a_schema() -> None:
    for path in SCHEMAS.glob("*.yaml"):
        jsonschema.Draft202012Validator.check_schema(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("folder", FOLDERS, ids=named)
def test_a_kustomization_lists_all_files_beside_it(folder: Path) -> None:
    (kustomization,) = read_manifests(folder / "kustomization.yaml")
    listed = [*kustomization.get("resources", ()), *(patch["path"] for patch in kustomization.get("patches", ()))]
    for entry in [*listed, *kustomization.get("components", ())]:
        assert (folder / entry).exists(), entry
    beside = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
    assert {name for name in beside if not name.endswith(".values.yaml")} == {
        name for name in listed if not name.startswith("..")
    }


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("folder", [KUBERNETES / "base", *OVERLAYS], ids=named)
def test_kustomize_makes_of_it_what_our_own_reading_does(folder: Path) -> None:
    command = ["kubectl", "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    made = {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(done.stdout)}
    ours = {(item["kind"], item["metadata"]["name"]): item for item in build(folder)}
    assert made.keys() == ours.keys()
    for key, manifest in made.items():
        check(manifest, NEWEST)
        if key[0] != "Namespace":
            assert manifest["metadata"].pop("namespace") == "weakseg"
        assert manifest == ours[key]


def test_nothing_has_two_autoscalers() -> None:
    for folder in OVERLAYS:
        kinds = [manifest["kind"] for manifest in build(folder)]
        assert kinds.count("HorizontalPodAutoscaler") + kinds.count("ScaledObject") == 1
        assert "replicas" not in deployment(folder)["spec"]


@pytest.mark.parametrize("folder", OVERLAYS, ids=named)
def test_ports_are_those_of_the_service(folder: Path) -> None:
    built = build(folder)
    ports = {port["name"]: port["containerPort"] for port in only_container(folder)["ports"]}
    first = int(CONFIG["weakseg_address"].rpartition(":")[2])
    assert ports == {"http": first, "metrics": first + PORTS["weakseg_metrics_address"]}
    service = find(built, "Service", "weakseg")["spec"]
    assert {port["name"]: port["targetPort"] for port in service["ports"]} == {"http": "http", "metrics": "metrics"}
    labels = deployment(folder)["spec"]["template"]["metadata"]["labels"]
    for selector in (
        service["selector"],
        deployment(folder)["spec"]["selector"]["matchLabels"],
        find(built, "PodDisruptionBudget", "weakseg")["spec"]["selector"]["matchLabels"],
        find(built, "NetworkPolicy", "weakseg")["spec"]["podSelector"]["matchLabels"],
        find(built, "ServiceMonitor", "weakseg")["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()


def test_management_and_torchserves_own_ports_are_open_to_nobody() -> None:
    for name in ("management_address", "inference_address", "metrics_address"):
        assert CONFIG[name].startswith("http://127.0.0.1:"), name
    for name in ("grpc_inference_address", "grpc_management_address"):
        assert CONFIG[name] == "127.0.0.1"
    policy = find(build(KUBERNETES / "base"), "NetworkPolicy", "weakseg")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    by_port = {port["port"]: rule["from"] for rule in policy["ingress"] for port in rule["ports"]}
    assert set(by_port) == {"http", "metrics"}
    assert by_port["metrics"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]


@pytest.mark.parametrize("folder", OVERLAYS, ids=named)
def test_the_pod_has_no_rights_that_it_does_not_need(folder: Path) -> None:
    """What Kubernetes calls the restricted pod security standard, which the namespace enforces, and a little more."""
    pod, container = deployment(folder)["spec"]["template"]["spec"], only_container(folder)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    uid = re.search(r"useradd .*--uid (\d+)", (ROOT / "Dockerfile").read_text())
    assert uid is not None
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == int(uid[1])


@pytest.mark.parametrize("folder", OVERLAYS, ids=named)
def test_what_the_service_writes_goes_to_volumes_that_are_there(folder: Path) -> None:
    pod, container = deployment(folder)["spec"]["template"]["spec"], only_container(folder)
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert {"/opt/weakseg/.weakseg", "/tmp", "/etc/weakseg/tokens"} == set(mounts)
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert set(volumes) == set(mounts.values())
    assert all("sizeLimit" in volumes[mounts[path]]["emptyDir"] for path in ("/opt/weakseg/.weakseg", "/tmp"))
    (token_file,) = [item["value"] for item in container["env"] if item["name"] == "WEAKSEG_TOKEN_FILE"]
    assert Path(token_file).parent == Path("/etc/weakseg/tokens")
    for item in ("cpu", "memory"):
        assert item in container["resources"]["limits"]


@pytest.mark.parametrize("folder", OVERLAYS, ids=named)
def test_a_stop_has_time_to_answer_what_is_under_way(folder: Path) -> None:
    pause_s = only_container(folder)["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace_s = deployment(folder)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace_s >= pause_s + float(CONFIG["weakseg_drain_timeout_s"]) + STOP_TIMEOUT_S + 10


def test_a_start_has_the_time_that_the_launcher_gives_it() -> None:
    container = only_container(KUBERNETES / "base")
    assert seconds_to_failure(container["startupProbe"]) >= READY_TIMEOUT_S
    assert seconds_to_failure(container["livenessProbe"]) > seconds_to_failure(container["readinessProbe"])


def test_probes_ask_for_what_the_front_answers_without_a_token() -> None:
    container = only_container(KUBERNETES / "base")
    probed = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert probed == {"/v2/health/ready", "/ping", "/v2/health/live"}
    assert probed <= set(gate._OPEN)
    assert probed <= set(create_app(Settings()).openapi()["paths"])


def test_the_launcher_takes_these_arguments() -> None:
    from typer.main import get_command

    from scripts.launcher import app

    container = only_container(KUBERNETES / "base")
    assert container["command"] == ["python", "-m", "scripts.launcher"]
    known = {name for parameter in get_command(app).params for name in parameter.opts}
    options = [argument for argument in container["args"] if argument.startswith("--")]
    assert set(options) <= known
    assert (ROOT / container["args"][container["args"].index("--config") + 1]).exists()
    assert {"--no-build", "--no-demo"} <= set(options)


def test_autoscalers_speak_of_the_deployment_and_of_a_metric_that_there_is() -> None:
    assert '"weakseg_queue_depth"' in (ROOT / "front" / "workers.py").read_text(encoding="utf-8")
    hpa = find(build(KUBERNETES / "components" / "hpa"), "HorizontalPodAutoscaler", "weakseg")["spec"]
    scaled = find(build(KUBERNETES / "components" / "keda"), "ScaledObject", "weakseg")["spec"]
    for spec in (hpa, scaled):
        assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "weakseg"}
    (metric,) = hpa["metrics"]
    assert metric["pods"]["metric"]["name"] == "weakseg_queue_depth"
    (trigger,) = scaled["triggers"]
    assert set(re.findall(r"weakseg_\w+", trigger["metadata"]["query"])) == {"weakseg_queue_depth"}
    assert trigger["metadata"]["threshold"] == metric["pods"]["target"]["averageValue"]
    (rule,) = read_manifests(KUBERNETES / "components" / "hpa" / "prometheus-adapter.values.yaml")[0]["rules"]["custom"]
    assert rule["name"]["as"] == "weakseg_queue_depth"
    assert rule["seriesQuery"].startswith("weakseg_queue_depth{")


def test_kubernetes_rules_are_prometheus_rules() -> None:
    """Differs? `python -m scripts.prometheus_rule`."""
    rule = make_rule(RULES)
    assert TARGET.read_text(encoding="utf-8") == as_text(rule)
    assert yaml.safe_load(as_text(rule)) == rule
    assert rule["spec"]["groups"]


def test_the_gpu_is_asked_for_and_its_nodes_are_chosen() -> None:
    cpu, gpu = only_container(KUBERNETES / "overlays" / "cpu"), only_container(KUBERNETES / "overlays" / "gpu")
    assert gpu["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in cpu["resources"]["limits"]
    assert (cpu["image"].rpartition("-")[2], gpu["image"].rpartition("-")[2]) == ("cpu", "gpu")
    pod = deployment(KUBERNETES / "overlays" / "gpu")["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert [item["key"] for item in pod["tolerations"]] == ["nvidia.com/gpu"]
    assert gpu["volumeMounts"] == cpu["volumeMounts"]
