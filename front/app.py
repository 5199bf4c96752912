"""The ASGI application: routes, what they share, and what runs beside them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from fastapi import FastAPI
from prometheus_client import start_http_server
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from front import health, kserve_v1, kserve_v2, logs, openapi, predictions, renewal
from front.bodies import Intake
from front.catalogue import Catalogue
from front.errors import InternalError, NotAllowedError, NotFoundError
from front.gate import Gate
from front.kserve_errors import word
from front.metrics import Metrics
from front.observation import observe_workers, register_collectors
from front.service import Service
from front.settings import Settings
from front.token_list import TokenList
from front.tokens import Tokens
from front.tracing import Tracing
from front.under_way import UnderWay
from front.upstream import Upstream
from weakseg import __version__

log = logging.getLogger(__name__)


def create_app(settings: Settings, lines: logs.Log | None = None, tracing: Tracing | None = None) -> FastAPI:
    """The whole front; it reaches for TorchServe once its lifespan begins.

    Args:
        lines: Where requests are logged; None: on stdout.
        tracing: None: requests leave no spans.
    """
    app = FastAPI(
        title="weakseg", version=__version__, docs_url=None, redoc_url=None, lifespan=_lifespan, redirect_slashes=False
    )
    state = app.state
    state.settings = settings
    state.metrics = Metrics()
    state.intake = Intake(settings)
    callers = TokenList(settings.token_file) if settings.token_file else None
    state.tokens = Tokens(settings.key_file, callers)
    state.tracing = tracing
    app.add_middleware(
        Gate,
        intake=state.intake,
        tokens=state.tokens,
        lines=lines or logs.Log(),
        metrics=state.metrics,
        tracing=tracing,
    )
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.router.routes += predictions.routes()
    app.openapi = lambda: openapi.describe(app, settings)  # type: ignore[method-assign]  # as FastAPI wants it
    for router in (health.router, kserve_v1.router, kserve_v2.router):
        app.include_router(router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """TorchServe's connections, the catalogue's looks, and the port for Prometheus."""
    state = app.state
    async with AsyncExitStack() as stack:
        if state.tracing is not None:
            stack.callback(state.tracing.close)
        upstream = Upstream(state.settings)
        stack.push_async_callback(upstream.close)
        under_way = UnderWay()
        catalogue = Catalogue(
            upstream, partial(state.tokens.key, "management"), observe_workers(state.metrics), under_way.drop
        )
        stack.push_async_callback(catalogue.close)
        register_collectors(state.metrics.registry, catalogue, state.intake)
        state.service = Service(state.settings, upstream, catalogue, state.metrics, under_way)
        for work in (catalogue.follow(), renewal.follow(state.tokens, upstream)):
            stack.callback(asyncio.create_task(work).cancel)
        address = state.settings.metrics_address
        server, thread = start_http_server(address.port, address.host, state.metrics.registry)
        stack.callback(server.server_close)
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        yield


async def _answer_http_error(request: Request, error: Exception) -> Response:
    """404 and 405 of the framework's own."""
    assert isinstance(error, HTTPException)
    fault: NotFoundError | NotAllowedError | InternalError = InternalError()
    if error.status_code == 404:
        fault = NotFoundError(request.url.path)
    elif error.status_code == 405:
        fault = NotAllowedError(request.method, (error.headers or {}).get("Allow", "see /openapi.json"))
    reply = word(request.url.path, fault)
    logs.current().error = reply.error
    response = reply.response()
    if error.headers:
        response.headers.update(error.headers)
    return response
