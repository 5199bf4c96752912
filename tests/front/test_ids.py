"""Request ids, from callers and of our own."""

import re

import pytest

from front.ids import request_id


@pytest.mark.parametrize("sent", [b"a", b"job-7/photo:12+x=._", b"x" * 128])
def test_a_callers_id_is_kept(sent: bytes) -> None:
    assert request_id([(b"host", b"h"), (b"x-request-id", sent)]) == sent.decode()


@pytest.mark.parametrize("sent", [b"", b"x" * 129, b"two words", b"line\nbreak", b"\xc3\xa4", b'{"a":1}'])
def test_what_is_no_id_is_replaced(sent: bytes) -> None:
    made = request_id([(b"x-request-id", sent)])
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert made != request_id([(b"x-request-id", sent)])
