"""deploy/kserve: against schemas, and against what the service and deploy/kubernetes are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.helpers.manifests import DEPLOY, NEWEST, OLDEST, Manifest, build, check, containers, merge, read_manifests

KSERVE = DEPLOY / "kserve"
PATHS = sorted(KSERVE.glob("*.yaml"))
SERVICES = sorted(KSERVE.glob("inferenceservice*.yaml"))


def only(path: Path) -> Manifest:
    (manifest,) = read_manifests(path)
    return manifest


RUNTIME = only(KSERVE / "servingruntime.yaml")["spec"]
(CONTAINER,) = RUNTIME["containers"]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_every_manifest_fits_its_schema(path: Path, version: str) -> None:
    check(only(path), version)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("servingruntime", {"spec": {"containers": [{"name": "kserve-container", "imagee": "x"}]}}),
        ("servingruntime", {"spec": {"protocolVersions": ["v3"]}}),
        ("inferenceservice", {"spec": {"predictor": {"minReplicas": "two"}}}),
        ("inferenceservice", {"spec": {"predictor": {"model": {"storageUri": "/mnt/models"}}}}),
        ("inferenceservice-knative", {"spec": {"predictor": {"scaleMetric": "queue"}}}),
        ("podmonitor", {"spec": {"podMetricsEndpoints": [{"portNumber": "metrics"}]}}),
    ],
)
def test_the_schemas_refuse_what_is_wrong(name: str, change: dict[str, Any]) -> None:
    manifest = only(KSERVE / f"{name}.yaml")
    check(manifest, NEWEST)
    with pytest.raises(jsonschema.ValidationError):
        check(merge(manifest, change), NEWEST)


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_the_service_finds_its_runtime(path: Path) -> None:
    predictor = only(path)["spec"]["predictor"]
    model = predictor["model"]
    assert model["runtime"] == only(KSERVE / "servingruntime.yaml")["metadata"]["name"]
    assert model["modelFormat"]["name"] in [item["name"] for item in RUNTIME["supportedModelFormats"]]
    assert model["protocolVersion"] in RUNTIME["protocolVersions"]
    assert predictor["minReplicas"] <= predictor["maxReplicas"]
    (monitored,) = [only(KSERVE / "podmonitor.yaml")["spec"]["selector"]["matchLabels"]]
    assert monitored == {"serving.kserve.io/inferenceservice": only(path)["metadata"]["name"]}


def test_the_store_is_where_kserve_puts_it_and_nothing_is_built() -> None:
    arguments = CONTAINER["args"]
    assert arguments[arguments.index("--store") + 1] == "/mnt/models"
    assert "--no-build" in arguments
    assert "--models" not in arguments  # all archives that are there


def test_the_container_is_that_of_the_deployment() -> None:
    """One image, the same probes, limits, rights and volumes: KServe changes who starts it, not what it is."""
    (other,) = containers(build(DEPLOY / "kubernetes" / "base"))
    for key in ("command", "env", "volumeMounts", "resources"):
        for item in ("cpu", "memory"):
            assert CONTAINER["resources"]["limits"][item] == other["resources"]["limits"][item]
        if key != "resources":
            assert CONTAINER[key] == other[key], key
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert CONTAINER[probe]["httpGet"]["path"] == other[probe]["httpGet"]["path"]
        assert CONTAINER[probe]["httpGet"]["port"] == other["ports"][0]["containerPort"]
        assert CONTAINER[probe]["failureThreshold"] == other[probe]["failureThreshold"]
    assert CONTAINER["securityContext"].items() >= other["securityContext"].items()
    assert CONTAINER["image"] == other["image"]
    assert {volume["name"] for volume in RUNTIME["volumes"]} == {mount["name"] for mount in CONTAINER["volumeMounts"]}
    assert RUNTIME["annotations"]["prometheus.kserve.io/port"] == str(other["ports"][1]["containerPort"])
