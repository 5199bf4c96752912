"""What the front answers where no worker did.

RequestError (weakseg.errors)
└── FrontError
    ├── BodyTooLargeError    413 body_too_large     more bytes than this service takes
    ├── BodyTimeoutError     408 body_timeout       the body did not arrive in time
    ├── UnsupportedEncodingError  415 encoding_unsupported  a Content-Encoding that is not undone here
    ├── ClientGoneError      499 client_gone        nobody is there to be answered: in logs and metrics only
    ├── CutOffError          400 body_malformed     the body ended before its end
    ├── UnknownModelError    404 model_unknown
    ├── UnknownVersionError  404 version_unknown
    ├── NotFoundError        404 not_found          no such path
    ├── NotAllowedError      405 method_not_allowed
    ├── TokenError           401 token_missing, token_invalid, token_expired
    ├── WrongTokenError      403 token_wrong_kind
    ├── InternalError        500 internal           a bug of ours; the log has the details
    └── LaterError           503, with Retry-After: nothing is wrong with the request
        ├── BusyError            busy               too many requests, or bytes, under way at the front
        ├── QueueFullError       queue_full         too many wait for this model's workers
        ├── NoWorkerError        no_worker          the model has no worker
        ├── WorkerDiedError      worker_died        the worker ended while it had this request
        ├── WorkerTimeoutError   worker_timeout     the worker took too long and was ended
        ├── OutOfMemoryError     out_of_memory
        └── UnavailableError     unavailable        TorchServe cannot be reached: it starts, or is gone

A worker's own errors (weakseg.errors) pass through as they are.
"""

from __future__ import annotations

from typing import ClassVar

from weakseg.errors import RequestError


class FrontError(RequestError):
    """No worker has seen the request, or none could finish it."""


class BodyTooLargeError(FrontError):
    code = "body_too_large"
    status = 413

    def __init__(self, limit: int | None = None) -> None:
        bytes_ = "bytes than this service takes" if limit is None else f"than {limit:,} bytes"
        super().__init__(
            f"the body has more {bytes_}.", field="body", remedy="Send a smaller picture, or not as base64."
        )


class BodyTimeoutError(FrontError):
    code = "body_timeout"
    status = 408
    retry_after_s = 1

    def __init__(self, timeout_s: float) -> None:
        super().__init__(
            f"the body did not arrive within {timeout_s:g} s.",
            field="body",
            remedy="Send it again, over a faster connection, or send a smaller picture.",
        )


class UnsupportedEncodingError(FrontError):
    code = "encoding_unsupported"
    status = 415

    def __init__(self, encoding: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"{encoding[:40]!r} is not undone here.",
            field="Content-Encoding",
            remedy=f"Send the body as it is, or in one of: {', '.join(known)}.",
        )


class ClientGoneError(FrontError):
    code = "client_gone"
    status = 499

    def __init__(self) -> None:
        super().__init__("the client closed the connection.", field="", remedy="Wait longer for the answer.")


class CutOffError(FrontError):
    code = "body_malformed"

    def __init__(self) -> None:
        super().__init__(
            "the body ended, or broke, before all of it had come.",
            field="body",
            remedy="Send as many bytes as Content-Length says, or chunks that are whole.",
        )


class UnknownModelError(FrontError):
    code = "model_unknown"
    status = 404

    def __init__(self, model: str, known: tuple[str, ...]) -> None:
        names = f"Models: {', '.join(known[:20])}. " if known else ""
        super().__init__(
            f"there is no model {model[:80]!r}.", field="model", remedy=f"{names}GET /models describes those that are."
        )


class UnknownVersionError(FrontError):
    code = "version_unknown"
    status = 404

    def __init__(self, model: str, version: str, known: tuple[str, ...]) -> None:
        versions = f"Versions: {', '.join(known[:20])}. " if known else ""
        super().__init__(
            f"model {model[:80]!r} has no version {version[:80]!r}.",
            field="version",
            remedy=f"{versions}Leave it out for the default one.",
        )


class NotFoundError(FrontError):
    code = "not_found"
    status = 404

    def __init__(self, path: str) -> None:
        super().__init__(
            f"there is nothing at {path[:200]!r}.",
            field="path",
            remedy="POST a picture to /predictions/MODEL; GET /models names the models, GET /openapi.json everything.",
        )


class NotAllowedError(FrontError):
    code = "method_not_allowed"
    status = 405

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"{method[:20]} is not allowed here.", field="method", remedy=f"Allowed: {allowed}.")


class TokenError(FrontError):
    """Who asks is not known."""

    status = 401
    what: ClassVar[str]

    def __init__(self) -> None:
        super().__init__(
            self.what, field="Authorization", remedy="Send Authorization: Bearer KEY with the current inference key."
        )


class TokenMissingError(TokenError):
    code = "token_missing"
    what = "the request has no Authorization: Bearer header."


class TokenInvalidError(TokenError):
    code = "token_invalid"
    what = "this is none of the service's keys."


class TokenExpiredError(TokenError):
    code = "token_expired"
    what = "this key has expired."


class WrongTokenError(FrontError):
    code = "token_wrong_kind"
    status = 403

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"this is the {kind} key.",
            field="Authorization",
            remedy="Send the inference key; this one opens another API.",
        )


class InternalError(FrontError):
    code = "internal"
    status = 500

    def __init__(self) -> None:
        super().__init__(
            "the service failed on this request; the log has the details.",
            field="",
            remedy="Report it with the request id of this answer (X-Request-Id).",
        )


class LaterError(FrontError):
    """The same request may do better later."""

    status = 503
    retry_after_s = 1
    why: ClassVar[str]

    def __init__(self, model: str = "") -> None:
        super().__init__(
            self.why.format(model=model[:80]), field="", remedy=f"Send it again in {self.retry_after_s} s."
        )


class BusyError(LaterError):
    code = "busy"
    why = "too many requests are under way."


class QueueFullError(LaterError):
    code = "queue_full"
    why = "too many requests wait for a worker of model {model!r}."


class NoWorkerError(LaterError):
    code = "no_worker"
    retry_after_s = 5
    why = "model {model!r} has no worker at the moment."


class WorkerDiedError(LaterError):
    code = "worker_died"
    retry_after_s = 2
    why = "the worker of model {model!r} ended while it had this request."


class WorkerTimeoutError(LaterError):
    code = "worker_timeout"
    retry_after_s = 5
    why = "model {model!r} did not answer in time."


class OutOfMemoryError(LaterError):
    code = "out_of_memory"
    retry_after_s = 2
    why = "there was not enough memory for this request."


class UnavailableError(LaterError):
    code = "unavailable"
    retry_after_s = 2
    why = "the models cannot be reached at the moment; the service starts, or is being restarted."
