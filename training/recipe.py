"""What a training is: every choice in one flat, validated object, read from a small YAML file and overrides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from weakseg.errors import WeaksegError
from weakseg.options import LEAST_SIDE, MAX_SIDE

FOLDER = Path(__file__).parent / "recipes"
Rgb = tuple[float, float, float]
Range = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]

Byte = Annotated[int, Field(ge=0, le=255)]


class RecipeError(WeaksegError):
    """A recipe or an override that cannot be used: names the field, the value and the remedy."""


class Recipe(BaseModel):
    """Every choice of one training. The field descriptions are the text of ``python -m training --help``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # what is learned
    network: str = Field(
        description="any torchvision classifier, alexnet_plus, vgg16_fcn, squeezenet1_1_linear, joint_..., demo; with "
        "task: pixels one of fcn8s_mobilenet_v2, conv_deconv ... (a wrong name lists them)"
    )
    task: Literal["single_label", "multi_label", "pixels"] = Field(
        "multi_label", description="softmax over the classes, a sigmoid for each, or a softmax in every pixel of a mask"
    )
    network_options: dict[str, Any] = Field({}, description="of a pixel network, such as {width: 0.5}")
    dice: float = Field(0.0, ge=0, description="of task: pixels: weight of the Dice loss beside the cross entropy")
    max_side: int | None = Field(
        None,
        ge=LEAST_SIDE,
        le=MAX_SIDE,
        description=f"of task: pixels: long side at which photos are served; default: that of input_hw, {MAX_SIDE} at "
        "most",
    )
    init: str = Field("imagenet", description="imagenet, random, or the path of a state dict or best.pt to start from")
    freeze: tuple[str, ...] = Field((), description="name prefixes of layers that stay as they are, [features.0]")
    batch_norm: Literal["batch", "kept"] = Field(
        "batch", description="statistics of each batch, or kept as they are: small batches, folded initial weights"
    )
    # photos
    format: Literal["auto", "voc", "folders", "csv", "voc_masks", "masks", "white", "pasted"] = Field(
        "auto",
        description="how --data is laid out; with masks: voc_masks, masks (folders images and masks), white (photos on "
        "a white background) or pasted (such photos, pasted on backgrounds)",
    )
    train_split: str = Field("train", description="VOC's list, subfolder or CSV split to learn from")
    val_split: str = Field("val", description="the same to measure on")
    held_out: float = Field(0.1, gt=0, lt=1, description="share to measure on, where folders or CSV have no splits")
    classes: tuple[str, ...] | None = Field(None, description="names in order; default: VOC's, else as found, sorted")
    other_classes: Literal["background", "void"] = Field(
        "background",
        description="what pixels of a class that is not among classes become; void: not learned, not scored",
    )
    mask_values: dict[str, Byte] | None = Field(
        None,
        description="value of each class in grey and palette masks, {hair: 255}; background and void may be named; "
        "default: 0 is background, 1 to C the classes, 255 void, but foreground where masks hold 0 and 255 alone",
    )
    mask_colours: dict[str, tuple[Byte, Byte, Byte]] | None = Field(
        None, description="RGB of each class in colour masks, {hair: [255, 0, 0], background: [0, 0, 255]}"
    )
    masks_dir: str | None = Field(
        None, description="folder of the masks to learn from; measured on the data set's own, where it has some"
    )
    backgrounds: str | None = Field(None, description="of pasted: folder of photos to paste on")
    white_threshold: float = Field(5.0, gt=0, description="on white: least difference from the background, of 255")
    white_holes: float = Field(0.01, ge=0, lt=1, description="... holes up to this share of the object are filled")
    white_specks: float = Field(0.01, ge=0, lt=1, description="... parts up to this share of it are removed")
    white_shadows: bool = Field(True, description="... a soft shadow below the object is left out")
    paste_objects: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]] = Field(
        (1, 1), description="pasted: least and largest number of objects in a scene"
    )
    paste_size: Range = Field(
        (0.3, 1.0), description="... an object's longer side, as a share of the scene's shorter one"
    )
    paste_turn: float = Field(20.0, ge=0, le=180, description="... turned by at most so many degrees to either side")
    paste_outside: float = Field(0.2, ge=0, lt=1, description="... largest share that may be out of the picture")
    paste_light: float = Field(0.3, ge=0, le=1, description="... how far objects take on their scene's light, at most")
    cache: bool = Field(False, description="keep decoded photos and masks in memory, for small data sets")
    limit: int | None = Field(None, ge=2, description="only so many photos of each split, for a quick try")
    input_hw: tuple[Annotated[int, Field(ge=16)], Annotated[int, Field(ge=16)]] = Field(
        (224, 224), description="network input, height and width in pixels"
    )
    mean: Rgb | None = Field(None, description="of RGB in [0, 1]; default: what the initial weights want")
    std: Rgb | None = Field(None, description="likewise")
    # variety
    crop: Range | None = Field(None, description="random resized crop: least and largest share of the photo")
    flip: bool = Field(True, description="mirror every second photo")
    jitter: float = Field(0.0, ge=0, le=1, description="random brightness, contrast and saturation")
    turn: float = Field(0.0, ge=0, le=180, description="affine: turn by at most so many degrees to either side")
    shift: float = Field(0.0, ge=0, le=1, description="affine: move by at most this share of each side")
    zoom: Range | None = Field(None, description="affine: scale by a factor of this range")
    blur: float = Field(
        0.0, ge=0, description="Gaussian blur of every second photo: largest sigma in pixels of input_hw"
    )
    noise: float = Field(0.0, ge=0, le=1, description="additive Gaussian noise: largest sigma, as a share of white")
    dropout: float = Field(0.0, ge=0, le=1, description="blacken single pixels: largest share of them")
    resize: Range | None = Field(None, description="each batch resized by a random factor of this range")
    # steps
    epochs: int = Field(10, ge=1)
    batch: int = Field(32, ge=1, description="photos per step and process")
    optimiser: Literal["sgd", "adamw"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0)
    head_rate: float = Field(1.0, gt=0, description="factor on the learning rate of the new layers")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(0.0, ge=0, description="not on biases and normalisation")
    schedule: Literal["constant", "cosine", "step"] = "constant"
    warmup_epochs: float = Field(0.0, ge=0, description="linear rise of the learning rate")
    step_epochs: float = Field(10.0, gt=0, description="of schedule=step: after so many epochs ...")
    step_factor: float = Field(0.1, gt=0, lt=1, description="... the learning rate is multiplied by this")
    clip: float | None = Field(None, gt=0, description="largest norm of the gradient")
    ema: float = Field(0.0, ge=0, lt=1, description="decay of averaged weights, which are the result; 0: none")
    select: Literal["last", "best"] = Field(
        "last",
        description="the epoch whose weights are the result; best: with the highest metric on val_split, which is then "
        "chosen on what is reported",
    )
    precision: Literal["32", "bf16", "16"] = Field("32", description="16 needs a GPU")
    # machine
    workers: int = Field(0, ge=0, description="processes that read photos")
    threads: int | None = Field(None, ge=1, description="of torch on the CPU; default: torch's choice")
    seed: int = Field(0, ge=0, description="the same seed gives the same weights")

    @model_validator(mode="before")
    @classmethod
    def _one_number_for_all_channels(cls, values: Any) -> Any:
        for name, count in (("mean", 3), ("std", 3), ("input_hw", 2)):
            if isinstance(values, dict) and isinstance(values.get(name), (int, float)):
                values = {**values, name: (values[name],) * count}
        return values

    @model_validator(mode="after")
    def _fields_belong_to_the_task(self) -> Recipe:
        of_pixels = ("network_options", "dice", "max_side")
        sent = [name for name in of_pixels if getattr(self, name) != type(self).model_fields[name].default]
        if sent and not self.learns_masks:
            raise ValueError(f"{sent[0]} belongs to task: pixels, not to task: {self.task}")
        if self.resize is not None and self.learns_masks:
            raise ValueError("resize is for classifiers; masks are scaled by affine or crop")
        return self

    @field_validator("crop", "resize", "zoom", "paste_objects", "paste_size")
    @classmethod
    def _least_comes_first(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds is not None and bounds[0] > bounds[1]:
            raise ValueError("the least comes first, then the largest")
        return bounds

    @property
    def multi_label(self) -> bool:
        return self.task == "multi_label"

    @property
    def learns_masks(self) -> bool:
        return self.task == "pixels"

    @property
    def served_side(self) -> int:
        """Of task: pixels: the long side at which photos are served, pixels; no more than a request may ask for."""
        return self.max_side or min(max(self.input_hw), MAX_SIDE)


def read_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe by its name or the path of a YAML file, with overrides such as ``epochs=5`` in place.

    Raises:
        RecipeError: no such recipe; a field or a value that does not exist, with the remedy.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise RecipeError(f"No recipe {name!r}. Known: {', '.join(list_recipes())}; or give the path of a YAML file.")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not YAML: {error}.") from error
    if not isinstance(document, dict):
        raise RecipeError(f"{path} holds no fields such as `network: mobilenet_v2`.")
    return _validate({**document, **dict(_parse(override) for override in overrides)}, path)


def list_recipes() -> dict[str, str]:
    """Name to the first comment line of each recipe that comes with weakseg."""
    files = sorted(FOLDER.glob("*.yaml"))
    return {path.stem: path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for path in files}


def describe_fields() -> list[tuple[str, str, str]]:
    """Name, default and meaning of every field."""
    return [
        (name, "needed" if field.is_required() else _spell(field.default), field.description or "")
        for name, field in Recipe.model_fields.items()
    ]


def _spell(value: Any) -> str:
    return "none" if value is None else str(list(value) if isinstance(value, tuple) else value)


def _parse(override: str) -> tuple[str, Any]:
    name, equals, text = override.partition("=")
    if not equals:
        raise RecipeError(f"{override!r} is no override. Write NAME=VALUE, such as epochs=5.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{override!r}: {text!r} cannot be read as a value: {error}.") from error
    return name.strip(), value


def _validate(values: dict[str, Any], path: Path) -> Recipe:
    # YAML 1.1 takes 1e-3 for text; lax validation reads it as the number that is meant
    if isinstance(values.get("precision"), int):
        values["precision"] = str(values["precision"])
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError("\n".join(_explain(item, path) for item in error.errors())) from error


def _explain(item: Any, path: Path) -> str:
    if not item["loc"]:  # two fields that do not go together
        return f"{path.stem}: {item['msg'].removeprefix('Value error, ')}."
    field = str(item["loc"][0])
    if item["type"] == "extra_forbidden":
        return f"{path.stem}: there is no field {field!r}. Fields: {', '.join(Recipe.model_fields)}."
    if item["type"] == "missing":
        return f"{path.stem}: the field {field!r} is missing: add `{field}: ...`."
    meaning = Recipe.model_fields[field].description
    return f"{path.stem}: {field} = {item['input']!r}: {item['msg']}." + (f" It is: {meaning}." if meaning else "")
