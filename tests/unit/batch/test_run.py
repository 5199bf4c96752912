"""Runs against a service that misbehaves as it is told: every photo is done once, or its failure is on record."""

import csv
import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from tests.helpers.fake_service import (
    CUT,
    DROP,
    GREEN,
    HANG,
    RED,
    SLOW,
    Action,
    Asked,
    Body,
    Error,
    FakeService,
    colours,
)
from tests.helpers.many_photos import Watching, draw_photo, draw_photos
from weakseg.batch.endpoint import Address
from weakseg.batch.patience import Patience
from weakseg.batch.run import Order, StoppedError, UnfinishedError, run
from weakseg.errors import BatchError
from weakseg.options import Format

QUICK = Patience(total_s=60, first_s=0.001, longest_s=0.002)
BRIEF = Patience(total_s=0.02, first_s=0.001, longest_s=0.002)
# pycocotools 2.0.11 decodes through NumPy 1's __array__ protocol.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

UNKNOWN = Error(400, "class_unknown", field="classes")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return draw_photos(tmp_path / "photos", 12)


def order(photos: Path, service: FakeService, **changes: Any) -> Order:
    address = Address(service.url, "weakseg", timeout_s=changes.pop("timeout_s", 30))
    fixed = Order(
        str(photos),
        photos.parent / "out",
        "weakseg",
        address=address,
        patience=QUICK,
        concurrency=4,
        base=photos.parent,
    )
    return replace(fixed, **changes)


def play(photos: Path, script: Callable[[Asked], Action], **changes: Any) -> tuple[dict[str, Any], FakeService]:
    with FakeService(script).running() as service:
        return run(order(photos, service, **changes), Watching()), service


def check(out: Path, photos: Path, expected: int) -> COCO:
    """Every mask is what the photo's colours say, and the COCO file says the same."""
    coco = COCO(out / "coco.json")
    assert len(coco.imgs) == len(list((out / "masks").rglob("*.png"))) == expected
    for image in coco.imgs.values():
        values = colours(np.array(Image.open(photos / image["file_name"]).convert("RGB")))
        assert values.shape == (image["height"], image["width"])
        with Image.open(out / "masks" / f"{image['file_name']}.png") as mask:
            assert mask.mode == "P"
            assert np.array_equal(np.array(mask), values)
        found = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        assert {each["category_id"] for each in found} == set(np.unique(values)) - {0}
        for each in found:
            decoded = coco.annToMask(each).astype(bool)
            assert np.array_equal(decoded, values == each["category_id"])
            x, y, width, height = each["bbox"]
            assert decoded[y : y + height, x : x + width].sum() == each["area"] == decoded.sum()
    return coco


def failures(out: Path) -> list[dict[str, str]]:
    with (out / "failures.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_with_masks_and_coco(photos: Path) -> None:
    summary, service = play(photos, lambda _: SLOW, options={"classes": "red,green"})
    out = photos.parent / "out"
    coco = check(out, photos, 12)
    assert {number: found["name"] for number, found in coco.cats.items()} == {RED: "red", GREEN: "green"}
    assert [coco.imgs[number]["file_name"] for number in range(1, 13)] == [f"000/{n:06d}.png" for n in range(12)]
    assert sorted(coco.anns) == sorted(1000 * number + k for number in range(1, 13) for k in (1, 2))
    assert (summary["ended"], summary["done"], summary["failed"]) == ("finished", 12, 0)
    assert json.loads((out / "summary.json").read_text()) == summary
    assert failures(out) == []
    assert {asked.options["classes"] for asked in service.asked} == {"red,green"}
    assert {asked.options["format"] for asked in service.asked} == {"json"}
    assert 1 < service.most_at_once <= 4
    assert not list(out.rglob("*.part"))


def test_other_formats_in_folders_of_their_own(photos: Path) -> None:
    _, service = play(photos, lambda _: None, formats=(Format.JSON, Format.CUTOUT))
    out = photos.parent / "out"
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["cutouts", "json"]
    assert json.loads((out / "json/000/000003.png.json").read_text())["segments"][0]["label"] == "red"
    with Image.open(out / "cutouts/000/000003.png.png") as cutout:
        assert cutout.mode == "RGBA"
    assert Counter(asked.options["format"] for asked in service.asked) == {"json": 12, "cutout": 12}


SOMETIMES = [Error(503, headers={"Retry-After": "0"}), Error(429), Error(502), Error(504), DROP, CUT]


def test_what_may_be_better_later_is_sent_again(photos: Path) -> None:
    def script(asked: Asked) -> Action:
        wrong = SOMETIMES[asked.photo % 6]
        return wrong if asked.tries <= asked.photo % 4 else None

    summary, service = play(photos, script)
    check(photos.parent / "out", photos, 12)
    tries = Counter(asked.photo for asked in service.asked)
    assert tries == {number: 1 + number % 4 for number in range(1, 13)}
    assert summary["this_start"]["retries"] == sum(tries.values()) - 12
    ids = [asked.request_id for asked in service.asked]
    assert len(set(ids)) == len(ids), "each try can be told from the others in a log"


def test_a_service_that_hangs_is_asked_again(photos: Path) -> None:
    summary, _ = play(photos, lambda asked: HANG if asked.photo == 3 and asked.tries == 1 else None, timeout_s=1)
    assert (summary["done"], summary["this_start"]["retries"]) == (12, 1)


def test_what_is_refused_is_on_record_and_the_rest_is_done(photos: Path) -> None:
    (photos / "000" / "000001.png").write_bytes(b"")
    refuse = {4: Error(415, "image_unreadable"), 7: Error(400, "option_invalid"), 9: Error(500, "internal")}
    summary, service = play(photos, lambda asked: refuse.get(asked.photo))
    out = photos.parent / "out"
    check(out, photos, 8)
    assert summary["failures"] == {"image_missing": 1, "image_unreadable": 1, "option_invalid": 1, "internal": 1}
    rows = failures(out)
    assert [(row["id"], row["file_name"], row["status"], row["code"], row["tries"]) for row in rows] == [
        ("2", "000/000001.png", "400", "image_missing", "0"),
        ("4", "000/000003.png", "415", "image_unreadable", "1"),
        ("7", "000/000006.png", "400", "option_invalid", "1"),
        ("9", "000/000008.png", "500", "internal", "1"),
    ]
    assert (rows[1]["field"], rows[1]["message"], rows[1]["remedy"]) == ("image", "as scripted.", "Wait.")
    ids = {asked.request_id for asked in service.asked}
    assert all(f"{row['request_id']}.json.1" in ids for row in rows[1:])


def test_the_same_command_goes_on(photos: Path) -> None:
    play(photos, lambda asked: Error(415, "image_unreadable") if asked.photo == 4 else None)
    summary, service = play(photos, lambda _: None)
    assert service.asked == []
    assert (summary["done"], summary["failed"], summary["this_start"]["skipped"]) == (11, 1, 12)

    draw_photo(photos / "000" / "000002.png", 77)  # changed
    draw_photo(photos / "000" / "000000b.png", 5)  # new, in the middle
    (photos.parent / "out/masks/000/000009.png.png").unlink()
    summary, service = play(photos, lambda _: None)
    assert sorted(asked.photo for asked in service.asked) == [3, 10, 13]
    assert check(photos.parent / "out", photos, 12).imgs[13]["file_name"] == "000/000000b.png"

    summary, service = play(photos, lambda _: None, retry_failed=True)
    assert [asked.photo for asked in service.asked] == [4]
    check(photos.parent / "out", photos, 13)
    assert summary["failed"] == 0
    assert failures(photos.parent / "out") == []


def test_another_format_is_made_of_all_photos(photos: Path) -> None:
    play(photos, lambda _: None)
    _, service = play(photos, lambda _: None, formats=(Format.MASK, Format.CUTOUT))
    assert len(service.asked) == 24
    _, service = play(photos, lambda _: None, formats=(Format.MASK, Format.CUTOUT))
    assert service.asked == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"options": {"classes": "red"}}, "options"), ({"model": "hair"}, "model"), ({"source": "list"}, "source")],
)
def test_results_are_not_mixed(photos: Path, changes: dict[str, Any], named: str) -> None:
    (photos.parent / "list").write_text("photos/000/000001.png\n")
    changes = {**changes, **({"source": str(photos.parent / "list")} if named == "source" else {})}
    play(photos, lambda _: None)
    before = (photos.parent / "out/coco.json").read_bytes()
    with pytest.raises(BatchError, match=rf"holds results of {named} .*--redo.*--force"):
        play(photos, lambda _: None, **changes)
    assert (photos.parent / "out/coco.json").read_bytes() == before
    if named == "options":
        _, service = play(photos, lambda _: None, **changes, force=True)
        assert service.asked == []
        _, service = play(photos, lambda _: None, **changes, redo=True)
        assert len(service.asked) == 12


def test_a_version_that_changes_on_the_way_stops_the_run(photos: Path) -> None:
    with FakeService().running() as service:

        def upgrade(asked: Asked) -> Action:
            service.version = "1.0" if asked.photo < 6 else "2.0"
            return None

        service.script = upgrade
        with pytest.raises(UnfinishedError, match=r"holds masks of weakseg 1\.0, and now weakseg 2\.0 answers"):
            run(order(photos, service, concurrency=1), Watching())
        check(photos.parent / "out", photos, 5)
        summary = run(order(photos, service, concurrency=1, force=True), Watching())
    assert summary["done"] == 12
    assert summary["model"]["version"] == "2.0"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Error(401, "token_missing"), "answers 401: as scripted"),
        (Error(403, "token_wrong_kind"), "answers 403: as scripted"),
        (Error(404, "model_unknown"), "answers 404: as scripted"),
    ],
)
def test_what_every_photo_would_get_stops_the_run(photos: Path, error: Error, message: str) -> None:
    with FakeService(lambda _: error).running() as service:
        with pytest.raises(UnfinishedError, match=message):
            run(order(photos, service), Watching())
        assert len(service.asked) <= 4
        service.script = lambda _: None
        assert run(order(photos, service), Watching())["done"] == 12


def test_a_class_that_no_photo_can_have_stops_the_run_and_may_be_corrected(photos: Path) -> None:
    with FakeService(lambda asked: None if asked.options["classes"] == "red" else UNKNOWN).running() as service:
        with pytest.raises(UnfinishedError, match="every photo would be refused: classes"):
            run(order(photos, service, options={"classes": "rde"}, concurrency=1), Watching())
        assert len(service.asked) == 1
        assert run(order(photos, service, options={"classes": "red"}), Watching())["done"] == 12


def test_a_service_that_is_gone_stops_the_run_and_costs_no_photo(photos: Path) -> None:
    with pytest.raises(UnfinishedError, match=r"4 photos in a row got no mask"):
        play(photos, lambda asked: None if asked.photo < 5 else DROP, patience=BRIEF)
    summary, _ = play(photos, lambda _: None)
    assert summary["done"] == 12, "without --retry-failed"


def test_a_photo_that_is_never_answered_does_not_stop_the_run(photos: Path) -> None:
    summary, _ = play(photos, lambda asked: Error(503) if asked.photo in (5, 9) else None, patience=BRIEF)
    assert (summary["done"], summary["failures"]) == (10, {"queue_full": 2})
    assert {row["transient"] for row in failures(photos.parent / "out")} == {"True"}


def test_answers_that_are_none_of_weaksegs(photos: Path) -> None:
    bodies = {1: b"<html>", 2: b"{}", 5: b'{"image": 3}', 9: b""}
    summary, _ = play(photos, lambda asked: Body(bodies[asked.photo]) if asked.photo in bodies else None, concurrency=1)
    assert summary["failures"] == {"answer_unreadable": 4}
    check(photos.parent / "out", photos, 8)


def test_fail_fast(photos: Path) -> None:
    summary, service = play(
        photos, lambda asked: Error(400) if asked.photo == 3 else None, fail_fast=True, concurrency=1
    )
    assert (summary["ended"], summary["done"], summary["failed"]) == ("failed fast", 2, 1)
    assert len(service.asked) == 3


def test_options_of_a_photo_win_over_those_of_the_run(photos: Path) -> None:
    lines = [{"path": "photos/000/000001.png"}, {"path": "photos/000/000002.png", "options": {"box": [1, 2, 3, 4]}}]
    (photos.parent / "list").write_text("\n".join(map(json.dumps, lines)))
    _, service = play(photos, lambda _: None, source=str(photos.parent / "list"), options={"box": "0,0,5,5"})
    assert [asked.options["box"] for asked in service.asked] == ["0,0,5,5", "1,2,3,4"]


def test_names_that_come_twice_are_done_once(photos: Path) -> None:
    (photos.parent / "list").write_text("photos/000/000001.png\n" * 3)
    summary, service = play(photos, lambda _: None, source=str(photos.parent / "list"))
    assert (len(service.asked), summary["this_start"]["repeated_names"]) == (1, 2)


def test_photos_of_one_stem_have_masks_of_their_own(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    draw_photo(photos / "1.png", 1)
    draw_photo(photos / "1.PNG", 2)
    draw_photo(photos / "1.png.png", 3)
    play(photos, lambda _: None)
    check(tmp_path / "out", photos, 3)


def test_results_below_the_source_are_no_photos(photos: Path) -> None:
    for _ in range(2):
        summary, _ = play(photos, lambda _: None, out=photos / "masks here")
    assert (summary["photos"], summary["this_start"]["skipped"]) == (12, 12)


def test_a_link_in_the_results_leads_nowhere(photos: Path) -> None:
    (photos.parent / "out/masks").mkdir(parents=True)
    (photos.parent / "out/masks/000").symlink_to(photos.parent)
    summary, _ = play(photos, lambda _: None)
    assert summary["failures"] == {"output_unwritable": 12}
    assert not list(photos.parent.glob("*.png"))


def test_a_name_that_is_a_folder_among_the_results(photos: Path) -> None:
    (photos.parent / "out/masks/000/000004.png.png").mkdir(parents=True)
    summary, _ = play(photos, lambda _: None)
    assert (summary["done"], summary["failures"]) == (11, {"output_unwritable": 1})


def test_as_many_at_a_time_as_the_service_can_do(photos: Path) -> None:
    versions = [{"version": "1.0", "workers_ready": 2, "batch_size": 1}, {"version": "2.0", "workers_ready": 9}]
    health = {"models": [{"model": "weakseg", "default_version": "1.0", "versions": versions}]}
    with FakeService(lambda _: SLOW, health=health).running() as service:
        run(order(photos, service, concurrency=None), Watching())
    assert 4 < service.most_at_once <= 8


def test_it_stops_when_it_is_asked_to(photos: Path) -> None:
    def look(met: int) -> None:
        if met == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with FakeService().running() as service:
        with pytest.raises(StoppedError, match="goes on from here"):
            run(order(photos, service, concurrency=2), Watching(look))
        asked = len(service.asked)
        assert 3 <= asked < 12
        assert json.loads((photos.parent / "out/summary.json").read_text())["ended"].startswith("stopped")
        check(photos.parent / "out", photos, asked)
        assert run(order(photos, service), Watching())["done"] == 12
    assert len(service.asked) == 12, "what was under way was finished"


def test_an_address_that_is_none(photos: Path) -> None:
    address = Address("not an address", "weakseg")
    with pytest.raises(BatchError, match="--url not an address"):
        run(Order(str(photos), photos.parent / "out", "weakseg", address=address), Watching())
