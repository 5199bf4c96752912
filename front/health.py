"""How the service is, and which models it has."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from front.catalogue import ABOUT, Catalogue, Version
from weakseg import __version__

PROBES = ("/ping", "/health", "/v2/health/live", "/v2/health/ready")  # which need no token
_DETAILS = (
    *("multi_label", "class_count", "classes", "groups", "weights", "weights_sha256", "licence"),
    *("tag_threshold", "refine_side", "grabcut_side", "budget_ms", "photo_task", "box_task", "preprocessing"),
    "options",
)
router = APIRouter(redirect_slashes=False)


@router.get("/ping")
async def ping(request: Request) -> JSONResponse:
    """Whether any model can answer, in TorchServe's words; 503 where none can."""
    healthy = is_healthy(_catalogue(request))
    return JSONResponse({"status": _word(healthy)}, 200 if healthy else 503)


@router.get("/health")
async def health(request: Request) -> JSONResponse:
    """Every model with its versions and workers, and on what they run; 503 where no model has a worker."""
    catalogue = _catalogue(request)
    healthy = is_healthy(catalogue)
    document = {
        "status": _word(healthy),
        "software": f"weakseg {__version__}",
        "models": [_tell_model(catalogue, name) for name in catalogue.models()],
    }
    return JSONResponse(document, 200 if healthy else 503)


@router.get("/models")
async def list_models(request: Request) -> JSONResponse:
    """Every model with its versions."""
    catalogue = _catalogue(request)
    if not catalogue.is_loaded:
        await catalogue.refresh()
    catalogue.check_loaded()
    return JSONResponse({"models": [_tell_model(catalogue, name) for name in catalogue.models()]})


@router.get("/models/{model}")
async def describe_default(request: Request, model: str) -> JSONResponse:
    """What the default version of a model knows and takes: classes, groups, defaults, options."""
    return await _describe(request, model, None)


@router.get("/models/{model}/{version}")
async def describe_version(request: Request, model: str, version: str) -> JSONResponse:
    """What a version of a model knows and takes: classes, groups, defaults, options."""
    return await _describe(request, model, version)


def is_healthy(catalogue: Catalogue) -> bool:
    """Whether any model has a worker that is ready, as far as that is known of late."""
    return catalogue.is_current and any(
        catalogue.version(name, version).ready_workers
        for name in catalogue.models()
        for version in catalogue.versions(name)
    )


async def _describe(request: Request, model: str, version: str | None) -> JSONResponse:
    catalogue = _catalogue(request)
    found = await catalogue.find(model, version)
    card = await catalogue.describe(model, found.name)
    details = {name: card[name] for name in _DETAILS if name in card}
    return JSONResponse({"model": model, **_tell_version(catalogue, found), **details})


def _catalogue(request: Request) -> Catalogue:
    catalogue: Catalogue = request.app.state.service.catalogue
    return catalogue


def _word(healthy: bool) -> str:
    return "Healthy" if healthy else "Unhealthy"


def _tell_model(catalogue: Catalogue, name: str) -> dict[str, Any]:
    versions = [_tell_version(catalogue, catalogue.version(name, each)) for each in catalogue.versions(name)]
    return {"model": name, "default_version": catalogue.default_version(name), "versions": versions}


def _tell_version(catalogue: Catalogue, version: Version) -> dict[str, Any]:
    """What is known without asking a worker: the card's part comes once one was asked."""
    card = catalogue.card(version) or {}
    return {
        "version": version.name,
        "default": version.name == catalogue.default_version(version.model),
        "workers_ready": version.ready_workers,
        "workers_wanted": version.min_workers,
        "batch_size": version.batch_size,
        **{name: card[name] for name in ABOUT if name in card},
    }
