"""Every error that weakseg raises on purpose.

WeaksegError
├── RequestError                 the caller's fault: answered with a 4xx and a JSON body
│   ├── MissingImageError        400 image_missing
│   ├── NotAnImageError          415 image_unreadable     unknown or unsupported format
│   ├── TruncatedImageError      400 image_truncated      right header, broken data
│   ├── ImageTooLargeError       413 image_too_large      too many bytes or too many pixels
│   ├── AnswerTooLargeError      413 answer_too_large     more bytes than the server can send
│   ├── MalformedBodyError       400 body_malformed       broken JSON, base64 or text encoding
│   ├── UnknownOptionError       400 option_unknown
│   ├── OptionValueError         400 option_invalid
│   ├── UnknownClassError        400 class_unknown
│   ├── NotAcceptableError       406 format_not_acceptable
│   └── TilesTooSlowError        503 tiles_too_slow       the time of a batch ran out between two tiles
├── ModelError                   the archive's fault: start-up stops
│   ├── ModelCardError           the YAML card is missing something or contradicts the graph
│   ├── UnsupportedNetworkError  the classifier does not end in pooling + one linear layer
│   │   └── UnsupportedOperatorError  gradients cannot pass through one of its operators
│   ├── WeightsUnavailableError  pretrained weights can neither be found nor downloaded
│   └── ParityError              eager, TorchScript and ONNX Runtime disagree
├── ShapeMismatchError           arrays that belong together differ in shape (a programming error)
├── CrfInputError                a CRF's energy is not finite, or has a kernel without a width (a programming error)
├── BatchError                   a run over many photos cannot begin or go on: `weakseg batch` stops
│   └── UnusablePhotoError       one of its files cannot be sent, or what was made of it cannot be kept
└── DataError                    a data set folder lacks what an evaluation or a training needs
"""

from __future__ import annotations

from typing import ClassVar


class WeaksegError(Exception):
    """Base of all errors raised on purpose by weakseg."""


class RequestError(WeaksegError):
    """A request that cannot be answered because of what the caller sent.

    Args:
        message: What is wrong, with the value that was found.
        field: The option or part of the request that is wrong, as the caller spells it.
        remedy: What to send instead.
    """

    code: ClassVar[str] = "request_invalid"
    status: ClassVar[int] = 400
    retry_after_s: ClassVar[int | None] = None  # when the same request may do better; None: never

    def __init__(self, message: str, *, field: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.remedy = remedy

    def as_dict(self) -> dict[str, dict[str, str]]:
        """The JSON body of the answer: ``{"error": {code, field, message, remedy}}``."""
        return {
            "error": {
                "code": self.code,
                "field": self.field,
                "message": self.message,
                "remedy": self.remedy,
            }
        }

    def __str__(self) -> str:
        return f"{self.field}: {self.message} {self.remedy}"


class MissingImageError(RequestError):
    code = "image_missing"


class NotAnImageError(RequestError):
    code = "image_unreadable"
    status = 415


class TruncatedImageError(RequestError):
    code = "image_truncated"


class ImageTooLargeError(RequestError):
    code = "image_too_large"
    status = 413


class AnswerTooLargeError(RequestError):
    code = "answer_too_large"
    status = 413


class MalformedBodyError(RequestError):
    code = "body_malformed"


class UnknownOptionError(RequestError):
    code = "option_unknown"


class OptionValueError(RequestError):
    code = "option_invalid"


class UnknownClassError(RequestError):
    code = "class_unknown"


class NotAcceptableError(RequestError):
    code = "format_not_acceptable"
    status = 406


class TilesTooSlowError(RequestError):
    code = "tiles_too_slow"
    status = 503
    retry_after_s = 1


class ModelError(WeaksegError):
    """An archive or a network that cannot be exported, loaded or trusted."""


class ModelCardError(ModelError):
    """The model card (YAML in the archive) is incomplete or contradicts the graph."""


class UnsupportedNetworkError(ModelError):
    """The classifier does not end in global average pooling plus one linear or 1x1 layer."""


class UnsupportedOperatorError(UnsupportedNetworkError):
    """An operator of the network has no backward rule, or not with these settings."""


class WeightsUnavailableError(ModelError):
    """Pretrained weights can neither be found in torchvision's cache nor downloaded."""


class ParityError(ModelError):
    """Eager, TorchScript and ONNX Runtime disagree beyond the stated tolerance."""


class ShapeMismatchError(WeaksegError, ValueError):
    """Arrays that belong together differ in shape."""


class CrfInputError(WeaksegError, ValueError):
    """A CRF's energy is not finite, or one of its kernels has no width."""


class BatchError(WeaksegError):
    """A run over many photos cannot begin or go on; what is done is kept."""


class UnusablePhotoError(BatchError):
    """One file of a run cannot be read or sent, or what was made of it cannot be written; the run goes on.

    Args:
        code: As a service's codes, for programs.
        message: What is wrong, with the value that was found.
        remedy: What to do about it.
    """

    def __init__(self, message: str, *, code: str, remedy: str) -> None:
        super().__init__(f"{message} {remedy}")
        self.code = code
        self.message = message
        self.remedy = remedy


class DataError(WeaksegError):
    """A data set folder lacks what an evaluation or a training needs."""
