"""Names of photos, relative and harmless: whatever a tar or a list calls them, nothing is written outside a folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from weakseg.errors import UnusablePhotoError

ENDINGS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"})
MAX_COMPONENT_BYTES = 255  # of a file's name on every common file system
LONGEST_ADDED = len(".heatmap.png")


def is_picture(name: str) -> bool:
    """Whether its ending is one of a picture that weakseg reads, and it is not hidden (as ``._1.jpg`` of a Mac is)."""
    path = PurePosixPath(name)
    return path.suffix.casefold() in ENDINGS and not path.name.startswith(".")


def safe_name(given: str) -> str:
    """``/data/./a//1.jpg`` to ``data/a/1.jpg``: relative, with slashes, without ``.`` and ``..``.

    Raises:
        UnusablePhotoError: it climbs out of its folder, is empty, has a NUL, or is too long for a file beside it.
    """
    parts = [part for part in given.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or "\0" in given:
        raise UnusablePhotoError(
            f"{given[:200]!r} is no name of a file inside the folder.",
            code="name_unsafe",
            remedy="Give it a relative name without '..'.",
        )
    longest = max(len(part.encode("utf-8", "surrogateescape")) for part in parts)
    if longest + LONGEST_ADDED > MAX_COMPONENT_BYTES:
        raise UnusablePhotoError(
            f"{given[:80]!r}... has a part of {longest} bytes, too long for the names of its results.",
            code="name_too_long",
            remedy=f"Shorten it to {MAX_COMPONENT_BYTES - LONGEST_ADDED} bytes.",
        )
    return "/".join(parts)


def name_of(path: Path, base: Path) -> str:
    """The name of a listed file: relative to ``base`` where it lies below it, else from the root.

    Raises:
        UnusablePhotoError: see `safe_name`.
    """
    absolute = Path(_normalise(path if path.is_absolute() else base / path))
    return safe_name(str(absolute.relative_to(base) if absolute.is_relative_to(base) else absolute))


def _normalise(path: Path) -> str:
    """Without ``.`` and ``..``, by the text alone: what a link is called is its name."""
    kept: list[str] = []
    for part in path.parts:
        if part == "..":
            if len(kept) > 1:
                kept.pop()
        else:
            kept.append(part)
    return str(Path(*kept))


def printable(name: str) -> str:
    """For a terminal: undecodable bytes and control characters as escapes."""
    visible = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in visible)
