"""Methods, paths, heads and lengths that are wrong; bytes that are no HTTP."""

from __future__ import annotations

from collections.abc import Iterator

from tests.failure.corpus.entry import PATH, Bad
from tests.failure.numbered import make_photo
from tests.failure.wire import http_request
from weakseg.envelope import MEDIA_TYPE, Head, pack

PHOTO = make_photo(815)
NOT_HTTP = frozenset({400, 404, 405, 408, 414, 431, 505})
UNKNOWN = frozenset({400, 404, 405})
TOO_LONG = frozenset({400, 413, 414, 431})
GOOD_HEAD = {"Content-Type": "image/png"}
LENGTH = len(PHOTO)


def bad_protocol() -> Iterator[Bad]:
    yield from _methods()
    yield from _paths()
    yield from _floods()
    yield from _lengths()
    yield from _smuggling()
    yield from _no_http()
    yield from _heads()


def _methods() -> Iterator[Bad]:
    for method in ("GET", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "BREW", "post", "A" * 500):
        request = http_request(method, PATH, GOOD_HEAD, b"" if method in ("GET", "HEAD") else PHOTO)
        yield Bad(f"method {method[:20]}", request, UNKNOWN, may_close=True)
    yield Bad("method CONNECT", b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: a\r\n\r\n", UNKNOWN, may_close=True)


def _paths() -> Iterator[Bad]:
    paths = {
        "no model": "/predictions/",
        "no model, no slash": "/predictions",
        "an unknown model": "/predictions/nobody",
        "an unknown version": f"{PATH}/99.9",
        "a traversal": "/predictions/../../../../etc/passwd",
        "an encoded traversal": "/predictions/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "a traversal encoded twice": "/predictions/%252e%252e%252fetc%252fpasswd",
        "an overlong traversal": "/predictions/..%c0%af..%c0%afetc",
        "a traversal in the version": f"{PATH}/..%2f..%2fmodels",
        "backslashes": "/predictions/..\\..\\windows\\win.ini",
        "a NUL": "/predictions/numb%00ered",
        "line ends": "/predictions/numbered%0d%0aX-Injected:%201",
        "a broken escape": "/predictions/%zz",
        "8,000 letters": "/predictions/" + "a" * 8000,
        "70,000 letters": "/predictions/" + "a" * 70_000,
        "a query of 70,000 letters": f"{PATH}?a=" + "a" * 70_000,
        "5,000 slashes": "/" * 5000,
        "Unicode": "/predictions/katze\u2603",
        "a template": "/predictions/{{7*7}}",
        "a shell's line": "/predictions/$(id);`id`|id",
        "SQL": "/predictions/1%27%20OR%20%271%27=%271",
        "management": "/models/numbered",
        "management by a traversal": "/predictions/../models/numbered",
        "the worker's envelope": "/predictions/numbered/1/2/3/4",
        "workflow": "/wfpredict/numbered",
        "invocations": "/invocations",
        "an asterisk": "*",
        "another host's": "http://127.0.0.1:9/predictions/numbered/none",
        "no path": "",
        "a file": "/etc/passwd",
        "version control": "/.git/config",
    }
    for name, path in paths.items():
        yield Bad(f"path: {name}", http_request("POST", path, GOOD_HEAD, PHOTO), UNKNOWN | TOO_LONG, may_close=True)


def _floods() -> Iterator[Bad]:
    floods = {
        "a head of 100,000 letters": {"X-Long": "x" * 100_000},
        "a head of 1,000,000 letters": {"X-Long": "x" * 1_000_000},
        "a name of 70,000 letters": {"X" * 70_000: "1"},
        "10,000 heads": {f"X-{n}": "1" for n in range(10_000)},
        "500 unknown options": {f"X-Weakseg-O{n}": "1" for n in range(500)},
        "a cookie of 200,000 letters": {"Cookie": "a=1; " * 40_000},
        "an Accept of 200,000 letters": {"Accept": "a/b," * 50_000},
        "a token of 200,000 letters": {"Authorization": "Bearer " + "t" * 200_000},
    }
    for name, headers in floods.items():
        request = http_request("POST", PATH, GOOD_HEAD | headers, PHOTO)
        yield Bad(f"flood: {name}", request, TOO_LONG, may_close=True)


def _lengths() -> Iterator[Bad]:
    lengths = {
        "negative": "-1",
        "a word": "long",
        "hexadecimal": "0x100",
        "with a plus": f"+{LENGTH}",
        "a fraction": "1.5",
        "beyond 64 bits": "9" * 30,
        "empty": "",
        "two in one": f"{LENGTH}, {LENGTH + 1}",
    }
    for name, length in lengths.items():
        request = http_request("POST", PATH, GOOD_HEAD | {"Content-Length": length}, PHOTO)
        yield Bad(f"length: {name}", request, frozenset({400, 411, 413}), may_close=True)
    for name, declared in (("two bytes more", LENGTH + 2), ("ten times", 10 * LENGTH)):
        request = http_request("POST", PATH, GOOD_HEAD | {"Content-Length": str(declared)}, PHOTO)
        yield Bad(f"length: {name} than came", request, frozenset({400, 408}), may_close=True, ends=True)
    short = http_request("POST", PATH, GOOD_HEAD | {"Content-Length": str(LENGTH // 2)}, PHOTO)
    yield Bad("length: half of what came", short, frozenset({400, 415}))
    huge = http_request("POST", PATH, GOOD_HEAD | {"Content-Length": str(2**33)}, PHOTO)
    yield Bad("length: 8 GiB promised", huge, frozenset({400, 413}), may_close=True, ends=True)
    none = http_request("POST", PATH, GOOD_HEAD | {"Content-Length": "0"})
    yield Bad("length: none", none, frozenset({400}))


def _smuggling() -> Iterator[Bad]:
    """Two lengths: whoever reads them otherwise than the next one sees another request."""
    chunked = f"{LENGTH:x}\r\n".encode() + PHOTO + b"\r\n0\r\n\r\n"
    bodies = {
        "a length and chunks": ({"Content-Length": "4", "Transfer-Encoding": "chunked"}, chunked),
        "chunks, oddly written": ({"Transfer-Encoding": "xchunked"}, chunked),
        "chunks twice": ({"Transfer-Encoding": "chunked, chunked"}, chunked),
        "identity": ({"Transfer-Encoding": "identity"}, chunked),
        "gzip and chunks": ({"Transfer-Encoding": "gzip, chunked"}, chunked),
        "a size that is none": ({"Transfer-Encoding": "chunked"}, b"zz\r\n" + PHOTO + b"\r\n0\r\n\r\n"),
        "a negative size": ({"Transfer-Encoding": "chunked"}, b"-5\r\n" + PHOTO + b"\r\n0\r\n\r\n"),
        "a size of 16 digits": ({"Transfer-Encoding": "chunked"}, b"fffffffffffffffff\r\n" + PHOTO),
        "a size's extension of 100,000 letters": (
            {"Transfer-Encoding": "chunked"},
            b"4;" + b"x" * 100_000 + b"\r\nabcd",
        ),
        "no last chunk": ({"Transfer-Encoding": "chunked"}, f"{LENGTH:x}\r\n".encode() + PHOTO + b"\r\n"),
        "10,000 trailers": ({"Transfer-Encoding": "chunked"}, chunked[:-2] + b"X-T: 1\r\n" * 10_000 + b"\r\n"),
    }
    fine = frozenset({200, 400, 408, 411, 413, 415, 431})
    for name, (headers, body) in bodies.items():
        request = http_request("POST", PATH, GOOD_HEAD | headers, body)
        yield Bad(f"smuggling: {name}", request, fine, may_close=True, ends=True)
    twice = http_request("POST", PATH, GOOD_HEAD, PHOTO).replace(
        b"Content-Length", b"Content-Length: 3\r\nContent-Length"
    )
    yield Bad("smuggling: two lengths", twice, frozenset({400}), may_close=True)


def _no_http() -> Iterator[Bad]:
    things = {
        "nothing": b"",
        "a line end": b"\r\n",
        "NULs": bytes(500),
        "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        "an SSH banner": b"SSH-2.0-OpenSSH_9.6\r\n",
        "HTTP/0.9": b"GET /\r\n",
        "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HTTP/3.0": b"POST " + PATH.encode() + b" HTTP/3.0\r\nHost: a\r\n\r\n",
        "another protocol": b"POST / FTP/1.0\r\n\r\n",
        "a line without end": b"POST " + b"a" * 200_000,
        "Redis": b"*1\r\n$4\r\nPING\r\n",
        "line feeds alone": http_request("POST", "/nowhere", GOOD_HEAD, PHOTO).replace(b"\r\n", b"\n"),
        "a folded head": b"POST "
        + PATH.encode()
        + b" HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n  2\r\nContent-Length: 0\r\n\r\n",
        "a head without a colon": b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost a\r\nContent-Length: 0\r\n\r\n",
        "a blank before the colon": b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost : a\r\nContent-Length: 0\r\n\r\n",
        "a NUL in a head": b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: a\r\nX-A: \0\r\nContent-Length: 0\r\n\r\n",
        "half a head": b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: a\r\nX-Half",
    }
    for name, request in things.items():
        yield Bad(f"no HTTP: {name}", request, NOT_HTTP, may_close=True, ends=True)


def _heads() -> Iterator[Bad]:
    envelope = pack(Head(options={"classes": "red"}, explain=True, request_id="forged"), PHOTO)
    request = http_request("POST", PATH, {"Content-Type": MEDIA_TYPE}, envelope)
    yield Bad("head: a forged envelope", request, frozenset({400, 415}))
    heads = {
        "an Accept of nothing that is made": ({"Accept": "video/mp4"}, frozenset({406})),
        "an Accept of garbage": ({"Accept": ";;;,,,q=q=q"}, frozenset({200, 400, 406})),
        "a quality that is no number": ({"Accept": "image/png;q=NaN, text/html;q=inf"}, frozenset({200, 400, 406})),
        "an expectation of nobody": ({"Expect": "a-miracle"}, frozenset({200, 400, 417})),
        "an upgrade": ({"Connection": "Upgrade", "Upgrade": "websocket"}, frozenset({200, 400, 404, 426})),
        "HTTP/2 by an upgrade": ({"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c"}, frozenset({200, 400})),
        "a range": ({"Range": "bytes=0-18446744073709551615"}, frozenset({200, 400, 416})),
        "another host": ({"Host": "evil.example"}, frozenset({200, 400, 421})),
        "a content type of garbage": ({"Content-Type": "\u2603/;;;="}, frozenset({200, 400, 415})),
        "the worker's own type": ({"Content-Type": "application/x-weakseg"}, frozenset({200, 400, 415})),
        "a request id with line ends": ({"X-Request-Id": "a%0d%0aSet-Cookie: b"}, frozenset({200, 400})),
        "a request id of 60,000 letters": ({"X-Request-Id": "a" * 60_000}, frozenset({200, 400, 431})),
        "a telemetry of its own": ({"X-Weakseg-Telemetry": "{}"}, frozenset({200, 400})),
        "describe": ({"describe": "True"}, frozenset({200, 400})),
        "a trace of garbage": ({"traceparent": "00-zz-zz-zz", "tracestate": "=" * 5000}, frozenset({200, 400})),
    }
    for name, (headers, statuses) in heads.items():
        yield Bad(
            f"head: {name}",
            http_request("POST", PATH, GOOD_HEAD | headers, PHOTO),
            statuses,
            may_close="\u2603" in name,
        )
