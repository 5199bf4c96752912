"""Recipes: those that come along, overrides, and errors that say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.recipe import Recipe, RecipeError, describe_fields, list_recipes, read_recipe


@pytest.mark.parametrize(
    "name", ["alexnet_voc", "alexnet_plus_voc", "vgg16_fcn_voc", "squeezenet_voc", "mobilenet_v2_voc"]
)
def test_every_recipe_is_valid_and_says_what_it_is(name: str) -> None:
    assert read_recipe(name).select == "last", "a result chosen on val could not be reported on val"
    assert len(list_recipes()[name]) > 20


def test_alexnet_is_trained_as_the_paper_says() -> None:
    for name, network in (("alexnet_voc", "alexnet"), ("alexnet_plus_voc", "alexnet_plus")):
        recipe = read_recipe(name)
        assert (recipe.network, recipe.optimiser, recipe.learning_rate) == (network, "sgd", 0.001)
        assert not recipe.multi_label


def test_overrides_win_and_are_read_as_yaml() -> None:
    changes = ["epochs=5", "learning_rate=1e-3", "freeze=[features.0, features.1]", "crop=null", "input_hw=[64, 96]"]
    recipe = read_recipe("mobilenet_v2_voc", changes)
    assert (recipe.epochs, recipe.learning_rate, recipe.crop) == (5, 0.001, None)
    assert recipe.freeze == ("features.0", "features.1")
    assert recipe.input_hw == (64, 96)


def test_one_number_stands_for_all_channels_and_both_sides() -> None:
    recipe = read_recipe("mobilenet_v2_voc", ["mean=0.5", "std=0.25", "input_hw=160", "precision=32"])
    assert (recipe.mean, recipe.std, recipe.input_hw) == ((0.5,) * 3, (0.25,) * 3, (160, 160))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epoch=5", r"there is no field 'epoch'\. Fields: network, task"),
        ("epochs=0", r"epochs = 0: Input should be greater than or equal to 1"),
        ("task=both", r"task = 'both': Input should be 'single_label', 'multi_label' or 'pixels'\. It is: softmax"),
        ("epochs", r"'epochs' is no override\. Write NAME=VALUE"),
        ("crop=[", r"cannot be read as a value"),
    ],
)
def test_a_wrong_override_is_named_with_its_remedy(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read_recipe("squeezenet_voc", [override])


def test_a_recipe_of_ones_own_is_a_yaml_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("# Mine\nnetwork: resnet18\nepochs: 3\n", encoding="utf-8")
    assert read_recipe(str(path)).network == "resnet18"


@pytest.mark.parametrize(
    ("text", "message"),
    [("epochs: 3\n", "'network' is missing"), ("- 1\n", "holds no fields"), ("a: [\n", "is not YAML")],
)
def test_a_broken_recipe_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=message):
        read_recipe(str(path))


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="Known: alexnet_plus_voc, alexnet_voc"):
        read_recipe("alexnet")


def test_every_field_is_described() -> None:
    rows = describe_fields()
    assert [name for name, _, _ in rows] == list(Recipe.model_fields)
    assert rows[0][:2] == ("network", "needed")
