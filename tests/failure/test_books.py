"""The tests' own instruments: photos with numbers, the client that counts, the corpus."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from tests.failure.corpus import make_corpus
from tests.failure.counting import CountingLoad
from tests.failure.numbered import BITS, WIDTH, height_of, make_mask, make_photo, read_number
from tests.helpers.photos import encode


def as_png(mask: np.ndarray) -> bytes:
    return encode(Image.fromarray(mask), "PNG")


@pytest.mark.parametrize("number", [0, 1, 4711, 21_845, 2**BITS - 1])
def test_a_mask_tells_its_photos_number(number: int) -> None:
    photo = np.asarray(Image.open(io.BytesIO(make_photo(number))))
    mask = make_mask(number)
    assert photo.shape == (height_of(number), WIDTH, 3)
    assert (photo[mask == 1] == (255, 0, 0)).all()
    assert (photo[mask == 2] == (0, 255, 0)).all()
    assert read_number(as_png(mask)) == number


def test_a_mask_that_is_wrong_in_a_pixel_is_nobodys() -> None:
    mask = make_mask(4711)
    mask[-1, -1] = 0
    with pytest.raises(ValueError, match="goes on otherwise"):
        read_number(as_png(mask))
    with pytest.raises(ValueError, match="no numbered photo"):
        read_number(as_png(mask[:, 1:]))


def test_a_number_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="65536"):
        make_photo(2**BITS)


class Liar(BaseHTTPRequestHandler):
    """Answers number 3 with the mask of 4, 5 under another id, 6 with an empty 500, 7 not at all, 8 with a 503."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request_id = self.headers["X-Request-Id"]
        number = int(request_id.rpartition("-")[2])
        assert body == make_photo(number)
        if number == 7:
            self.close_connection = True
            return
        status, answer = {6: (500, b""), 8: (503, b'{"error": {"code": "busy"}}')}.get(
            number, (200, as_png(make_mask(4 if number == 3 else number)))
        )
        self.send_response(status)
        self.send_header("X-Request-Id", "somebody-elses" if number == 5 else request_id)
        self.send_header("Content-Length", str(len(answer)))
        if number == 8:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def liar() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/predictions/liar"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_client_sees_what_is_wrong_with_answers(liar: str) -> None:
    books = CountingLoad(liar, 10, parallel=1).run()
    assert books.statuses == {200: 7, 500: 1, 503: 1, None: 1}
    assert [outcome.number for outcome in books.lost] == [7]
    said = "\n".join(books.faults)
    assert "count-3: the mask is that of photo 4" in said
    assert "count-5: the answer has the request id 'somebody-elses'" in said
    assert "count-6: no error body" in said
    assert len(books.faults) == 3
    assert books.codes["busy"] == 1
    with pytest.raises(AssertionError):
        books.check_each_answered_once(10)


def test_only_whole_books_pass(liar: str) -> None:
    books = CountingLoad(liar, 3, parallel=2).run()
    books.check_each_answered_once(3)
    with pytest.raises(AssertionError):
        books.check_each_answered_once(4)


def test_the_corpus_is_large_and_the_same_every_time() -> None:
    corpus = make_corpus()
    assert len(corpus) >= 500
    make_corpus.cache_clear()
    assert make_corpus() == corpus
    assert all(min(bad.statuses) >= 200 and max(bad.statuses - {505}) < 500 for bad in corpus.values())
