import numpy as np
import pytest

from weakseg.errors import ModelCardError, UnknownClassError
from weakseg.labels import Vocabulary
from weakseg.voc import VOC_CLASSES, palette, voc_groups


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary(("tabby", "Siamese cat", "crane", "crane", "dog"), {"cat": (0, 1), "dog": (4,)})


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("tabby", 0),
        ("TABBY", 0),
        ("Siamese_cat", 1),
        (" siamese cat ", 1),
        ("cat", 5),
        (3, 3),
        ("3", 3),
        ("dog", 6),
        ("6", 6),
    ],
)
def test_names_and_numbers_resolve(vocabulary: Vocabulary, wanted: str | int, index: int) -> None:
    assert vocabulary.resolve(wanted) == index


def test_unknown_name_gets_the_nearest_ones(vocabulary: Vocabulary) -> None:
    with pytest.raises(UnknownClassError, match="Did you mean tabby"):
        vocabulary.resolve("tabbi")
    with pytest.raises(UnknownClassError, match="Siamese cat"):
        vocabulary.resolve("siamese")


def test_a_name_that_two_classes_share_needs_a_number(vocabulary: Vocabulary) -> None:
    with pytest.raises(UnknownClassError, match="2 or 3"):
        vocabulary.resolve("Crane")


@pytest.mark.parametrize(
    "wanted", ["7", "999999999999999999999", "-1", "", "²", "x" * 10_000, "0" * 5_000, "9" * 5_000]
)
def test_what_is_no_label_is_refused_briefly(vocabulary: Vocabulary, wanted: str) -> None:
    with pytest.raises(UnknownClassError) as caught:
        vocabulary.resolve(wanted)
    assert len(str(caught.value)) < 400


def test_a_name_of_digits_wins_over_a_number() -> None:
    digits = Vocabulary([str(number) for number in range(1, 11)])
    assert digits.resolve("3") == 2
    assert digits.resolve("0") == 0, "no name: a number"


@pytest.mark.parametrize("name", ["auto", "None"])
def test_words_of_the_option_are_no_names(name: str) -> None:
    with pytest.raises(ModelCardError, match=name):
        Vocabulary(("a", name))


def test_membership_and_rankable_by_hand(vocabulary: Vocabulary) -> None:
    members = vocabulary.membership()
    assert members.shape == (7, 5)
    assert np.array_equal(members[:5], np.eye(5, dtype=bool))
    assert members[5].tolist() == [True, True, False, False, False]
    assert vocabulary.rankable().tolist() == [False, False, True, True, False, True, True]


@pytest.mark.parametrize("members", [(), (5,), (-1,)])
def test_a_group_needs_real_members(members: tuple[int, ...]) -> None:
    with pytest.raises(ModelCardError, match="group 'g'"):
        Vocabulary(("a", "b"), {"g": members})


def test_category_ids_count_the_groups_first(vocabulary: Vocabulary) -> None:
    assert [vocabulary.category_id(index) for index in range(len(vocabulary))] == [3, 4, 5, 6, 7, 1, 2]


def test_vocs_groups_have_vocs_own_numbers() -> None:
    vocabulary = Vocabulary([f"class {index}" for index in range(1000)], voc_groups())
    ids = {name: vocabulary.category_id(vocabulary.resolve(name)) for name in VOC_CLASSES}
    assert ids == {name: number for number, name in enumerate(VOC_CLASSES, start=1)}


def test_voc_groups_are_disjoint_and_in_range() -> None:
    groups = voc_groups()
    assert tuple(groups) == VOC_CLASSES
    everything = [index for members in groups.values() for index in members]
    assert len(everything) == len(set(everything))
    assert all(0 <= index < 1000 for index in everything)
    assert len(groups["dog"]) == 118
    assert groups["cat"] == [281, 282, 283, 284, 285]


def test_voc_palette_has_the_published_colours() -> None:
    colours = palette()
    assert colours.shape == (256, 3)
    assert colours[0].tolist() == [0, 0, 0]
    assert colours[8].tolist() == [64, 0, 0]  # cat
    assert colours[12].tolist() == [64, 0, 128]  # dog
    assert colours[15].tolist() == [192, 128, 128]  # person
    assert colours[255].tolist() == [224, 224, 192]  # void
