"""Kubernetes manifests: read, checked against schemas that need no network, and drawn together as kustomize does it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from referencing import Registry, Resource

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
SCHEMAS = ROOT / "tests" / "deploy" / "schemas"  # our own, of custom resources
OLDEST, NEWEST = "1.30", "1.37"  # Kubernetes; preStop's `sleep` came with 1.30

Manifest = dict[str, Any]


def read_manifests(path: Path) -> list[Manifest]:
    """All documents of a YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document is not None]


def manifests_below(folder: Path) -> Iterator[tuple[Path, Manifest]]:
    """Every Kubernetes object below a folder: kustomizations, patches and values of charts are none."""
    for path in sorted(folder.rglob("*.yaml")):
        if path.name == "kustomization.yaml" or path.name.endswith(".values.yaml") or is_patch(path):
            continue
        for manifest in read_manifests(path):
            yield path, manifest


def is_patch(path: Path) -> bool:
    """Whether the kustomization beside it lists it as a patch."""
    beside = path.with_name("kustomization.yaml")
    if not beside.exists():
        return False
    (kustomization,) = read_manifests(beside)
    return path.name in [patch["path"] for patch in kustomization.get("patches", ())]


def check(manifest: Manifest, version: str) -> None:
    """Raises: jsonschema.ValidationError: not what this version of Kubernetes, or our schema of the kind, allows."""
    schema = SCHEMAS / f"{manifest['kind'].lower()}.yaml"
    if schema.exists():
        validator = jsonschema.Draft202012Validator(yaml.safe_load(schema.read_text()), registry=_definitions(version))
        validator.validate(manifest)
    else:
        kubernetes_validate.validate(manifest, version, strict=True)


@cache
def _definitions(version: str) -> Registry[Any]:
    """Kubernetes' own types, strict, for schemas to refer to."""
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    document = json.loads((folder / "_definitions.json").read_text(encoding="utf-8"))
    return Resource.from_contents(document) @ Registry()


def build(folder: Path) -> list[Manifest]:
    """Resources of a kustomization, its bases and components, with images and patches as far as ours use them."""
    (kustomization,) = read_manifests(folder / "kustomization.yaml")
    built: list[Manifest] = []
    for entry in [*kustomization.get("resources", ()), *kustomization.get("components", ())]:
        place = (folder / entry).resolve()
        built += build(place) if place.is_dir() else read_manifests(place)
    for patch in kustomization.get("patches", ()):
        (change,) = read_manifests(folder / patch["path"])
        target = find(built, change["kind"], change["metadata"]["name"])
        built[built.index(target)] = merge(target, change)
    for image in kustomization.get("images", ()):
        for container in containers(built):
            if container["image"].split(":")[0] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"
    return built


def find(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [item for item in manifests if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return found


def containers(manifests: list[Manifest]) -> list[dict[str, Any]]:
    """Of all Deployments."""
    return [
        container
        for manifest in manifests
        if manifest["kind"] == "Deployment"
        for container in manifest["spec"]["template"]["spec"]["containers"]
    ]


def merge(old: Any, new: Any) -> Any:
    """A strategic merge: maps by key, lists of things with a name by name; other lists are replaced."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: merge(old.get(key), value) for key, value in new.items()}
    if isinstance(old, list) and isinstance(new, list) and all("name" in item for item in [*old, *new]):
        changes = {item["name"]: item for item in new}
        merged = [merge(item, changes.pop(item["name"], {})) for item in old]
        return [*merged, *changes.values()]
    return new
