"""How the service is, and which models it has."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from front.catalogue import Catalogue
from weakseg import __version__

router = APIRouter()


def _catalogue(request: Request) -> Catalogue:
    catalogue: Catalogue = request.app.state.service.catalogue
    return catalogue


@router.get("/ping")
async def ping(request: Request) -> JSONResponse:
    """Whether any model can answer, in TorchServe's words."""
    healthy = _is_healthy(_catalogue(request))
    return JSONResponse({"status": "Healthy" if healthy else "Unhealthy"}, 200 if healthy else 503)


@router.get("/health")
async def health(request: Request) -> JSONResponse:
    """Whether any model can answer, and with what."""
    catalogue = _catalogue(request)
    healthy = _is_healthy(catalogue)
    models = {
        name: [_tell(catalogue, name, version) for version in catalogue.versions(name)] for name in catalogue.models()
    }
    document = {"status": "Healthy" if healthy else "Unhealthy", "software": f"weakseg {__version__}", "models": models}
    return JSONResponse(document, 200 if healthy else 503)


def _is_healthy(catalogue: Catalogue) -> bool:
    return any(catalogue.version(name).ready_workers for name in catalogue.models())


def _tell(catalogue: Catalogue, model: str, name: str) -> dict[str, object]:
    version = catalogue.version(model, name)
    return {
        "version": name,
        "default": name == catalogue.default_version(model),
        "workers_ready": version.ready_workers,
        "workers_wanted": version.min_workers,
        "batch_size": version.batch_size,
    }
