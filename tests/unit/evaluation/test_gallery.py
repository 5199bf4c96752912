"""The page of pictures; IoUs are worked out by hand from tests/helpers/tiny_voc.py."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import pytest

from tests.unit.evaluation.conftest import Bench
from weakseg.evaluation.counting import KNOWN, Record
from weakseg.evaluation.gallery import Ranked, choose_rows, rank
from weakseg.evaluation.page import Figure, Row, Section, render_page
from weakseg.evaluation.run import run


def make_record(image: str, counts: dict[str, list[int]]) -> Record:
    return Record(image, {KNOWN: {"in_force": counts}}, {}, {})


def test_ranked_by_iou_then_name() -> None:
    records = [
        make_record("b", {"dog": [1, 1, 0, 9], "cat": [3, 0, 1, 0]}),
        make_record("a", {"dog": [2, 1, 1, 0]}),
        make_record("c", {}),
    ]
    assert rank(records) == [Ranked("b", "cat", 0.75), Ranked("a", "dog", 0.5), Ranked("b", "dog", 0.5)]


@pytest.mark.parametrize(
    ("rows", "images", "expected"),
    [
        (9, 2, ([0, 1], [3, 4], [7, 8])),
        (7, 1, ([0], [3], [6])),
        (6, 8, ([0, 1], [2, 3], [4, 5])),
        (2, 8, ([0], [], [1])),
        (1, 8, ([0], [], [])),
    ],
)
def test_best_median_and_worst(rows: int, images: int, expected: tuple[list[int], ...]) -> None:
    ranked = [Ranked("image", str(index), 1 - index / 10) for index in range(rows)]
    found = choose_rows(ranked, images)
    assert tuple([int(row.name) for row in part] for part in found) == expected


class Links(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]


def draw(bench: Bench, **changes: object) -> str:
    run(replace(bench.order, gallery_images=8, **changes), bench.said.append)
    return (bench.out / "gallery" / "index.html").read_text(encoding="utf-8")


def test_a_page_of_rows_with_relative_pictures_only(bench: Bench) -> None:
    page = draw(bench)
    # tall: every pixel is right. wide: 768 hits, 256 false alarms, 256 misses (test_run.py).
    assert re.findall(r"<h3>(.*)</h3>", page) == ["cat in tall: 100.0%", "cat in wide: 60.0%"]
    assert page.count("<figcaption>photo<") == page.count("<figcaption>ground truth<") == 2
    assert "<figcaption>none (in force): 60.0%<" in page
    assert "<figcaption>grabcut: " in page
    links = Links(page).found
    assert sorted(links) == sorted(path.name for path in (bench.out / "gallery").glob("*.jpg"))
    assert 'name="viewport"' in page
    assert "gallery in out/gallery/index.html" in bench.said


def test_pictures_have_the_photos_shape_and_show_the_mask(bench: Bench) -> None:
    draw(bench)
    folder = bench.out / "gallery"
    pictures = {path.name: cv2.imread(str(path)).astype(int) for path in folder.glob("wide_*.jpg")}  # (64, 96, 3)
    assert {picture.shape for picture in pictures.values()} == {(64, 96, 3)}
    truth, photo = pictures["wide_cat_truth.jpg"], pictures["wide_cat_photo.jpg"]
    assert abs(truth[20:44, 20:23] - photo[20:44, 20:23]).mean() > 20, "black photo, tinted inside the cat"
    assert abs(truth[50:, :8] - photo[50:, :8]).mean() < 5, "black outside stays black"


def test_the_refinements_that_were_asked_for(bench: Bench) -> None:
    page = draw(bench, refines=("none",))
    assert "grabcut" not in page
    assert page.count("<figcaption>none (in force): ") == 2


def test_flags_leave_out_the_refinements_that_contradict_them(bench: Bench) -> None:
    page = draw(bench, options={"iterations": "2"})
    assert page.count("<figcaption>grabcut (in force): ") == 2
    assert "<figcaption>none" not in page


def test_another_gallery_leaves_no_old_pictures(bench: Bench) -> None:
    draw(bench)
    (bench.out / "gallery" / "old.jpg").touch()
    draw(bench)
    assert not (bench.out / "gallery" / "old.jpg").exists()


def test_names_are_escaped() -> None:
    page = render_page("<m>", [Section("Best", [Row("a&b", "cat", 1, [Figure("a b.jpg", "<c>", 3, 2)])])])
    assert "<h1>&lt;m&gt;</h1>" in page
    assert "cat in a&amp;b: 100.0%" in page
    assert 'src="a%20b.jpg" width="3" height="2"' in page
    assert 'alt="&lt;c&gt;"' in page


def test_the_gallery_is_not_in_git() -> None:
    assert "/out/" in Path(__file__).parents[3].joinpath(".gitignore").read_text().splitlines()
