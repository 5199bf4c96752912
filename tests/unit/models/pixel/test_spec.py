"""Conv-deconv strings: what they mean, what is refused and where, and that printing reads back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weakseg.errors import ModelError
from weakseg.models.pixel.spec import ConvDeconvSpec, Convolution, Layer, Pooling, parse_spec

BEST = "C5,64,2C5,64,1M2C5,64,2C5,64,1M2C5,64,2C5,64,1M2"

CONVOLUTIONS = st.builds(
    Convolution,
    kernel=st.integers(0, 15).map(lambda half: 2 * half + 1),
    channels=st.integers(1, 4096),
    stride=st.integers(1, 8),
    repeats=st.integers(1, 64),
)
LAYERS = st.lists(CONVOLUTIONS | st.builds(Pooling, st.integers(2, 8)), max_size=6)


def strides_of(layers: tuple[Layer, ...]) -> int:
    product = 1
    for layer in layers:
        product *= layer.factor if isinstance(layer, Pooling) else layer.stride
    return product


def test_the_slides_best_network() -> None:
    block = (Convolution(5, 64, 2), Convolution(5, 64, 1), Pooling(2))
    spec = parse_spec(BEST)
    assert spec.layers == block * 3
    assert spec.total_stride == 64
    assert str(spec) == "C5,64,s2C5,64,s1M2" * 3


def test_the_third_number_read_as_repeats() -> None:
    spec = parse_spec("C5,64,2M2C3,8,1", third="repeats")
    assert spec.layers == (Convolution(5, 64, repeats=2), Pooling(2), Convolution(3, 8))
    assert str(spec) == "C5,64,s1,x2M2C3,8,s1"
    assert parse_spec(str(spec), third="stride") == parse_spec(str(spec), third="repeats") == spec


@pytest.mark.parametrize(
    ("text", "layer"),
    [
        ("C3,8", Convolution(3, 8)),
        ("C3,8,s4", Convolution(3, 8, stride=4)),
        ("C3,8,x4", Convolution(3, 8, repeats=4)),
        ("C3,8,s2,x4", Convolution(3, 8, stride=2, repeats=4)),
        (" c 3 ,\t8 , S 2 , X 4\n", Convolution(3, 8, stride=2, repeats=4)),
        ("C03,008,02", Convolution(3, 8, stride=2)),
    ],
)
@pytest.mark.parametrize("third", ["stride", "repeats"])
def test_spellings(text: str, layer: Layer, third: str) -> None:
    if third == "repeats" and layer == Convolution(3, 8, stride=2):
        layer = Convolution(3, 8, repeats=2)
    assert parse_spec(text, third=third).layers == (layer,)  # type: ignore[arg-type]


@given(first=CONVOLUTIONS, others=LAYERS)
def test_what_is_printed_reads_back(first: Convolution, others: list[Layer]) -> None:
    layers = (first, *others)
    if strides_of(layers) > 256:
        with pytest.raises(ModelError, match=f"multiply to {strides_of(layers)}"):
            ConvDeconvSpec(layers)
        return
    spec = ConvDeconvSpec(layers)
    assert spec.total_stride == strides_of(layers)
    for third in ("stride", "repeats"):
        assert parse_spec(str(spec), third=third) == spec
    assert spec.unrolled().unrolled() == spec.unrolled()
    assert spec.unrolled().total_stride == spec.total_stride


@given(st.text(alphabet="CMXSsx0123456789, ", max_size=20))
def test_any_string_is_read_or_refused_by_name(text: str) -> None:
    try:
        spec = parse_spec(text)
    except ModelError as error:
        assert "spec = " in str(error)
    else:
        assert parse_spec(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "position 1: found the end, expected a layer: C"),
        ("  ", "position 1: found the end"),
        ("D5", "position 1: found 'D', expected a layer: C"),
        ("C", "position 2: found the end, expected the kernel's size"),
        ("C5;64", "position 3: found ';', expected a comma and the number of channels"),
        ("C5,M2", "position 4: found 'M', expected the number of channels"),
        ("C5,64,", "position 7: found the end, expected the stride as a number, s and the stride, or x"),
        ("C5,64,q", "position 7: found 'q'"),
        ("C5,64,2,3", "position 8: found ',', expected a layer"),
        ("C5,64,s2,3", "position 10: found '3', expected x and the number of repeats"),
        ("C5,64,2 M", "position 10: found the end, expected the pooling's size"),
        ("C5,64,-1", "position 7: found '-'"),
        ("C٥,64", "position 2: found '٥', expected the kernel's size"),
        ("C5,1234567890", "layer at position 1: channels = 123456789: give a whole number"),
        ("C5,64,1C4,64,1", "layer at position 8: kernel = 4: give an odd one, e.g. 5"),
        ("C5,0", "layer at position 1: channels = 0: give a whole number from 1 to 4096"),
        ("C5,64,9", "layer at position 1: stride = 9: give a whole number from 1 to 8"),
        ("C5,64,1M1", "layer at position 8: pooling = 1: give a whole number from 2 to 8"),
        ("M2C5,64,1", "begin with a convolution"),
        ("C7,64,2C7,64,1M2" + 4 * "C7,64,2C7,64,2M2", "multiply to 16384; leave some out, 256 is the most"),
    ],
)
def test_refusals_say_where_and_what(text: str, message: str) -> None:
    with pytest.raises(ModelError) as refusal:
        parse_spec(text)
    assert message in str(refusal.value)


def test_an_unknown_reading_is_refused() -> None:
    with pytest.raises(ModelError, match="third = 'size': give stride or repeats"):
        parse_spec("C3,8,1", third="size")  # type: ignore[arg-type]


def test_only_the_first_repeat_strides() -> None:
    once = parse_spec("C5,64,s2,x3M2").unrolled().layers
    assert once == (Convolution(5, 64, 2), Convolution(5, 64), Convolution(5, 64), Pooling(2))


def test_stride_one_keeps_poolings_and_repeats() -> None:
    assert str(parse_spec("C5,64,s2,x3M2C3,8,4").with_stride_one()) == "C5,64,s1,x3M2C3,8,s1"


def test_width_rounds_and_leaves_one_channel() -> None:
    assert str(parse_spec("C5,64,2C5,3,1M2").widened(0.25)) == "C5,16,s2C5,1,s1M2"
    with pytest.raises(ModelError, match="channels = 8192"):
        parse_spec("C5,4096,2").widened(2)


def test_weights_by_hand() -> None:
    """25 x (3 + 2) x 8, twice 9 x 8 x 8 again; 9 x 8 x 16 and as many; pooled by 4 x 4 kernels of 16 x 16."""
    spec = parse_spec("C5,8,1C3,8,x2C3,16M2")
    assert (spec.layer_count, spec.count_weights(2)) == (5, 1000 + 4 * 576 + 2 * 1152)
    assert spec.count_weights(2, transposed=True) == spec.count_weights(2) + 16 * 256


@pytest.mark.parametrize(
    ("text", "outputs", "message"),
    [
        ("C1,1,x64" * 5, 2, "320 layers are more than 256"),
        ("C31,4096,x64", 2, "more than 500,000,000; give fewer layers, repeats or channels, or smaller kernels"),
        ("C31,4096", 1000, "weights are more than 500,000,000"),
        ("C3,4096M8", 2, None),
    ],
)
def test_a_network_that_asks_for_all_memory_is_refused(text: str, outputs: int, message: str | None) -> None:
    spec = parse_spec(text)
    if message is None:
        spec.refuse_excess(outputs)
        message = "weights are more"
    with pytest.raises(ModelError, match=message):
        spec.refuse_excess(outputs, transposed=True)


def test_an_endless_string_is_not_read_to_its_end() -> None:
    with pytest.raises(ModelError, match="more than 256 layers") as refusal:
        parse_spec("C1,1" + "M8" * 10_000)
    assert len(str(refusal.value)) < 200
