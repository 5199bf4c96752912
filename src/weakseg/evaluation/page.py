"""The gallery's page: plain HTML with relative pictures, readable on a phone, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

_STYLE = """
body { font: 16px/1.4 system-ui, sans-serif; margin: 0 auto; max-width: 1500px; padding: 0.75rem; }
h2 { margin: 1.5rem 0 0; }
h3 { font-size: 1rem; margin: 1rem 0 0.25rem; }
.row { display: flex; flex-wrap: wrap; gap: 0.5rem; }
figure { flex: 0 1 220px; margin: 0; min-width: 140px; width: calc(50% - 0.25rem); }
img { display: block; height: auto; width: 100%; }
figcaption { font-size: 0.85rem; }
"""
KNOWN_TAGS_NOTE = (
    "Rows are ranked by the IoU of the options in force, one class of one photo each, its class given (known tags). "
    "Under each mask stand its refinement and its IoU; void pixels count nowhere. "
    "The photos belong to the data set: mind their licence before you publish this page."
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One picture: a file beside the page, and what stands under it."""

    file: str
    caption: str
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Row:
    """One class of one photo."""

    image: str
    name: str
    iou: float
    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    rows: Sequence[Row]


def render_page(title: str, sections: Sequence[Section], note: str = KNOWN_TAGS_NOTE) -> str:
    """One HTML document; sections without rows are left out."""
    body = "\n".join(_render_section(section) for section in sections if section.rows)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p>{escape(note)}</p>
{body}
</body>
</html>
"""


def _render_section(section: Section) -> str:
    rows = "\n".join(_render_row(row) for row in section.rows)
    return f"<h2>{escape(section.title)}</h2>\n{rows}"


def _render_row(row: Row) -> str:
    figures = "\n".join(map(_render_figure, row.figures))
    return f'<h3>{escape(row.name)} in {escape(row.image)}: {row.iou:.1%}</h3>\n<div class="row">\n{figures}\n</div>'


def _render_figure(figure: Figure) -> str:
    size = f'width="{figure.width_px}" height="{figure.height_px}"'
    picture = f'<img src="{quote(figure.file)}" {size} loading="lazy" alt="{escape(figure.caption)}">'
    return f"<figure>{picture}<figcaption>{escape(figure.caption)}</figcaption></figure>"
