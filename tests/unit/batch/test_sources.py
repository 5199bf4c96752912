import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from tests.helpers.many_photos import draw_photo
from weakseg.batch.items import Item
from weakseg.batch.sources import MAX_BYTES, Source, open_source
from weakseg.errors import BatchError, UnusablePhotoError


def find(given: str, folder: Path) -> Source:
    return open_source(given, base=folder, leave_out=folder / "out")


def names(source: Source) -> list[str]:
    return [item.name for item in source.items()]


def faults(source: Source) -> dict[str, str]:
    return {item.name: item.fault.code for item in source.items() if item.fault}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, name in enumerate(["b/2.png", "b/10.png", "a.png", "c/d/größer – Ø.png", "z.PNG"]):
        draw_photo(tmp_path / name, number)
    return tmp_path


def test_a_folder_in_the_order_of_its_names(photos: Path) -> None:
    (photos / "notes.txt").write_text("no picture")
    draw_photo(photos / ".git/1.png", 0)
    draw_photo(photos / "b/._2.png", 0)
    draw_photo(photos / "out/masks/1.png", 0)
    (photos / "loop").symlink_to(photos)
    (photos / "linked.png").symlink_to(photos / "a.png")
    source = find(str(photos), photos)
    assert names(source) == ["a.png", "b/10.png", "b/2.png", "c/d/größer – Ø.png", "linked.png", "z.PNG"]
    assert source.count == 6
    assert source.place == str(photos)
    assert next(source.items()).read() == (photos / "a.png").read_bytes()


def test_files_that_are_none(photos: Path) -> None:
    (photos / "gone.png").symlink_to(photos / "nowhere.png")
    os.mkfifo(photos / "pipe.png")
    source = find(str(photos), photos)
    assert faults(source) == {"gone.png": "file_unreadable"}
    (pipe,) = [item for item in source.items() if item.name == "pipe.png"]
    with pytest.raises(UnusablePhotoError, match="it is no file"):
        pipe.read()


def test_names_of_bytes_that_are_no_text(photos: Path) -> None:
    raw = os.fsencode(photos) + b"/\xff\xfe.png"
    Path(os.fsdecode(raw)).write_bytes((photos / "a.png").read_bytes())
    (item,) = [item for item in find(str(photos), photos).items() if "\udcff" in item.name]
    assert json.loads(json.dumps(item.name)) == "\udcff\udcfe.png"
    assert item.read()


def test_a_changed_file_has_another_stamp(photos: Path) -> None:
    before = next(find(str(photos), photos).items()).stamp
    assert next(find(str(photos), photos).items()).stamp == before
    os.utime(photos / "a.png", ns=(0, 1))
    assert next(find(str(photos), photos).items()).stamp != before


def test_a_list_of_paths(photos: Path) -> None:
    lines = ["\ufeffb/2.png\r", "", f"{photos}/a.png", "../elsewhere.png", "missing.png", "nul\0.png", "b/2.png"]
    (photos / "list.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(BatchError, match="neither a list of paths nor a tar"):
        find(str(photos / "list.txt"), photos)
    (photos / "list.txt").write_text("\n".join(line for line in lines if "\0" not in line), encoding="utf-8")
    source = find(str(photos / "list.txt"), photos)
    assert source.count == 5
    assert names(source) == ["b/2.png", "a.png", "../elsewhere.png", "missing.png", "b/2.png"]
    assert faults(source) == {"../elsewhere.png": "file_unreadable", "missing.png": "file_unreadable"}


def test_options_of_a_photo(photos: Path) -> None:
    described = [
        {"path": "a.png", "options": {"classes": "dog", "box": [1, 2, 3, 4]}},
        {"path": "a.png", "name": "second/a.png"},
        {"path": "a.png", "name": "../../a.png"},
        {"path": "a.png", "option": {}},
        {"path": "a.png", "options": {"clases": "dog"}},
        {"path": 3},
    ]
    lines = [*map(json.dumps, described), "{broken", "[]"]
    (photos / "list.jsonl").write_text("\n".join(lines))
    items = list(find(str(photos / "list.jsonl"), photos).items())
    assert items[0].options == {"classes": "dog", "box": [1, 2, 3, 4]}
    assert (items[1].name, items[1].read()) == ("second/a.png", items[0].read())
    assert items[0].stamp.startswith(items[1].stamp + "-")
    assert items[2].name == str((photos / "../../a.png").resolve()).removeprefix("/"), "below the results all the same"
    assert [item.fault.code for item in items[3:] if item.fault] == [*["list_malformed"] * 4, "file_unreadable"]
    assert "'clases' is not an option" in str(items[4].fault)


def test_paths_from_stdin(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a.png\nb/2.png\n")))
    source = find("-", photos)
    assert (names(source), source.count, source.place) == (["a.png", "b/2.png"], 2, "-")


def write_tar(path: Path, members: list[tuple[str, bytes]], mode: str) -> Path:
    with tarfile.open(path, mode) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_is_read_as_it_comes(photos: Path, mode: str) -> None:
    picture = (photos / "a.png").read_bytes()
    members = [("./b/1.png", picture), ("notes.txt", b"x"), ("Ü.png", picture + b"!"), ("._1.png", b"mac")]
    source = find(str(write_tar(photos / "photos.tar", members, mode)), photos)
    assert source.count is None
    found = [(item.name, item.read()) for item in source.items()]
    assert found == [("b/1.png", picture), ("Ü.png", picture + b"!")]


def test_nothing_in_a_tar_leads_out_of_the_folder(photos: Path) -> None:
    path = write_tar(
        photos / "evil.tar", [("../../evil.png", b"1"), ("/etc/evil.png", b"2"), ("a/../../b.png", b"3")], "w"
    )
    with tarfile.open(path, "a") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
            member = tarfile.TarInfo("link.png")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    source = find(str(path), photos)
    assert names(source) == ["../../evil.png", "etc/evil.png", "a/../../b.png"]
    assert faults(source) == {"../../evil.png": "name_unsafe", "a/../../b.png": "name_unsafe"}


def read_all(source: Source, read: list[tuple[str, bytes]]) -> None:
    read.extend((item.name, item.read()) for item in source.items())


@pytest.mark.parametrize(
    ("mode", "length"), [("w", 100_000), ("w", 3 * 30_720), ("w", 3 * 30_720 + 9), ("w:gz", 100_000)]
)
def test_a_tar_that_breaks_off(photos: Path, mode: str, length: int) -> None:
    members = [(f"{number}.png", os.urandom(30_000)) for number in range(5)]  # 30,720 bytes each, with its header
    path = write_tar(photos / "photos.tar", members, mode)
    path.write_bytes(path.read_bytes()[:length])
    read: list[tuple[str, bytes]] = []
    with pytest.raises(BatchError, match=r"breaks off or is damaged at or after '[23]\.png'"):
        read_all(find(str(path), photos), read)
    assert read == members[:3]


def test_a_damaged_header_is_not_the_end(photos: Path) -> None:
    path = write_tar(photos / "photos.tar", [(f"{number}.png", bytes(1000)) for number in range(5)], "w")
    content = bytearray(path.read_bytes())
    content[2 * 1536 + 3] ^= 1
    path.write_bytes(content)
    read: list[tuple[str, bytes]] = []
    with pytest.raises(BatchError, match=r"at or after '1\.png' \(InvalidHeaderError"):
        read_all(find(str(path), photos), read)
    assert len(read) == 2


def test_no_more_is_read_than_may_be_sent(photos: Path) -> None:
    with (photos / "huge.png").open("wb") as file:
        file.truncate(10 * MAX_BYTES)
    (huge,) = [item for item in find(str(photos), photos).items() if item.name == "huge.png"]
    assert len(huge.read()) == MAX_BYTES + 1


@pytest.mark.parametrize("given", ["nowhere", "a.png"])
def test_what_is_no_source(photos: Path, given: str) -> None:
    with pytest.raises(BatchError, match="a list of paths"):
        find(str(photos / given), photos)


def test_a_folder_that_may_not_be_read(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scandir(path: Path) -> object:
        if str(path).endswith("/b"):
            raise PermissionError("not yours")
        return really(path)

    really = os.scandir
    monkeypatch.setattr("os.scandir", scandir)
    assert faults(find(str(photos), photos)) == {"b/": "file_unreadable"}
    assert Item("x").read() == b""
