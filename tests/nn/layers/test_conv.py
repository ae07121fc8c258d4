"""Conv1d to Conv3d, and their transposes."""

import copy  # noqa: I001

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.named_calls import SIZES, Call, assert_accepted, assert_refused, broken
from torch.nn.utils import parametrizations

from dimtyped import DeclarationError, DimensionError, TyingError, dims, nn

SPACE = {1: "length", 2: "height width", 3: "depth height width"}
each_number_of_axes = pytest.mark.parametrize("axes", [1, 2, 3])


@st.composite
def convolution_calls(draw: st.DrawFn) -> Call:
    axes, transposed, batched = draw(st.sampled_from([1, 2, 3])), draw(st.booleans()), draw(st.booleans())
    groups = draw(st.integers(1, 2))
    sizes = {"batch": draw(SIZES), "in_channels": groups * draw(SIZES), "out_channels": groups * draw(SIZES)}
    sizes |= {name: draw(st.integers(3, 5)) for name in SPACE[axes].split()}
    arguments = {
        "in_channels": sizes["in_channels"],
        "out_channels": sizes["out_channels"],
        "kernel_size": draw(st.integers(1, 3)),
        "stride": draw(st.integers(1, 2)),
        "padding": draw(st.integers(0, 1)),
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    if not transposed:
        arguments["padding_mode"] = draw(st.sampled_from(["zeros", "circular", "replicate"]))
    shapes = {"input": f"{'batch ' if batched else ''}in_channels {SPACE[axes]}"}
    kind = f"Conv{'Transpose' if transposed else ''}{axes}d"
    return Call(kind, arguments, sizes, shapes, declared=("in_channels", "out_channels"))


@given(convolution_calls(), st.data())
def test_a_right_call_is_accepted_and_one_broken_size_is_named(call, data):
    assert_accepted(call)
    assert_refused(call, *data.draw(broken(call)))


def test_d2_a_one_channel_image():
    rgb, width = dims(rgb=3, width=64)
    with pytest.raises(DimensionError, match="rgb is 1, must be 3") as raised:
        nn.Conv2d(rgb, width, 3)(torch.ones(2, 1, 8, 8))
    error = raised.value
    assert (error.argument, error.dim, error.expected, error.actual) == ("input", "rgb", 3, 1)
    assert "declared by Conv2d(rgb=3 -> width=64)" in str(error)


def test_d2_a_one_channel_image_without_batch():
    with pytest.raises(DimensionError, match="in_channels is 1, must be 3"):
        nn.Conv2d(3, 4, 3)(torch.ones(1, 8, 8))


@each_number_of_axes
@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("more", [-2, 1])
def test_too_many_and_too_few_axes(axes, kind, more):
    layer = getattr(nn, f"{kind}{axes}d")(2, 2, 1)
    with pytest.raises(DimensionError, match=f"must have {axes + 1} or {axes + 2}"):
        layer(torch.ones([2] * (axes + 2 + more)))


@each_number_of_axes
def test_an_input_too_short_for_the_kernel_is_named(axes):
    layer = getattr(nn, f"Conv{axes}d")(1, 1, 3, dilation=2)
    name = SPACE[axes].split()[0]
    with pytest.raises(DimensionError, match=f"{name} is 4, must be at least 5") as raised:
        layer(torch.ones(1, 1, *[4] + [5] * (axes - 1)))
    assert raised.value.dim == name


@pytest.mark.parametrize(("mode", "least"), [("reflect", 4), ("circular", 3)])
def test_an_input_too_short_for_its_padding_is_named(mode, least):
    layer = nn.Conv1d(1, 1, 3, padding=3, padding_mode=mode)
    with pytest.raises(DimensionError, match=f"length is 2, must be at least {least}"):
        layer(torch.ones(1, 1, 2))
    assert layer(torch.ones(1, 1, least)).shape[0] == 1


def test_what_torch_refuses_for_another_reason_keeps_its_words():
    with pytest.raises(ValueError, match="output_size must have"):
        nn.ConvTranspose2d(3, 1, 3, stride=2)(torch.ones(1, 3, 4, 4), output_size=[20, 20, 20])


def test_channels_that_the_groups_do_not_divide():
    with pytest.raises(DeclarationError, match="in_channels=3 is not divisible by groups=2") as raised:
        nn.Conv1d(3, 4, 1, groups=2)
    assert raised.value.hint == "Make in_channels a multiple of groups: 2 or 4."


class TestWeight:
    def test_of_another_shape_is_refused_at_the_assignment(self):
        layer = nn.Conv2d(4, 6, (3, 5), groups=2)
        with pytest.raises(TyingError) as raised:
            layer.weight = torch.nn.Parameter(torch.ones(6, 4, 3, 5))
        assert "(out_channels=6, in_channels//2=2, kernel_height=3, kernel_width=5)" in str(raised.value)
        layer.weight = torch.nn.Parameter(torch.ones(6, 2, 3, 5))

    def test_of_a_transpose_has_the_channels_the_other_way_round(self):
        layer = nn.ConvTranspose1d(4, 6, 3)
        with pytest.raises(TyingError, match="in_channels=4, out_channels=6, kernel_length=3"):
            layer.weight = torch.nn.Parameter(torch.ones(6, 4, 3))
        layer.weight = torch.nn.Parameter(torch.ones(4, 6, 3))

    def test_of_another_kernel_in_a_checkpoint_is_named(self):
        with pytest.raises(RuntimeError, match="kernel_height: 5 in the checkpoint, 3 in the model"):
            nn.Conv2d(3, 4, 3).load_state_dict(torch.nn.Conv2d(3, 4, 5).state_dict())


@pytest.mark.parametrize(
    "normalized", [parametrizations.weight_norm, parametrizations.spectral_norm, torch.nn.utils.weight_norm]
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_weight_norms_work_and_the_layer_stays_checked(normalized):
    torch.manual_seed(0)
    ours = normalized(nn.Conv1d(2, 3, 3))
    torch.manual_seed(0)
    theirs = normalized(torch.nn.Conv1d(2, 3, 3))
    images = torch.rand(1, 2, 8)
    torch.manual_seed(1)
    result = ours(images)
    torch.manual_seed(1)
    assert torch.equal(result, theirs(images))
    with pytest.raises(DimensionError, match="in_channels is 3, must be 2"):
        ours(torch.rand(1, 3, 8))


def test_sequential_of_channels_that_do_not_chain():
    with pytest.raises(DeclarationError, match="layer 2 takes in_channels=16, but layer 0 gives out_channels=8"):
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(16, 4, 3))
    with pytest.raises(DeclarationError, match="layer 2 takes in_channels=16, but layer 0 gives out_channels=8"):
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.Conv2d(16, 4, 3))


@pytest.mark.parametrize(
    "between", [lambda: nn.Flatten(), lambda: nn.PixelShuffle(2), lambda: torch.nn.Identity().requires_grad_(False)]
)
def test_sequential_does_not_guess_what_it_does_not_know(between):
    layers = (nn.Conv2d(3, 8, 3), between(), nn.Conv2d(8, 4, 3))
    assert len(nn.Sequential(*layers)) == 3


def test_a_subclass_with_its_own_forward_is_left_alone_by_sequential():
    class Folding(nn.Conv2d):
        def forward(self, input):
            return super().forward(input).flatten(1, 2).unsqueeze(1)

    assert nn.Sequential(Folding(3, 8, 3), nn.Conv2d(1, 4, 3))(torch.ones(1, 3, 8, 8)).shape == (1, 4, 46, 4)


def test_names_stay_in_a_copy():
    mels, hidden = dims(mels=80, hidden=384)
    layer = copy.deepcopy(nn.Conv1d(mels, hidden, 3))
    assert repr(layer) == "Conv1d(mels=80 -> hidden=384, kernel_size=(3,), stride=(1,))"
    assert (layer.in_channels, type(layer.in_channels)) == (80, int)


def test_a_dim_in_a_tuple_reaches_torch_as_an_int():
    (kernel,) = dims(kernel=3)
    layer = nn.Conv2d(1, 1, (kernel, 3))
    assert [type(size) for size in layer.kernel_size] == [int, int]


class TestTransposedSpaces:
    """What a transposed convolution cannot make: nothing at all, and a size that no output padding gives."""

    @pytest.mark.parametrize(
        ("options", "size", "least"),
        [
            ({"padding": 3, "stride": 2, "output_padding": 1}, 1, 3),
            ({"padding": 3}, 3, 5),
            ({}, 0, 1),
        ],
        ids=str,
    )
    @each_number_of_axes
    def test_a_space_too_small_is_named_with_the_least_size(self, axes, options, size, least):
        kind, name = f"ConvTranspose{axes}d", SPACE[axes].split()[-1]
        inputs = torch.rand(2, 4, *(6,) * (axes - 1), size)
        with pytest.raises(RuntimeError) as theirs:
            getattr(torch.nn, kind)(4, 4, 3, **options)(inputs)
        with pytest.raises(DimensionError, match=f"{name} is {size}, must be at least {least}") as ours:
            getattr(nn, kind)(4, 4, 3, **options)(inputs)
        assert isinstance(ours.value, theirs.type)
        inputs = torch.rand(2, 4, *(6,) * (axes - 1), least)
        assert getattr(nn, kind)(4, 4, 3, **options)(inputs).shape[-1] > 0

    @each_number_of_axes
    def test_a_wanted_size_that_no_padding_gives(self, axes):
        kind, name = f"ConvTranspose{axes}d", SPACE[axes].split()[-1]
        ours, theirs = (getattr(namespace, kind)(4, 4, 3, stride=2, padding=1) for namespace in (nn, torch.nn))
        inputs = torch.rand(2, 4, *(6,) * axes)
        for size in (11, 12):  # 2 * (6 - 1) - 2 + 3, and one more
            assert ours(inputs, output_size=[size] * axes).shape[2:] == (size,) * axes
        assert ours(inputs, output_size=[2, 4, *[12] * axes]).shape[2:] == (12,) * axes
        with pytest.raises(ValueError, match="requested an output size of"):
            theirs(inputs, output_size=[11] * (axes - 1) + [13])
        with pytest.raises(
            ValueError, match=f"argument `output_size` does not fit: out_{name} is 13, must be 11 to 12"
        ) as error:
            ours(inputs, output_size=[11] * (axes - 1) + [13])
        assert isinstance(error.value, DimensionError)

    def test_the_kernel_and_the_dilation_count(self):
        layer = nn.ConvTranspose1d(2, 2, 4, stride=3, padding=4, dilation=2)
        with pytest.raises(DimensionError, match="length is 1, must be at least 2"):
            layer(torch.rand(1, 2, 1))
        assert layer(torch.rand(1, 2, 2)).shape == (1, 2, 2)
