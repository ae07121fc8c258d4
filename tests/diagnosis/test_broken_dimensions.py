"""One dimension of a right call made wrong: the error names it, and what it proposes makes the call right again."""

import inspect
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, event, given, settings, strategies as st
from torch import Tensor

from dimtyped import DimensionError, nn
from dimtyped.annotations import Kind, Signature, arrays_in
from dimtyped.diagnosis import Mismatch, snapshot
from dimtyped.diagnosis.fixes import FixContext
from dimtyped.engine import entry_of
from dimtyped.nn.contract import Layer
from tests.helpers.fixing import assert_is_what_it_says, call, fixed, recorded
from tests.nn.contract.test_module_db import REPLACED, Sample, by_name, fresh, samples

SIZES = range(1, 10)


@dataclass(frozen=True)
class Break:
    """One axis of one tensor of a right call, and the size that it gets."""

    name: str
    sample: int
    place: str
    axis: int
    size: int

    @property
    def source(self) -> Sample:
        return ALL[self.name][self.sample]

    def module(self) -> torch.nn.Module:
        module = self.source.typed()
        if self.name.startswith("Lazy"):  # the first call is what says its sizes
            module(**self.right())
        return module

    def right(self) -> dict[str, Any]:
        return right_call(self.source)

    def wrong(self) -> dict[str, Any]:
        arguments = self.right()
        value = dict(tensors_in(arguments))[self.place]
        shape = (*value.shape[: self.axis], self.size, *value.shape[self.axis + 1 :])
        name, _, index = self.place.rstrip("]").partition("[")
        broken = torch.zeros(shape, dtype=value.dtype)
        if not index:
            return {**arguments, name: broken}
        items = list(arguments[name])
        items[int(index)] = broken
        return {**arguments, name: tuple(items)}


def right_call(sample: Sample) -> dict[str, Any]:
    inputs = sample.row.forward_input
    bound = inspect.signature(sample.info.module_cls.forward).bind(None, *fresh(inputs.args), **fresh(inputs.kwargs))
    return {name: value for name, value in bound.arguments.items() if name != "self"}


def tensors_in(arguments: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Each tensor among the arguments, with its place."""
    for name, value in arguments.items():
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, tuple):
            yield from ((f"{name}[{index}]", item) for index, item in enumerate(value) if isinstance(item, Tensor))


def free(sample: Sample) -> Sample:
    """The sample without random numbers for just its sizes, an argument that torch does not document."""
    sample.row.constructor_input.kwargs.pop("_random_samples", None)
    return sample


def has_axes(sample: Sample) -> bool:
    return any(value.dim() for _, value in tensors_in(right_call(sample)))


ALL = {
    by_name(info): [free(sample) for sample in samples(info, torch.float32, False) if has_axes(sample)]
    for info in REPLACED
}


@st.composite
def breaks(draw: st.DrawFn, name: str) -> Break:
    index = draw(st.integers(0, len(ALL[name]) - 1))
    places = [(place, value) for place, value in tensors_in(right_call(ALL[name][index])) if value.dim()]
    place, value = draw(st.sampled_from(places))
    axis = draw(st.integers(0, value.dim() - 1))
    return Break(name, index, place, axis, draw(st.sampled_from([size for size in SIZES if size != value.shape[axis]])))


def signature_of(module: Any, arguments: dict[str, Any]) -> Signature | None:
    """What holds of a right call; None where nothing but torch does, and for the RNNs, which check inside of torch's."""
    whole: Any = entry_of(type(module).forward)
    if whole is None:
        return None
    given_values = {p.name: arguments.get(p.name, p.default) for p in whole.signature.parameters[1:]}
    values = (module, *given_values.values())
    usual = whole.forms.select_form(values, whole)
    if (
        usual is None
        or usual.explainer.find_error_of(module, tuple(snapshot(v) for v in values), {}, "arguments", None) is None
    ):
        return usual and usual.signature
    other = usual.forms.select_fallback(values, usual)
    return other and other.signature


def names_at(signature: Signature | None, module: Any, arguments: dict[str, Any], at: Break) -> set[str]:
    """What the layer's annotations call an axis of a right call; empty where they do not care."""
    hint = (
        next((p.hint for p in signature.parameters if p.name == at.place.partition("[")[0]), None)
        if signature
        else None
    )
    names, rank = set(), dict(tensors_in(arguments))[at.place].dim()
    for array in arrays_in(hint) if hint is not None else ():
        many = array.variadic
        if len(array.axes) != rank if many is None else len(array.axes) - 1 > rank:
            continue
        index = at.axis if many is None or at.axis < many else max(many, at.axis - rank + len(array.axes))
        found = array.axes[index]
        if found.kind is not Kind.ANY:
            label = module._dim_labels.get(found.name, found.label or found.name or found.text)
            names.add(f"*{found.name}" if found.many else label)
    return names


def is_named(context: FixContext, at: Break, names: set[str]) -> bool:
    """Whether the error says that this dimension is wrong: by its name, or by its very axis."""

    def is_it(mismatch: Mismatch) -> bool:
        is_there = mismatch.axis == at.axis and mismatch.place == at.place
        return (
            not names.isdisjoint((mismatch.dim, context.label(mismatch.dim))) or is_there or mismatch.place == "var"
        )  # of any shape like the input's

    return any(is_it(mismatch) for mismatch in context.mismatches)


def refusal(module: torch.nn.Module, arguments: dict[str, Any]) -> Exception | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of a broadcast that it lets pass
        try:
            call(module.forward, arguments)
        except Exception as error:  # noqa: BLE001  # torch raises what it likes
            return error
    return None


def assert_it_is_named_and_fixed(at: Break) -> None:
    module, wrong = at.module(), at.wrong()
    signature = signature_of(module, at.right())
    with recorded() as found:
        error = refusal(module, wrong)
    if error is None:
        event("legal")
        return
    if isinstance(module, torch.nn.RNNBase) and found:
        signature = found[-1][0].call.signature
    names = names_at(signature, module, at.right(), at)
    assert isinstance(error, DimensionError) or not names, (at, error, names)
    if not isinstance(error, DimensionError):
        event("refused by torch alone, for what no annotation names")
        return
    context, fix = found[-1]
    assert is_named(context, at, names), (at, error, names)
    event("fixed" if fix is not None else "no fix")
    if fix is not None and fix.code and "(source," not in fix.text:  # a layer that the fix cannot know
        assert_is_what_it_says(fix, {**wrong, "self": module})
        assert refusal(module, fixed(fix, wrong)) is None, (at, fix)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")  # torch's, of its own samples
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_error_names_it_and_its_mend_fits(name: str, data: st.DataObject) -> None:
    assert_it_is_named_and_fixed(data.draw(breaks(name)))


# Layers that torch's table lacks --------------------------------------------------------------------------------------


def ids(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.long)


OTHERS: dict[str, tuple[Callable[[], Any], dict[str, Tensor], dict[tuple[str, int], str]]] = {
    "TiedDecoder": (
        lambda: nn.TiedDecoder(nn.Embedding(7, 3), 5, project=True),
        {"input": torch.rand(2, 4, 5)},
        {("input", 2): "hidden"},
    ),
    "StateBridge": (
        lambda: nn.StateBridge(nn.GRU(2, 3, 2), nn.GRU(2, 5)),
        {"state": torch.rand(2, 4, 3)},
        {("state", 0): "layers", ("state", 2): "hidden"},
    ),
    "EmbeddingBag": (
        lambda: nn.EmbeddingBag(7, 3, mode="sum"),
        {"input": ids(2, 4), "per_sample_weights": torch.rand(2, 4)},
        {("per_sample_weights", 0): "batch", ("per_sample_weights", 1): "tokens"},
    ),
    "TransformerDecoder": (
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 8, batch_first=True), 1),
        {"tgt": torch.rand(2, 3, 4), "memory": torch.rand(2, 5, 4)},
        {("tgt", 2): "embed", ("memory", 0): "batch", ("memory", 2): "embed"},
    ),
    "AdaptiveLogSoftmaxWithLoss": (
        lambda: nn.AdaptiveLogSoftmaxWithLoss(32, 6, [2, 4]),
        {"input_": torch.rand(2, 32), "target_": ids(2)},
        {("input_", 1): "in_features", ("target_", 0): "batch"},
    ),
    "TripletMarginLoss": (
        nn.TripletMarginLoss,
        dict.fromkeys(("anchor", "positive", "negative"), torch.rand(3, 4)),
        {("positive", 0): "*shape", ("negative", 1): "*shape"},
    ),
    "TripletMarginWithDistanceLoss": (
        nn.TripletMarginWithDistanceLoss,
        dict.fromkeys(("anchor", "positive", "negative"), torch.rand(3, 4)),
        {("positive", 1): "*shape", ("negative", 0): "*shape"},
    ),
    "MaxUnpool2d": (
        lambda: nn.MaxUnpool2d(2),
        {"input": torch.rand(2, 3, 4, 4), "indices": ids(2, 3, 4, 4)},
        {("indices", 0): "*shape", ("indices", 3): "*shape"},
    ),
    "Unflatten": (lambda: nn.Unflatten(1, (2, 3)), {"input": torch.rand(4, 6)}, {("input", 1): "axis 1"}),
    "Fold": (
        lambda: nn.Fold(4, kernel_size=(1, 3)),
        {"input": torch.rand(2, 6, 8)},
        {("input", 1): "values", ("input", 2): "blocks"},
    ),
    "PixelShuffle": (lambda: nn.PixelShuffle(3), {"input": torch.rand(1, 9, 2, 2)}, {("input", 1): "channels"}),
    "PixelUnshuffle": (
        lambda: nn.PixelUnshuffle(3),
        {"input": torch.rand(1, 1, 6, 6)},
        {("input", 2): "height", ("input", 3): "width"},
    ),
    "ChannelShuffle": (lambda: nn.ChannelShuffle(3), {"input": torch.rand(1, 6, 2, 2)}, {("input", 1): "channels"}),
}


@pytest.mark.parametrize("name", OTHERS)
@settings(max_examples=15)
@given(data=st.data())
def test_so_do_layers_that_the_table_lacks(name: str, data: st.DataObject) -> None:
    make, right, axes = OTHERS[name]
    (argument, axis), dim = data.draw(st.sampled_from(list(axes.items())))
    size = right[argument].shape[axis] + data.draw(
        st.sampled_from([1, 2])
    )  # which divides by none of what must divide it
    shape = (*right[argument].shape[:axis], size, *right[argument].shape[axis + 1 :])
    layer = make()
    layer(**right)
    with pytest.raises(DimensionError) as caught:
        layer(**{**right, argument: torch.zeros(shape, dtype=right[argument].dtype)})
    assert (caught.value.argument, caught.value.dim) == (argument, dim)
    said = "its shape is" if dim == "*shape" else dim
    assert said in str(caught.value).partition("\n")[0]


def test_every_layer_is_among_them() -> None:
    tested = {*ALL, *OTHERS}
    alike = {"MaxUnpool1d": "MaxUnpool2d", "MaxUnpool3d": "MaxUnpool2d", "SyncBatchNorm": "BatchNorm1d"}
    without = {
        "Flatten",
        "Unfold",
        "Upsample",
        "UpsamplingNearest2d",
        "UpsamplingBilinear2d",
    }  # any size of any axis is right
    classes = {cls.__name__ for cls in vars(nn).values() if isinstance(cls, type) and issubclass(cls, Layer)}
    containers = {"Sequential", "ModuleList", "ModuleDict"}
    assert {name for name in classes if not name.startswith("Lazy")} - containers - without - alike.keys() <= tested
    assert {*alike.values()} <= tested
