"""The front as a process of its own: Granian, one worker, HTTP/1.1."""

from __future__ import annotations

import logging
import sys

from fastapi import FastAPI
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.server import Server

from front import tracing
from front.app import create_app
from front.settings import SettingsError, from_environment
from front.token_list import TokenListError, read_tokens

_LOGGING = {  # lines that are no requests go to stderr: stdout is JSON
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "generic", "stream": "ext://sys.stderr"},
    },
    "loggers": {"_granian": {"handlers": ["console"], "level": "INFO", "propagate": False}},
    "root": {"handlers": ["console"], "level": "INFO"},
}


def build() -> FastAPI:
    """What Granian's worker runs."""
    logging.getLogger().setLevel(logging.INFO)
    return create_app(from_environment(), tracing=tracing.from_environment())


def main() -> int:
    """Serve until a signal comes; requests under way are answered first."""
    try:
        settings = from_environment()
        tracing.check_environment()
        if settings.token_file:
            read_tokens(settings.token_file)  # here, since Granian would start a worker that fails again and again
    except (SettingsError, TokenListError) as error:
        print(f"weakseg: {error}", file=sys.stderr)
        return 1
    Server(
        "front.server:build",
        factory=True,
        address=settings.address.host,
        port=settings.address.port,
        interface=Interfaces.ASGI,
        workers=1,
        respawn_failed_workers=True,
        http=HTTPModes.http1,
        websockets=False,
        loop=Loops.uvloop,
        http1_settings=HTTP1Settings(header_read_timeout=round(settings.header_timeout_s * 1000)),
        backpressure=2 * settings.max_in_flight,
        workers_kill_timeout=max(1, round(settings.drain_timeout_s)),
        log_dictconfig=_LOGGING,
        log_access=False,
    ).serve()
    return 0
