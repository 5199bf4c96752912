"""Options of no meaning, in each of the ways that options travel."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable, Iterator
from itertools import cycle

from tests.failure.corpus.entry import PATH, Bad, form, form_entry, photo_entry
from tests.failure.numbered import make_photo
from tests.failure.wire import http_request
from weakseg.options import OPTION_NAMES

PHOTO = make_photo(21_845)
WRONG = frozenset({400})
HEADER_WRONG = frozenset({400, 431})
ABSURD = {  # wrong for every option
    "NaN": "NaN",
    "infinity": "inf",
    "beyond a float": "1e309",
    "minus 1e308": "-1e308",
    "nested": "[[[[[[[[1]]]]]]]]",
    "an object": '{"a": 1}',
    "Unicode": "\u2603\U0001f600\u202e",
    "a traversal": "../../../../etc/passwd",
    "a format string": "%s%n{0.__class__}",
    "a huge list": ",".join("7" for _ in range(2000)),
}
NAMES = {
    "unknown": "treshold",
    "with a blank": "thres hold",
    "empty": "",
    "of 5,000 letters": "a" * 5000,
    "Unicode": "schwelle\u00fc\U0001f600",
    "a dunder": "__class__",
    "a model's field": "model_config",
    "a traversal": "../image",
    "an index": "classes[0]",
    "a NUL": "thres\0hold",
}


def bad_options() -> Iterator[Bad]:
    ways = cycle((_in_form, _in_header, _in_query, _in_json))
    for place, option in enumerate(OPTION_NAMES):
        for kind, value in list(ABSURD.items())[place % 2 :: 2]:
            yield next(ways)(f"option {option}: {kind}", option, value)
    for kind, name in NAMES.items():
        yield _in_form(f"option name {kind}", name, "1")
        yield _in_json(f"option name {kind}", name, "1")
    yield from _control_characters()
    yield from _contradictions()


def _in_form(name: str, option: str, value: str) -> Bad:
    return form_entry(f"{name} (form)", form({option: value.encode(), "image": PHOTO}), WRONG)


def _in_header(name: str, option: str, value: str) -> Bad:
    headers = {f"X_Weakseg_{option}": value}
    return photo_entry(f"{name} (header)", PHOTO, HEADER_WRONG, **headers)


def _in_query(name: str, option: str, value: str) -> Bad:
    query = urllib.parse.urlencode({option: value})
    request = http_request("POST", f"{PATH}?{query}", {"Content-Type": "image/png"}, PHOTO)
    return Bad(f"{name} (query)", request, frozenset({400, 414, 431}))


def _in_json(name: str, option: str, value: str) -> Bad:
    return _json_options(f"{name} (JSON)", {option: value})


def _json_options(name: str, options: dict[str, object]) -> Bad:
    import base64

    body = json.dumps({"image": base64.b64encode(PHOTO).decode(), **options}).encode()
    return Bad(name, http_request("POST", PATH, {"Content-Type": "application/json"}, body), WRONG)


def _control_characters() -> Iterator[Bad]:
    for code in (0, 1, 7, 8, 0x1B, 0x7F):
        value = f"red{chr(code)}"
        yield _in_form(f"option classes: character {code}", "classes", value)
    raw = http_request("POST", PATH, {"X-Weakseg-Classes": "red\0", "Content-Type": "image/png"}, PHOTO)
    yield Bad("option classes: a NUL (header)", raw, HEADER_WRONG)
    yield form_entry("option classes: no UTF-8", form({"classes": b"\xff\xfe\x80", "image": PHOTO}), WRONG)


TYPES: dict[str, Callable[[], object]] = {
    "a list of lists": lambda: [["red"]],
    "an object": lambda: {"red": 1},
    "true": lambda: True,
    "a number of 400 digits": lambda: 10**400,
    "a fraction": lambda: 0.5,
    "minus one": lambda: -1,
    "ten thousand names": lambda: ["red"] * 5 + [f"c{n}" for n in range(10_000)],
    "empty texts": lambda: ["", ""],
    "a null inside": lambda: [None, "red"],
    "a lone surrogate": lambda: "\ud800",
}


def _contradictions() -> Iterator[Bad]:
    for kind, make in TYPES.items():
        yield _json_options(f"option classes: {kind} (JSON)", {"classes": make()})
    for box in ([0, 0, 0, 0], [5, 5, 1, 1], [-5, 0, 9, 9], [0, 0, 10**9, 10**9], [0, 0, 1], ["a"] * 4, [None] * 4, 7):
        yield _json_options(f"option box: {box} (JSON)", {"box": box})
    both: list[dict[str, object]] = [
        {"refine": "auto", "threshold": 0.5},
        {"refine": "crf", "budget_ms": 20},
        {"classes": "none"},
        {"classes": "auto,red"},
        {"classes": ["red"] * 3 + ["unicorn"]},
        {"subtract_classes": 3},
        {"guided_radius": 0.1, "crf_steps": 3},
        {"max_side": 4096},
        {"refine": "grabcut+crf"},
        {"grabcut_mode": "0.9,0.5,0.1"},
    ]
    for options in both:
        yield _json_options(f"options {json.dumps(options)}", options)
