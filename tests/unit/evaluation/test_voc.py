"""The reader of VOC-layout folders on a drawn one, and on the real one where it is."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.tiny_voc import CAT, save_mask, write_voc
from weakseg.codec.decode import Limits
from weakseg.errors import DataError
from weakseg.evaluation.voc import LabelledBox, read_split
from weakseg.types import Box
from weakseg.voc import ANIMALS, VOID

XML = """<annotation><object><name>cat</name><part><name>head</name>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>
<bndbox><xmax>40</xmax><xmin>17</xmin><ymax>48.2</ymax><ymin>17</ymin></bndbox></object></annotation>"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_voc(tmp_path)


@pytest.fixture
def root(folder: Path) -> Path:
    return folder / "VOCdevkit" / "VOC2012"


def test_photos_masks_and_boxes(folder: Path) -> None:
    samples = read_split(folder, "val")
    assert [sample.image_id for sample in samples] == ["wide", "tall"]
    assert samples[0].boxes == (LabelledBox("cat", Box(16, 16, 40, 48)),)
    rgb, mask = samples[0].read(Limits())
    assert (rgb.shape, mask.shape) == ((64, 96, 3), (64, 96))
    assert rgb[20, 30, 0] > 250
    assert mask[20, 20] == CAT
    assert mask[20, 50] == VOID
    assert samples[1].read(Limits())[1].shape == (96, 64)


def test_the_inner_folder_will_do(root: Path) -> None:
    assert len(read_split(root, "train")) == 1


def test_original_annotations_count_from_one_and_include_the_last_pixel(root: Path) -> None:
    (root / "boxes.json").unlink()
    (root / "Annotations").mkdir()
    (root / "Annotations" / "wide.xml").write_text(XML)
    assert read_split(root, "train")[0].boxes == (LabelledBox("cat", Box(16, 16, 40, 48)),)


def test_a_photo_that_boxes_json_does_not_name_has_no_box(root: Path) -> None:
    (root / "boxes.json").write_text("{}")
    assert read_split(root, "train")[0].boxes == ()


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("ImageSets/Segmentation/val.txt", r"No split 'val'.*val\.txt is missing.*has: train"),
        ("JPEGImages/tall.jpg", r"1 files of split 'val' are missing, first .*tall\.jpg"),
        ("SegmentationClass/wide.png", r"missing, first .*wide\.png"),
        ("boxes.json", r"no boxes: neither boxes\.json nor Annotations"),
    ],
)
def test_what_is_missing_is_named(root: Path, gone: str, message: str) -> None:
    (root / gone).unlink()
    with pytest.raises(DataError, match=message):
        read_split(root, "val")


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is no VOC folder: neither .*VOC2012 nor .* has ImageSets/Segmentation"):
        read_split(tmp_path, "val")


@pytest.mark.parametrize(
    "content",
    ["[]", "{", '{"wide": [{"class": "cat"}]}', '{"wide": [{"class": "cat", "bbox_xyxy": [1, 2, 3]}]}', '{"wide": 3}'],
)
def test_boxes_json_of_another_kind(root: Path, content: str) -> None:
    (root / "boxes.json").write_text(content)
    with pytest.raises(DataError, match=r"boxes\.json is not"):
        read_split(root, "val")


def test_a_box_of_no_voc_class(root: Path) -> None:
    (root / "boxes.json").write_text(json.dumps({"wide": [{"class": "unicorn", "bbox_xyxy": [1, 2, 3, 4]}]}))
    with pytest.raises(DataError, match="'unicorn' is not one of VOC's 20 classes"):
        read_split(root, "val")


def test_an_annotation_that_is_missing_or_broken(root: Path) -> None:
    (root / "boxes.json").unlink()
    (root / "Annotations").mkdir()
    with pytest.raises(DataError, match=r"wide\.xml is not a VOC annotation"):
        read_split(root, "train")
    (root / "Annotations" / "wide.xml").write_text("<annotation><object>")
    with pytest.raises(DataError, match=r"wide\.xml is not a VOC annotation"):
        read_split(root, "train")


def test_photo_and_mask_of_different_size(root: Path) -> None:
    save_mask(np.zeros((64, 95), np.uint8), root / "SegmentationClass" / "wide.png")
    with pytest.raises(DataError, match="wide: the photo is 96 x 64 pixels, its mask 95 x 64"):
        read_split(root, "val")[0].read(Limits())


def test_masks_that_hold_no_class_numbers(root: Path) -> None:
    path = root / "SegmentationClass" / "wide.png"
    sample = read_split(root, "val")[0]
    save_mask(np.full((64, 96), 21, np.uint8), path)
    with pytest.raises(DataError, match="neither 0 to 20 nor 255"):
        sample.read(Limits())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="cannot be read"):
        sample.read(Limits())
    Image.new("RGB", (96, 64)).save(path)
    with pytest.raises(DataError, match="has mode RGB"):
        sample.read(Limits())


def test_a_broken_photo(root: Path) -> None:
    path = root / "JPEGImages" / "wide.jpg"
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DataError, match=r"wide\.jpg: "):
        read_split(root, "val")[0].read(Limits())


@pytest.mark.real_data
def test_the_real_validation_photos(voc_folder: Path) -> None:
    samples = read_split(voc_folder, "val")
    assert len(samples) == 222
    assert {labelled.name for sample in samples for labelled in sample.boxes} == set(ANIMALS)
    rgb, mask = samples[0].read(Limits())
    assert rgb.shape[:2] == mask.shape
