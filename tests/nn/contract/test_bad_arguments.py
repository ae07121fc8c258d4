"""What a constructor is given: what cannot work is refused with its value, for every typed layer; the rest is taken."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from dimtyped import DeclarationError, Dim, DimSize, nn
from dimtyped.nn.contract import layer as _layer, lazy_layer as _lazy
from tests.helpers.right_arguments import RIGHT, make

# Arguments that are no sizes: a negative one, or zero, means something.
ANY_INT = {"padding_idx", "start_dim", "end_dim", "ignore_index"}
ARGUMENTS = [
    pytest.param(kind, name, id=f"{kind}.{name}")
    for kind, arguments in RIGHT.items()
    for name, value in arguments.items()
    if type(value) is int
]
every_argument = pytest.mark.parametrize(("kind", "name"), ARGUMENTS)
lazily = pytest.mark.filterwarnings("ignore:Lazy modules are a new feature", "ignore:enable_nested_tensor is True")


def refusal(kind: str, name: str, value: Any) -> DeclarationError:
    """The error, which shows the value; the model that was to hold the layer is as it was."""
    model = nn.Module()
    model.layer = held = nn.Linear(2, 2)
    with pytest.raises(DeclarationError) as info:
        model.layer = make(nn, kind, **{name: value})
    assert f"{name}={value!r}" in str(info.value)
    assert not isinstance(info.value, TypeError)
    assert (model.layer, list(model._modules)) == (held, ["layer"])
    return info.value


# Every layer ----------------------------------------------------------------------------------------------------------


def test_the_table_has_every_typed_layer() -> None:
    typed = {cls.__name__ for cls in (*_layer.layer_classes(), *_lazy._typed.values())}
    without_sizes = {name for name in typed - RIGHT.keys() if not name.endswith("Loss")}
    assert RIGHT.keys() <= typed
    assert without_sizes == {"StateBridge", "Unflatten"}


@lazily
@pytest.mark.parametrize("kind", RIGHT)
def test_right_arguments_are_taken_also_as_numpys(kind: str) -> None:
    make(nn, kind)
    numpys = {name: np.int64(value) for name, value in RIGHT[kind].items() if type(value) is int}
    as_torch = {name: value for name, value in numpys.items() if _torch_takes(kind, name, value)}
    make(nn, kind, **as_torch)


def _torch_takes(kind: str, name: str, value: Any) -> bool:
    try:
        make(torch.nn, kind, **{name: value})
    except (TypeError, ValueError, RuntimeError, AssertionError, ZeroDivisionError):
        return False
    return True


@pytest.mark.filterwarnings("ignore:.*is counted from the end:dimtyped.DimensionWarning")  # which is right, and told
@lazily
@every_argument
@pytest.mark.parametrize("value", [-3, 2.5, "2", True, np.float64(2.0)], ids=repr)
def test_what_is_no_size_is_refused_with_its_value(kind: str, name: str, value: Any) -> None:
    if value == -3 and (name in ANY_INT or kind.startswith("MaxUnpool")):
        make(nn, kind, **{name: value})
        return
    error = refusal(kind, name, value)
    assert error.argument == name
    assert error.where.startswith(kind)


@lazily
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@every_argument
def test_zero_is_refused_where_torch_refuses_it(kind: str, name: str) -> None:
    if (kind != "TiedDecoder" and not _torch_takes(kind, name, 0)) or _runs_never(kind, name):
        refusal(kind, name, 0)
    else:
        make(nn, kind, **{name: 0})


def _runs_never(kind: str, name: str) -> bool:
    """Whether torch's constructor takes a zero, and every call refuses it."""
    if (kind, name) == ("Fold", "output_size"):
        return True
    positive = {"kernel_size", "stride", "dilation", "groups", "upscale_factor", "downscale_factor", "size"}
    return name in positive and not kind.startswith("MaxUnpool") and ("Transpose" not in kind or name != "dilation")


# By how their names begin: what the layers that have more than dimensions run on.
CALLS: dict[str, Callable[[int], torch.Tensor]] = {
    "Conv": lambda n: torch.ones(2, 2, *[7] * n),
    "MaxPool": lambda n: torch.ones(2, 2, *[7] * n),
    "AvgPool": lambda n: torch.ones(2, 2, *[7] * n),
    "LPPool": lambda n: torch.ones(2, 2, *[7] * n),
    "AdaptiveMax": lambda n: torch.ones(2, 2, *[7] * n),
    "AdaptiveAvg": lambda n: torch.ones(2, 2, *[7] * n),
    "Fold": lambda _: torch.ones(1, 4, 9),
    "Unfold": lambda _: torch.ones(2, 2, 7, 7),
    "Pixel": lambda _: torch.ones(1, 36, 6, 6),
    "ChannelShuffle": lambda _: torch.ones(1, 12, 6, 6),
    "Upsampl": lambda _: torch.ones(1, 2, 4, 4),
}
COUNTED = [
    pytest.param(
        *argument.values,
        next(c for prefix, c in CALLS.items() if argument.values[0].startswith(prefix)),
        id=argument.id,
    )
    for argument in ARGUMENTS
    if argument.values[0].startswith(tuple(CALLS)) and not argument.values[1].endswith("_channels")
]


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize(("kind", "name", "values"), COUNTED)
def test_what_is_refused_runs_nowhere_in_torch(kind: str, name: str, values: Callable[[int], torch.Tensor]) -> None:
    """So that no model that works is refused. A bool for a kernel's size is: it is no size, though torch takes it."""
    given = values(next((int(letter) for letter in kind if letter.isdigit()), 2))
    make(nn, kind)(given)
    for value in (-3, 0, 2.5, "2", True):
        if not _torch_takes(kind, name, value) or (name, value) == ("kernel_size", True):
            continue
        layer = make(torch.nn, kind, **{name: value})
        try:
            make(nn, kind, **{name: value})
        except DeclarationError:
            with pytest.raises((RuntimeError, TypeError, ValueError)):
                layer(given)
        else:
            if kind != "ConvTranspose3d":  # which does not run without dilation, as the others do
                layer(given)


# Sizes with names -----------------------------------------------------------------------------------------------------


def _sizes_of(kind: str) -> list[str]:
    """The constructor's arguments that may be Dims."""
    cls = getattr(nn, kind)
    named = {*cls.contract.sizes.values(), *cls.contract.arguments}
    return [name for name in RIGHT[kind] if name in named]


@lazily
@pytest.mark.parametrize("kind", [kind for kind in RIGHT if len(_sizes_of(kind)) > 1])
def test_one_name_for_two_sizes_is_refused(kind: str) -> None:
    first, second = _sizes_of(kind)[:2]
    small, large = Dim("width", RIGHT[kind][first]), Dim("width", 4 * RIGHT[kind][first])
    with pytest.raises(DeclarationError, match=f"`width` has two sizes: {small} and {large}") as info:
        make(nn, kind, **{first: small, second: large})
    assert (info.value.dim, info.value.expected, info.value.actual) == ("width", int(small), int(large))


def test_a_name_that_is_none() -> None:
    for name in ("2wide", "", "a b", "class", 3):
        with pytest.raises(DeclarationError, match=f"{name!r}"):
            nn.Linear(Dim(name, 3), 2)  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("size", [-3, 2.5, "2", True], ids=repr)
def test_a_models_own_size(size: Any) -> None:
    class Model(nn.Module):
        def __init__(self, width: DimSize) -> None:
            super().__init__()
            self.layer = nn.Linear(width, 2)

    with pytest.raises(DeclarationError, match=f"width.*{size!r}|{size!r}.*width"):
        Model(size)


# Inside a tuple -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [(2, -3), [2, 2.5], (2, "2"), (True, 2)], ids=repr)
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Conv2d", "kernel_size"),
        ("Conv2d", "stride"),
        ("ConvTranspose2d", "output_padding"),
        ("MaxPool2d", "dilation"),
        ("AvgPool2d", "padding"),
        ("AdaptiveMaxPool2d", "output_size"),
        ("Upsample", "size"),
        ("LayerNorm", "normalized_shape"),
    ],
)
def test_each_of_several_is_looked_at(kind: str, name: str, value: Any) -> None:
    refusal(kind, name, value)


@pytest.mark.parametrize(
    ("kind", "name", "right", "wrong"),
    [
        ("Conv1d", "kernel_size", [(2,)], [(2, 2), ()]),
        ("Conv2d", "kernel_size", [(2, 2)], [(2,), (2, 2, 2)]),
        ("ConvTranspose2d", "kernel_size", [(2, 2)], [(2,)]),
        ("Conv2d", "stride", [(1,), (1, 1)], [(1, 1, 1)]),
        ("Conv2d", "dilation", [(1,), (1, 1)], [(1, 1, 1)]),
        ("Conv2d", "padding", [(1,), (1, 1)], [(1, 1, 1)]),
        ("Conv3d", "padding", [(1,), (1, 1, 1)], [(1, 1)]),
        ("MaxPool2d", "kernel_size", [(2,), (2, 2)], [(2, 2, 2), ()]),
        ("AvgPool3d", "stride", [(2,), (2, 2, 2), ()], [(2, 2)]),
        ("MaxPool1d", "padding", [(0,)], [(0, 0), ()]),
    ],
)
def test_a_window_has_an_entry_for_each_axis(kind: str, name: str, right: list[Any], wrong: list[Any]) -> None:
    """Exactly those are refused that torch itself runs nowhere."""
    values = torch.ones(2, 2, *[7] * int(kind[-2]))
    for value in right:
        assert make(nn, kind, **{name: value})(values).shape == make(torch.nn, kind, **{name: value})(values).shape
    for value in wrong:
        refusal(kind, name, value)
        with pytest.raises((RuntimeError, TypeError, ValueError, IndexError)):
            make(torch.nn, kind, **{name: value})(values)


@pytest.mark.parametrize("value", [None, [3], torch.ones(3), torch.tensor(True), torch.tensor(2.5)], ids=str)
def test_what_is_no_size_at_all(value: Any) -> None:
    for make_layer in (lambda: nn.Linear(value, 2), lambda: nn.GRU(value, 2)):
        with pytest.raises(DeclarationError, match=r"(in_features|input_size)=.* is (of type|not an int)") as info:
            make_layer()
        assert info.value.argument in ("in_features", "input_size")


def test_what_several_may_be() -> None:
    assert nn.AdaptiveAvgPool2d((None, 2))(torch.ones(1, 3, 5)).shape == (1, 3, 2)
    assert nn.Conv2d(2, 2, (1, 2), stride=[1, 2], padding=(0, 1))(torch.ones(2, 3, 4)).shape == (2, 3, 3)
    assert nn.MaxPool2d(2, None)(torch.ones(1, 4, 4)).shape == (1, 2, 2)
    assert nn.LayerNorm([3, 4]).normalized_shape == (3, 4)
    assert nn.LayerNorm(torch.Size([3])).normalized_shape == (3,)
    for word in ("same", "valid"):
        assert nn.Conv2d(2, 2, 1, padding=word)(torch.ones(2, 3, 4)).shape == (2, 3, 4)
    with pytest.raises(DeclarationError, match="padding='reflect'"):
        nn.Conv2d(2, 2, 1, padding="reflect")
    with pytest.raises(DeclarationError, match="padding='same'"):
        nn.ConvTranspose2d(2, 2, 1, padding="same")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(DeclarationError, match="padding='same'"):
        nn.Conv2d(2, 2, 3, stride=2, padding="same")


# Combinations ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [10, -11, 2.0, "0", True], ids=repr)
def test_padding_outside_the_vocabulary(padding: Any) -> None:
    with pytest.raises(DeclarationError, match=f"Embedding: padding_idx={padding!r} is ") as info:
        nn.Embedding(10, 4, padding_idx=padding)
    assert (info.value.argument, info.value.expected, info.value.actual) == ("padding_idx", "-10 to 9", padding)


@pytest.mark.filterwarnings("ignore:.*is counted from the end:dimtyped.DimensionWarning")  # which is right, and told
def test_padding_by_any_int_in_the_vocabulary() -> None:
    for padding, index in ((0, 0), (-1, 9), (np.int64(3), 3), (None, None)):
        assert nn.Embedding(10, 4, padding_idx=padding).padding_idx == index


def test_what_torch_takes_is_taken() -> None:
    for size in (np.int64(3), np.int32(3), torch.tensor(3), Dim("n", 3)):
        assert nn.Linear(size, 2).weight.shape == (2, 3)
        assert nn.Embedding(size, 2).weight.shape == (3, 2)


def test_pythons_and_torchs_other_errors_stay() -> None:
    with pytest.raises(TypeError, match="missing"):
        nn.Linear(3)  # type: ignore[call-arg]  # on purpose
    with pytest.raises(TypeError, match="unexpected keyword"):
        nn.Embedding(3, 4, width=5)  # type: ignore[call-arg]  # on purpose
    with pytest.raises(RuntimeError, match="device") as info:
        nn.Linear(3, 4, device="nowhere")
    assert not isinstance(info.value, DeclarationError)


def test_combinations_that_cannot_be() -> None:
    for layer, text in (
        (lambda: nn.MultiheadAttention(10, 3), "embed_dim=10 is not divisible by num_heads=3"),
        (lambda: nn.Conv2d(3, 4, 1, groups=2), "in_channels=3 is not divisible by groups=2"),
        (lambda: nn.LSTM(3, 4, proj_size=4), "given hidden_size=4, proj_size=4"),
        (lambda: nn.RNN(3, 4, nonlinearity="gelu"), "given nonlinearity='gelu'"),
        (lambda: nn.GRU(3, 4, dropout=1.5), "given dropout=1.5"),
    ):
        with pytest.raises(DeclarationError, match=text):
            layer()


def test_a_refused_constructor_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(OrderedDict(first=nn.Linear(2, 3)))
    with pytest.raises(DeclarationError):
        model.second = nn.Linear(3, -1)
    assert list(model._modules) == ["first"]


def test_an_own_error_in_a_subclass_is_its_own() -> None:
    class Picky(nn.Linear):
        def reset_parameters(self) -> None:
            raise ValueError("not today")

    with pytest.raises(ValueError, match="^not today$"):
        Picky(2, 3)
