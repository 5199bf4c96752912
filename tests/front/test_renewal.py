"""TorchServe's keys, renewed before they end."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

from front.renewal import renew
from front.settings import Address, Settings
from front.tokens import Tokens
from front.upstream import Upstream
from tests.front.test_tokens import LATER, listed, write_keys
from tests.helpers.fake_torchserve import FakeTorchServe, fault
from tests.helpers.front import running_front
from tests.helpers.http import post

END_S = datetime.fromisoformat(LATER).timestamp()


def test_new_keys_are_asked_for_with_the_key_that_makes_them(torchserve: FakeTorchServe, tmp_path: Path) -> None:
    write_keys(tmp_path / "key_file.json")
    tokens = Tokens(tmp_path / "key_file.json", listed(tmp_path))

    async def look(until_s: float) -> None:
        upstream = Upstream(Settings(management=Address("127.0.0.1", torchserve.management_port)))
        try:
            await renew(tokens, upstream, until_s)
        finally:
            await upstream.close()

    asyncio.run(look(END_S - 1))
    assert torchserve.made_keys == []
    asyncio.run(look(END_S + 1))
    assert torchserve.made_keys == [("management", "Bearer api"), ("inference", "Bearer api")]
    torchserve.management_works = False
    asyncio.run(look(END_S + 1))  # is logged, and tried again at the next look
    assert len(torchserve.made_keys) == 4


def test_a_key_that_changed_on_the_way_is_no_fault_of_the_callers(torchserve: FakeTorchServe, tmp_path: Path) -> None:
    write_keys(tmp_path / "key_file.json")
    token_file = listed(tmp_path).path
    torchserve.worker = lambda seen: fault(400, "InvalidKeyException", "Token Authorization failed.")
    with running_front(torchserve, tmp_path, key_file=tmp_path / "key_file.json", token_file=token_file) as front:
        reply = post(f"{front.url}/predictions/weakseg", b"picture", Authorization="Bearer abc")
    assert (reply.status, reply.json["error"]["code"], reply.headers["retry-after"]) == (503, "unavailable", "2")
