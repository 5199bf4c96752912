"""Requests made from a service's own OpenAPI document, good ones and bad ones, each answer checked against it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

NAMES = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
PICTURES = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff")


@schemathesis.serializer(*PICTURES)
def _as_it_is(context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def operations(url: str, token: str | None = None) -> list[Any]:
    """Every operation of the document that a service offers."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=headers)
    return [result.ok() for result in schema.get_all_operations()]


def exercise(operation: Any, mode: GenerationMode, examples: int, **changes: Any) -> Counter[int]:
    """Ask ``examples`` times, and check each answer.

    Args:
        changes: Parts of a request that are not left to chance, such as ``path_parameters``.
    Returns:
        Statuses, and how often they came.
    Raises:
        Failure: of schemathesis: a 5xx, a status or a document that is not described.
    """
    statuses: Counter[int] = Counter()
    checks = [CHECKS.get_one(name) for name in NAMES]

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        for name, value in changes.items():
            setattr(case, name, value)
        answer = case.call(timeout=60)
        statuses[answer.status_code] += 1
        case.validate_response(answer, checks=checks)

    ask()
    return statuses
