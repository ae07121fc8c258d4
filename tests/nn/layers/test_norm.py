"""BatchNorm, SyncBatchNorm, InstanceNorm, GroupNorm, LayerNorm, RMSNorm."""

import copy

import pytest
import torch
from hypothesis import given, strategies as st
from jaxtyping import Float, Float32
from torch import Tensor

from dimtyped import DeclarationError, DimensionError, TyingError, dims, nn, typed
from dimtyped.errors import RankError
from dimtyped.testing import broken_calls, calls, tensors
from tests.helpers.drawn_calls import assert_named, assert_torchs, pair
from tests.helpers.layer_cases import SIZES

SPACE = {0: "", 1: "length", 2: "height width", 3: "depth height width"}


@given(st.data(), st.sampled_from(["BatchNorm", "InstanceNorm", "SyncBatchNorm", "GroupNorm"]), st.booleans())
def test_channels_right_and_wrong(data, kind, training):
    """Torch's numbers and statistics for what it documents, and `channels` named where they are others."""
    space = SPACE[data.draw(st.integers(1 if kind == "InstanceNorm" else 0, 3))]
    groups = data.draw(st.integers(1, 2)) if kind == "GroupNorm" else 1
    channels = groups * data.draw(SIZES)
    axes = f"channels {space}" if kind == "InstanceNorm" and data.draw(st.booleans()) else f"batch channels {space}"
    match kind:
        case "GroupNorm":
            ours, theirs = pair(kind, groups, channels)
        case "SyncBatchNorm":
            ours, theirs = pair(kind, channels)
        case _:
            ours, theirs = pair(f"{kind}{max(1, len(space.split()))}d", channels, affine=True)
    ours.train(training)
    theirs.train(training)

    def documented(input): ...

    documented.__annotations__ = {"input": Float[Tensor, axes]}
    fixed, sides = typed(dims=dims(channels=channels))(documented), {"min_side": 2, "max_side": 4}
    assert_torchs(ours, theirs, data.draw(calls(fixed, **sides)))
    broken = data.draw(broken_calls(fixed, **sides).filter(lambda broken: broken.kind == "size"))
    assert broken.dim == "channels"
    assert_named(ours, theirs, broken, {"channels": channels})


@given(st.data(), st.sampled_from(["LayerNorm", "RMSNorm"]), st.integers(1, 3), st.booleans())
def test_features_right_and_wrong(data, kind, count, affine):
    names = ["features_3", "features_2", "features"][-count:]
    sizes = {name: data.draw(SIZES) for name in names}
    ours, theirs = pair(kind, tuple(sizes.values()), elementwise_affine=affine)
    batch = data.draw(tensors(Float32[Tensor, " ".join(["...", *names])], sizes=sizes, allow_empty=True))
    assert_torchs(ours, theirs, ((batch,), {}))
    assert_named(ours, theirs, data.draw(broken_calls(ours)), sizes)


@given(st.data(), st.sampled_from([("GroupNorm", 2, 4), ("SyncBatchNorm", 4)]))
def test_what_is_broken_is_refused_as_what_it_is(data, made):
    ours, theirs = pair(*made)
    assert_named(ours, theirs, data.draw(broken_calls(ours)), {"channels": 4})


class TestWithoutASize:
    """Without parameters and statistics torch uses no size, and neither is one checked."""

    @pytest.mark.parametrize("kind", ["BatchNorm1d", "InstanceNorm1d"])
    def test_any_number_of_channels(self, kind, recwarn):
        options = {"affine": False, "track_running_stats": False}
        ours, theirs = (getattr(namespace, kind)(4, **options) for namespace in (nn, torch.nn))
        batch = torch.rand(2, 5, 6)
        assert torch.equal(ours(batch), theirs(batch))
        assert len(recwarn) == (2 if kind == "InstanceNorm1d" else 0)  # torch's own warning, once each

    def test_a_group_norm_without_parameters(self):
        assert nn.GroupNorm(2, 4, affine=False)(torch.rand(2, 6)).shape == (2, 6)
        with pytest.raises(RuntimeError, match="channels is 5, must be a multiple of 2"):
            nn.GroupNorm(2, 4, affine=False)(torch.rand(2, 5))

    @pytest.mark.parametrize("options", [{"affine": False}, {"track_running_stats": False}])
    def test_a_batch_norm_with_one_of_the_two_is_checked(self, options):
        with pytest.raises(DimensionError, match="channels is 5, must be 4"):
            nn.BatchNorm1d(4, **options)(torch.rand(2, 5))

    def test_it_chains_with_anything_in_sequential(self):
        assert len(nn.Sequential(nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(16), nn.Conv2d(8, 4, 3))) == 3


@pytest.mark.parametrize(
    ("layer", "shape", "ranks"),
    [
        (lambda: nn.BatchNorm1d(4), (4,), "2 or 3"),
        (lambda: nn.BatchNorm2d(4), (2, 4, 5), "4"),
        (lambda: nn.BatchNorm3d(4), (2, 4, 5, 6), "5"),
        (lambda: nn.SyncBatchNorm(4), (4,), "at least 2"),
        (lambda: nn.InstanceNorm1d(4, affine=True), (4,), "2 or 3"),
        (lambda: nn.InstanceNorm2d(4, affine=True), (2, 4), "3 or 4"),
    ],
)
def test_other_numbers_of_axes_are_caught_by_what_caught_torchs(layer, shape, ranks):
    with pytest.raises(ValueError, match=f"must have {ranks}") as raised:
        layer()(torch.rand(shape))
    assert type(raised.value) is RankError


def test_channels_of_an_instance_norm_are_caught_by_what_caught_torchs():
    with pytest.raises(ValueError, match="channels is 5, must be 4"):
        nn.InstanceNorm2d(4, affine=True)(torch.rand(2, 5, 6, 6))


def test_an_axis_before_the_last_is_named():
    channels, height, width = dims(channels=3, height=4, width=5)
    layer = nn.LayerNorm((channels, height, width))
    assert repr(layer) == "LayerNorm(channels=3, height=4, width=5, eps=1e-05, elementwise_affine=True, bias=True)"
    assert layer.normalized_shape == (3, 4, 5)
    assert {type(size) for size in layer.normalized_shape} == {int}
    with pytest.raises(DimensionError, match="channels is 2, must be 3; height is 5, must be 4") as raised:
        layer(torch.rand(1, 2, 5, 5))
    assert raised.value.dim == "channels"


def test_too_few_axes_for_a_layer_norm():
    with pytest.raises(DimensionError, match="it has 1 axis, must have at least 2"):
        nn.LayerNorm((3, 4))(torch.rand(4))


def test_the_groups_stay_in_the_repr():
    (width,) = dims(width=64)
    assert repr(nn.GroupNorm(8, width)) == "GroupNorm(width=64, num_groups=8, eps=1e-05, affine=True, bias=True)"


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
def test_ragged_tensors_are_torchs_to_judge():
    ragged = torch.nested.nested_tensor([torch.rand(2, 4), torch.rand(3, 4)])
    ours, theirs = nn.LayerNorm(4)(ragged), torch.nn.LayerNorm(4)(ragged)
    assert all(torch.equal(our, their) for our, their in zip(ours.unbind(), theirs.unbind(), strict=True))


def test_channels_that_the_groups_do_not_divide():
    with pytest.raises(DeclarationError, match="num_channels=5 is not divisible by num_groups=2"):
        nn.GroupNorm(2, 5)


def test_a_weight_of_another_shape_is_refused_at_the_assignment():
    with pytest.raises(TyingError, match="channels=4"):
        nn.BatchNorm2d(4).weight = torch.nn.Parameter(torch.ones(5))
    with pytest.raises(TyingError, match="features_2=3, features=4"):
        nn.LayerNorm((3, 4)).weight = torch.nn.Parameter(torch.ones(4))


class TestConvertingToSyncBatchNorm:
    def test_by_torchs_class(self):
        model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4)))
        assert type(model[1]) is torch.nn.SyncBatchNorm
        assert model(torch.rand(2, 1, 3, 3)).shape == (2, 4, 3, 3)

    def test_by_ours_it_stays_typed_and_keeps_its_names_and_numbers(self):
        (width,) = dims(width=4)
        model = nn.Sequential(nn.Conv2d(1, width, 1), nn.BatchNorm2d(width))
        model(torch.rand(8, 1, 3, 3))
        model.eval()
        batch = torch.rand(2, 1, 3, 3)
        expected = model(batch)
        converted = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model))
        assert type(converted[1]) is nn.SyncBatchNorm
        assert repr(converted[1]).startswith("SyncBatchNorm(width=4, ")
        assert torch.equal(converted(batch), expected)

    def test_a_plain_one_stays_plain(self):
        converted = nn.SyncBatchNorm.convert_sync_batchnorm(torch.nn.BatchNorm2d(4))
        assert type(converted) is torch.nn.SyncBatchNorm


@pytest.mark.parametrize("training", [True, False])
def test_sync_batch_norm_is_torchs_bit_for_bit(training):
    ours, theirs = nn.SyncBatchNorm(4).train(training), torch.nn.SyncBatchNorm(4).train(training)
    batch = torch.rand(3, 4, 5)
    assert torch.equal(ours(batch), theirs(batch))
    assert torch.equal(ours.running_var, theirs.running_var)
    assert list(ours.state_dict()) == list(theirs.state_dict())
