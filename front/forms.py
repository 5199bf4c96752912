"""multipart/form-data, of a body that is in memory already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from weakseg.errors import MalformedBodyError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_PARTS = 100
MAX_FIELD_BYTES = 65_536  # of a field other than the picture
_IMAGE = "image"
_PIECE = 1 << 20  # bytes that are parsed at once
_REMEDY = "Send multipart/form-data as a browser or curl -F does: the picture as field 'image', options as fields."


def parse_form(body: bytes, content_type: str) -> dict[str, bytes]:
    """Field name to content. Of a field that comes twice the last one is kept.

    Raises:
        MalformedBodyError: it is broken, cut off, or has too many or too large fields.
    """
    _, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary")
    if not boundary or len(boundary) > 256:
        raise _malformed("its Content-Type names no boundary")
    form = _Form()
    parser = MultipartParser(boundary, form.callbacks())
    view = memoryview(body)
    try:
        for start in range(0, len(body), _PIECE):
            parser.write(bytes(view[start : start + _PIECE]))
        parser.finalize()
    except FormParserError as error:
        raise _malformed(str(error)[:200]) from error
    if not form.is_whole:
        raise _malformed("it ends before its last boundary")
    return form.fields


class _Form:
    """What the parser's callbacks gather."""

    def __init__(self) -> None:
        self.fields: dict[str, bytes] = {}
        self.is_whole = False
        self._parts = 0
        self._name: str | None = None
        self._content: list[bytes] = []
        self._size = 0
        self._header_name, self._header_value = b"", b""
        self._disposition = b""

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin_part,
            "on_header_begin": self._begin_header,
            "on_header_field": self._take_header_name,
            "on_header_value": self._take_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._take_content,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _malformed(f"it has more than {MAX_PARTS} parts")
        self._name, self._content, self._size, self._disposition = None, [], 0, b""

    def _begin_header(self) -> None:
        self._header_name, self._header_value = b"", b""

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name = _grown(self._header_name, data[start:end])

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value = _grown(self._header_value, data[start:end])

    def _end_header(self) -> None:
        if self._header_name.strip().lower() == b"content-disposition":
            self._disposition = self._header_value

    def _end_headers(self) -> None:
        kind, parameters = parse_options_header(self._disposition)
        name = parameters.get(b"name")
        if kind != b"form-data" or name is None:
            raise _malformed("a part has no Content-Disposition: form-data with a name")
        self._name = name.decode("utf-8", "replace")

    def _take_content(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._name != _IMAGE and self._size > MAX_FIELD_BYTES:
            raise _malformed(f"field {str(self._name)[:80]!r} has more than {MAX_FIELD_BYTES:,} bytes")
        self._content.append(data[start:end])

    def _end_part(self) -> None:
        if self._name is not None:
            self.fields[self._name] = b"".join(self._content)
        self._content = []

    def _end(self) -> None:
        self.is_whole = True


def _grown(text: bytes, more: bytes) -> bytes:
    if len(text) + len(more) > MAX_FIELD_BYTES:
        raise _malformed(f"a part has a header of more than {MAX_FIELD_BYTES:,} bytes")
    return text + more


def _malformed(why: str) -> MalformedBodyError:
    return MalformedBodyError(f"the form cannot be read: {why}.", field="body", remedy=_REMEDY)
