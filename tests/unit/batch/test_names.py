from pathlib import Path

import pytest

from weakseg.batch.names import is_picture, name_of, printable, safe_name
from weakseg.errors import UnusablePhotoError


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("a/1.jpg", "a/1.jpg"),
        ("./a//./1.jpg", "a/1.jpg"),
        ("/etc/1.jpg", "etc/1.jpg"),
        ("ein Foto – größer.jpg", "ein Foto – größer.jpg"),
        ("...jpg", "...jpg"),
        ("a\\..\\b.jpg", "a\\..\\b.jpg"),  # no separator here
    ],
)
def test_names_are_relative(given: str, name: str) -> None:
    assert safe_name(given) == name


@pytest.mark.parametrize("given", ["../1.jpg", "a/../../1.jpg", "/../1.jpg", "a/..", "", "/", ".", "a\0.jpg"])
def test_names_that_lead_elsewhere(given: str) -> None:
    with pytest.raises(UnusablePhotoError) as caught:
        safe_name(given)
    assert caught.value.code == "name_unsafe"


def test_room_is_left_for_the_ending_of_a_result() -> None:
    assert safe_name("ä" * 121 + ".") == "ä" * 121 + "."  # 243 bytes
    with pytest.raises(UnusablePhotoError, match=r"244 bytes.*Shorten it to 243") as caught:
        safe_name("a/" + "ä" * 122)
    assert caught.value.code == "name_too_long"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("x/1.jpg", "x/1.jpg"),
        ("x/../y/1.jpg", "y/1.jpg"),
        ("../1.jpg", "data/1.jpg"),
        ("/data/here/x/1.jpg", "x/1.jpg"),
        ("/elsewhere/1.jpg", "elsewhere/1.jpg"),
        ("../../../../../etc/1.jpg", "etc/1.jpg"),
    ],
)
def test_listed_files_are_named_from_the_base_or_from_the_root(path: str, name: str) -> None:
    assert name_of(Path(path), Path("/data/here")) == name


def test_pictures_by_their_endings() -> None:
    names = [
        "1.JPG",
        "1.jpeg",
        "1.tif",
        "1.webp",
        "1.bmp",
        "1.gif",
        "1.jpg.txt",
        ".hidden.jpg",
        "._1.jpg",
        "jpg",
        ".jpg",
    ]
    assert [name for name in names if is_picture(name)] == ["1.JPG", "1.jpeg", "1.tif", "1.webp", "1.bmp"]


def test_whatever_a_name_is_it_can_be_printed() -> None:
    assert printable("größer.jpg") == "größer.jpg"
    assert printable("a\udcff\n\x1b[31m.jpg") == "a\\udcff\\n\\x1b[31m.jpg"
