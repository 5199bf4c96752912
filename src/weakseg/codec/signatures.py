"""Which picture format a file's first bytes announce."""

from __future__ import annotations

from weakseg.errors import NotAnImageError

ACCEPTED = ("JPEG", "PNG", "WebP", "BMP", "TIFF")
REMEDY = f"Send a picture as {', '.join(ACCEPTED[:-1])} or {ACCEPTED[-1]}."

_PREFIXES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF
    (b"MM\0+", "TIFF"),
    (b"GIF8", "GIF"),
    (b"8BPS", "Photoshop document"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"%PDF", "PDF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\1\0", "Windows icon"),
    (b"PK\3\4", "ZIP archive"),
    (b"\x1f\x8b", "gzip file"),
)


def recognise_format(data: bytes) -> str:
    """The accepted format that ``data`` announces: one of ``ACCEPTED``.

    Raises:
        NotAnImageError: Another kind of file; the message names it where it is a common one.
    """
    found = _find_name(data)
    if found not in ACCEPTED:
        raise NotAnImageError(f"This is {found}, not an accepted picture.", field="image", remedy=REMEDY)
    return found


def _find_name(data: bytes) -> str:
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        return f"a video, HEIC or AVIF file (brand {data[8:12].decode('ascii', 'replace')!r})"
    for prefix, name in _PREFIXES:
        if data.startswith(prefix):
            return name if name in ACCEPTED else f"a {name}"
    return "text" if _is_text(data[:256]) else "no known kind of file"


def _is_text(head: bytes) -> bool:
    return all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
