"""TorchServe's keys that the front itself needs are renewed before they end: nobody else would do it in time.

These are management's, by which models and workers are seen, and, where callers have tokens of their own
(`front.token_list`), inference's. Where callers send TorchServe's inference key it is theirs to renew.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from front.errors import UnavailableError
from front.tokens import Tokens
from front.upstream import Upstream

_CHECK_S = 5.0
_AHEAD_S = 15.0
_API = "API"  # the key that makes keys; it never ends
log = logging.getLogger(__name__)


async def follow(tokens: Tokens, upstream: Upstream) -> None:
    """Look again and again, until cancelled."""
    while True:
        await renew(tokens, upstream, datetime.now(UTC).timestamp() + _AHEAD_S)
        await asyncio.sleep(_CHECK_S)


async def renew(tokens: Tokens, upstream: Upstream, until_s: float) -> None:
    """New keys in place of those that end before ``until_s``, in seconds since 1970."""
    for api in tokens.ending(until_s):
        try:
            await upstream.make_key(api, tokens.key(_API))
        except UnavailableError:
            log.warning("TorchServe made no new %s key, and the old one ends", api)
        else:
            log.info("TorchServe made a new %s key, as the old one ends", api)
