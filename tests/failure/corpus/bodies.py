"""Forms and JSON documents that are broken, too deep, too many, or of something else."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Iterator

from tests.failure.corpus.entry import PATH, REFUSED, Bad, form, form_entry, json_entry, part
from tests.failure.numbered import make_photo
from tests.failure.wire import http_request

PHOTO = make_photo(4711)
B64 = base64.b64encode(PHOTO).decode()
WRONG = frozenset({400})
MISSING = frozenset({400, 415})


def bad_bodies() -> Iterator[Bad]:
    yield from _forms()
    yield from _form_types()
    yield from _documents()
    yield from _base64()
    yield from _compressed()


def _forms() -> Iterator[Bad]:
    good = form({"classes": b"red", "image": PHOTO})
    bodies = {
        "empty": b"",
        "only its end": b"--B--\r\n",
        "another boundary": good.replace(b"--B", b"--C"),
        "cut off in the photo": good[: len(good) // 2],
        "cut off in a head": good[:30],
        "without its end": good[: -len(b"--B--\r\n")],
        "without any image": form({"classes": b"red"}),
        "an empty image": form({"image": b""}),
        "the image's name in another case": form({"IMAGE_": PHOTO}),
        "a part without a name": b"--B\r\nContent-Disposition: form-data\r\n\r\nred\r\n" + good,
        "a part without a disposition": b"--B\r\n\r\nred\r\n" + form({}),
        "a part without an end of its head": b'--B\r\nContent-Disposition: form-data; name="image"\r\n' + PHOTO,
        "NULs for line ends": good.replace(b"\r\n", b"\0\0"),
        "text before and after": b"preamble\r\n" + form({}) + b"epilogue",
        "a name of 100,000 letters": part("n" * 100_000, b"1") + good,
        "a name with quotes and line ends": part('a"; filename="x', b"1") + good,
        "a file name of a traversal": part("image", PHOTO, "Content-Type: ../../etc/passwd\r\n")[:-200] + b"--B--",
        "a head of 100,000 letters": part("classes", b"red", "X-Long: " + "x" * 100_000 + "\r\n") + form({}),
        "5,000 heads in a part": part("classes", b"red", "X-H: 1\r\n" * 5000) + form({}),
        "3,000 parts": b"".join(part(f"p{n}", b"1") for n in range(3000)) + good,
        "3,000 empty images": part("image", b"") * 3000 + form({}),
        "a form in a form": form({"image": form({"image": PHOTO}).replace(b"--B", b"--C")}),
        "a URL for an image": form({"image": b"http://127.0.0.1:9/cat.jpg"}),
        "a file's name for an image": form({"image": b"file:///etc/passwd"}),
        "a million dashes": b"-" * 1_000_000,
        "boundaries without end": b"--B\r\n" * 20_000,
    }
    for name, body in bodies.items():
        yield form_entry(f"form: {name}", body, REFUSED)


def _form_types() -> Iterator[Bad]:
    good = form({"classes": b"red", "image": PHOTO})
    types = {
        "no boundary": "multipart/form-data",
        "an empty boundary": "multipart/form-data; boundary=",
        "a boundary of 5,000 letters": "multipart/form-data; boundary=" + "b" * 5000,
        "a quoted boundary without end": 'multipart/form-data; boundary="B',
        "a boundary of blanks": 'multipart/form-data; boundary="   "',
        "of a kind that nobody knows": "multipart/unknown; boundary=B",
        "urlencoded": "application/x-www-form-urlencoded",
    }
    for name, content_type in types.items():
        yield form_entry(f"form: {name}", good, REFUSED, content_type)
    urlencoded = {
        "nothing": b"",
        "no image": b"classes=red",
        "100,000 fields": b"&".join(b"a=1" for _ in range(100_000)),
        "broken escapes": b"image=%zz%&classes=%00%ff",
        "an image's URL": b"image=http%3A%2F%2F127.0.0.1%3A9%2Fcat.jpg",
    }
    for name, body in urlencoded.items():
        yield form_entry(f"urlencoded: {name}", body, REFUSED, "application/x-www-form-urlencoded")


def _documents() -> Iterator[Bad]:
    documents = {
        "empty": b"",
        "a blank": b" ",
        "a word": b"cat",
        "a number": b"1",
        "a text": b'"image"',
        "null": b"null",
        "true": b"true",
        "a list": b'["image"]',
        "an empty object": b"{}",
        "a list of objects": json.dumps([{"image": B64}]).encode(),
        "no image": b'{"classes": ["red"]}',
        "null for an image": b'{"image": null}',
        "a number for an image": b'{"image": 7}',
        "a list for an image": b'{"image": [1, 2, 3]}',
        "an object for an image": b'{"image": {"b64": "x"}}',
        "true for an image": b'{"image": true}',
        "lists 10,000 deep": b"[" * 10_000 + b"]" * 10_000,
        "lists 10,000 deep, open": b"[" * 10_000,
        "objects 10,000 deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        "lists 1,000,000 deep, open": b"[" * 1_000_000,
        "an option 10,000 deep": b'{"image":"' + B64.encode() + b'","classes":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        "an option 900 deep": b'{"image":"' + B64.encode() + b'","classes":' + b"[" * 900 + b"]" * 900 + b"}",
        "cut off": json.dumps({"image": B64}).encode()[:-40],
        "two documents": json.dumps({"image": B64}).encode() * 2,
        "a comma too many": b'{"image": "' + B64.encode() + b'",}',
        "single quotes": b"{'image': 'abc'}",
        "NaN for a threshold": b'{"image": "' + B64.encode() + b'", "threshold": NaN}',
        "Infinity for a threshold": b'{"image": "' + B64.encode() + b'", "threshold": Infinity}',
        "a number of 100,000 digits": b'{"image": "' + B64.encode() + b'", "threshold": ' + b"9" * 100_000 + b"}",
        "an exponent beyond all": b'{"image": "' + B64.encode() + b'", "threshold": 1e999999999}',
        "20,000 names": json.dumps({"image": B64} | {f"o{n}": n for n in range(20_000)}).encode(),
        "an empty name": json.dumps({"image": B64, "": 1}).encode(),
        "a lone surrogate for a name": b'{"image": "' + B64.encode() + b'", "\\ud800": 1}',
        "a lone surrogate in the image": b'{"image": "\\ud800"}',
        "NUL bytes": b'{"image": "\0"}',
        "UTF-16": json.dumps({"image": "x"}).encode("utf-16"),
        "Latin-1": '{"image": "x", "classes": "ü"}'.encode("latin-1"),
        "a photo": PHOTO,
        "escapes without end": b'{"image": "' + b"\\u0041" * 50_000,
        "an image's URL": b'{"image": "http://169.254.169.254/latest/meta-data"}',
        "an image's url in a field": b'{"url": "file:///etc/passwd"}',
    }
    for name, body in documents.items():
        yield json_entry(f"JSON: {name}", body, REFUSED)


def _base64() -> Iterator[Bad]:
    texts = {
        "empty": "",
        "no alphabet of base64": "%%%%",
        "wrong padding": B64.rstrip("=") + "=====",
        "one letter too few": B64[:-1],
        "URL-safe letters": base64.urlsafe_b64encode(bytes(range(248, 256)) * 20).decode(),
        "of a sentence": base64.b64encode(b"A photo of a cat, please.").decode(),
        "twice": base64.b64encode(B64.encode()).decode(),
        "a data URL without data": "data:image/png;base64,",
        "a data URL without a comma": "data:image/png;base64",
        "a data URL of a data URL": f"data:image/png;base64,data:image/png;base64,{B64}",
        "hexadecimal digits": PHOTO.hex() + "f",
        "half a photo": base64.b64encode(PHOTO[: len(PHOTO) // 2]).decode(),
        "dots": "." * 100_000,
        "Unicode": "\u2603" * 1000,
        "blanks alone": " \n" * 100_000,
    }
    for name, text in texts.items():
        yield json_entry(f"base64: {name}", json.dumps({"image": text}).encode(), REFUSED)


def _compressed() -> Iterator[Bad]:
    """Nobody said that compressed bodies are unpacked: refused, or read as they are, but never unpacked without end."""
    bodies = {
        "gzip": gzip.compress(PHOTO, mtime=0),
        "deflate": zlib.compress(PHOTO),
        "br": PHOTO[::-1],
        "gzip, gzip": gzip.compress(gzip.compress(PHOTO, mtime=0), mtime=0),
        "x-nobody": PHOTO[::-1],
    }
    for encoding, body in bodies.items():
        headers = {"Content-Type": "image/png", "Content-Encoding": encoding}
        yield Bad(f"compressed: {encoding}", http_request("POST", PATH, headers, body), REFUSED)
    bomb = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    yield Bad(
        "compressed: 30 MB of blanks",
        http_request("POST", PATH, bomb, gzip.compress(b" " * 30_000_000, mtime=0)),
        REFUSED,
    )
