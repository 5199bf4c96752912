"""The pipeline in LitServe: raw photos in, the same answers out.

Annotations are no text here: FastAPI reads them at run time.
"""

from pathlib import Path
from typing import Annotated, Any

import litserve
import typer
from fastapi import Body, Response

from weakseg.loading import open_pipeline
from weakseg.types import Answer, RawRequest


class Segmenter(litserve.LitAPI):
    """One worker's pipeline; LitServe gives it lists of up to ``max_batch_size``."""

    def __init__(self, archive: Path, options: dict[str, str], **batching: Any) -> None:
        super().__init__(api_path="/predict", **batching)
        self._archive, self._options = archive, options

    def setup(self, device: str) -> None:  # noqa: ARG002  (ours finds it itself)
        self._pipeline = open_pipeline(self._archive)

    def decode_request(self, request: Annotated[bytes, Body(media_type="image/jpeg")]) -> RawRequest:
        return RawRequest(request, dict(self._options))

    def batch(self, inputs: list[RawRequest]) -> list[RawRequest]:
        return inputs

    def unbatch(self, output: list[Answer]) -> list[Answer]:
        return output

    def predict(self, x: list[RawRequest] | RawRequest) -> list[Answer] | Answer:
        return self._pipeline.answer(x) if isinstance(x, list) else self._pipeline.answer([x])[0]

    def encode_response(self, output: Answer) -> Response:
        return Response(output.body, output.status, dict(output.headers), output.content_type)


def main(archive: Path, port: int, workers: int, batch: int, delay_ms: int) -> None:
    """Serve an archive on loopback until it is ended."""
    api = Segmenter(archive, {"format": "mask"}, max_batch_size=batch, batch_timeout=delay_ms / 1000)
    server = litserve.LitServer(api, accelerator="auto", workers_per_device=workers, timeout=120)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    typer.run(main)
