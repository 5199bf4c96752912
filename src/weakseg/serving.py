"""One worker of a server: rows and a context in, bytes out.

The context is TorchServe's, but nothing of TorchServe is imported here: its handlers (``handlers/``) are subclasses.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar

import torch

from weakseg import telemetry
from weakseg.archive import THREADS_VARIABLE, open_archive
from weakseg.card import Method, ModelCard
from weakseg.describe import describe_model
from weakseg.envelope import is_envelope, unpack
from weakseg.errors import ModelError, RequestError
from weakseg.failures import encode_failure
from weakseg.pipeline import Pipeline
from weakseg.runtime import open_runtime
from weakseg.threads import limit_threads
from weakseg.types import Answer, RawRequest
from weakseg.wire import read_request


class ModelWorker:
    """One worker's model. A row that fails answers for itself: an exception would fail the whole batch."""

    methods: ClassVar[tuple[Method, ...]]  # whose archives it serves

    def initialize(self, context: Any) -> None:
        """Load the archive that TorchServe unpacked.

        Raises:
            ModelError: its method is none of this handler's.
        """
        properties = context.system_properties
        archive = open_archive(Path(properties["model_dir"]))
        card = _with_threads(archive.card, os.environ)
        if card.method not in self.methods:
            raise ModelError(f"{type(self).__name__} serves {', '.join(self.methods)}, not {card.method}.")
        limit_threads(card.threads)
        gpu = properties.get("gpu_id") if torch.cuda.is_available() else None
        runtime = open_runtime(card, archive.read_file, gpu=gpu)
        self._pipeline = Pipeline(card, runtime)
        self._pipeline.warm_up()
        # TorchServe prints two lines per batch at level INFO, which its Java side reads and parses.
        logging.getLogger().setLevel(logging.WARNING)

    def handle(self, rows: Sequence[Mapping[str, Any]], context: Any) -> list[bytes]:
        """Answer a batch; status, content type and headers go to the context, by index."""
        arrived_s = time.monotonic()
        read = [self._read(row, index, context) for index, row in enumerate(rows)]
        waiting = [item for item in read if not isinstance(item, Answer)]
        made = iter(self._pipeline.answer(waiting))
        answers = [item if isinstance(item, Answer) else next(made) for item in read]
        for index, answer in enumerate(answers):
            _set_head(answer, index, context)
        _set_telemetry(read, answers, arrived_s, context)
        return [answer.body for answer in answers]

    def _read(self, row: Mapping[str, Any], index: int, context: Any) -> RawRequest | RequestError | Answer:
        # Beside the request's headers there is a dict per form field; those are no headers.
        headers = {name: text for name, text in context.get_all_request_header(index).items() if isinstance(text, str)}
        try:
            if headers.get("describe") == "True":  # GET /models/NAME?customized=true
                return describe_model(self._pipeline.card, self._pipeline.runtime)
            if is_envelope(headers):
                return _open_envelope(row)
            return read_request(row, headers, explain=headers.get("explain") == "True")
        except RequestError as error:
            return error
        except Exception as error:
            return encode_failure(error)


def _with_threads(card: ModelCard, environment: Mapping[str, str]) -> ModelCard:
    """The card, with as many threads as the launcher found cores for, where it says so."""
    threads = environment.get(THREADS_VARIABLE)
    return card if threads is None else card.model_copy(update={"threads": int(threads)})


def _set_telemetry(
    read: Sequence[RawRequest | RequestError | Answer], answers: Sequence[Answer], arrived_s: float, context: Any
) -> None:
    """What the front is told of its requests; the batch's size only once."""
    batch_size: int | None = len(read)
    for index, (request, answer) in enumerate(zip(read, answers, strict=True)):
        if isinstance(request, RawRequest) and request.sent_s is not None and answer.telemetry is not None:
            told = answer.telemetry.in_batch(arrived_s - request.sent_s, batch_size)
            context.set_response_header(index, telemetry.HEADER, told.to_header())
            batch_size = None


def _open_envelope(row: Mapping[str, Any]) -> RawRequest:
    """What the HTTP front sent."""
    head, image = unpack(row.get("body") or row.get("data") or b"")
    return RawRequest(image, head.options, head.accept, head.explain, head.request_id, head.sent_s)


def _set_head(answer: Answer, index: int, context: Any) -> None:
    context.set_response_status(answer.status, HTTPStatus(answer.status).phrase, index)
    context.set_response_content_type(index, answer.content_type)
    for name, text in answer.headers.items():
        context.set_response_header(index, name, text)
