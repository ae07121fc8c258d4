"""`calls` and `broken_calls`: what fits is taken, what is broken is refused, and the truth beside it is true."""

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from hypothesis import find, given, settings
from hypothesis.errors import NoSuchExample
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from dimtyped import DeclarationError, DimensionError, DimSize, dims, nn, typed
from dimtyped.cli.demo.model import Attention, Encoder, Seq2Seq
from dimtyped.testing import broken_calls, calls, fuzz
from dimtyped.testing.strategies import sizes as _sizes
from tests.testing.seeded_bugs import BUGS


@dataclass
class Batch:
    tokens: Int[Tensor, "batch seq"]
    mask: Bool[Tensor, "batch seq"] | None


class State(NamedTuple):
    h: Float[Tensor, "batch hidden"]
    c: Float[Tensor, "batch hidden"]


@typed
def named(x: Float[Tensor, "batch seq"], y: Float[Tensor, "seq 2*seq"], *, z: Int[Tensor, "batch"]) -> None: ...


@typed
def optional(x: Float[Tensor, "a b"] | None, y: Float[Tensor, "b"] | None = None, flag: bool = False) -> None: ...


@typed
def one_of(x: Float[Tensor, "a b"] | Int[Tensor, "a"], y: Float[Tensor, "a"]) -> None: ...


@typed
def containers(
    pair: tuple[Float[Tensor, "a"], Int[Tensor, "b"]],
    many: list[Float[Tensor, "a b"]],
    table: dict[str, Float[Tensor, "b"]],
    state: State,
    batch: Batch,
) -> None: ...


@typed
def plain(
    count: int, rate: float, name: str, is_on: bool, x: Float[Tensor, "{count} n"], /, y: Float[Tensor, "n+{count}"]
) -> None: ...


@typed
def variadic(*xs: Float[Tensor, "a b"], **ys: Float[Tensor, "b"]) -> None: ...


@typed
def runs(x: Float[Tensor, "*rest a"], y: Float[Tensor, "*rest #a"], z: Float[Tensor, "... a 3"]) -> None: ...


@typed(dims=dims(vocab=5, embed=3))
def fixed(x: Int[Tensor, "batch"], table: Float[Tensor, "vocab embed"]) -> None: ...


@typed
def packed(x: PackedSequence, h: Float[Tensor, "layers batch hidden"]) -> None: ...


class Methods(nn.Module):
    def __init__(self, width: DimSize):
        super().__init__()
        self.width = width
        self.half = 2

    def forward(self, x: Float[Tensor, "batch width"], y: Shaped[Tensor, "{self.half} batch-1"]) -> None: ...

    @typed
    def other(self, x: Float[Tensor, "batch width"], n: int = 3) -> None: ...


FUNCTIONS = [named, optional, one_of, containers, plain, variadic, runs, fixed, packed, Methods(4), Methods(4).other]
MODELS = [Seq2Seq(5, 2, 3), Encoder(5, 2, 3), Attention(4)]
# torch warns that it has no fast kernel for these
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")
LAYERS = [
    nn.Linear(3, 4),
    nn.Embedding(5, 3),
    nn.GRU(3, 4),
    nn.LSTM(3, 4, batch_first=True, num_layers=2),
    nn.LSTM(3, 4, proj_size=2),
    nn.RNN(3, 4, bidirectional=True),
    nn.GRUCell(3, 4),
    nn.LSTMCell(3, 4),
    nn.Conv1d(4, 6, 3),
    nn.Conv2d(4, 6, 2),
    nn.ConvTranspose1d(4, 6, 3),
    nn.LayerNorm(4),
    nn.RMSNorm((2, 4)),
    nn.BatchNorm1d(3).eval(),
    nn.GroupNorm(2, 4),
    nn.InstanceNorm1d(3).eval(),
    nn.MultiheadAttention(4, 2, batch_first=True),
    nn.MultiheadAttention(4, 2, kdim=3),
    nn.TiedDecoder(nn.Embedding(5, 3), 4, project=True),
    nn.StateBridge(nn.GRU(3, 4), nn.GRU(3, 5)),
    nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)),
]


def label(value):
    return (
        value.__name__
        if callable(getattr(value, "__name__", None)) or hasattr(value, "__name__")
        else type(value).__name__
    )


@pytest.mark.parametrize("target", FUNCTIONS + MODELS + LAYERS, ids=label)
@pytest.mark.filterwarnings("ignore:input's size at dim")  # torch's, of channels that a norm does not use
def test_a_call_fits(target):
    @settings(max_examples=25)
    @given(calls(target))
    def check(call):
        args, kwargs = call
        target(*args, **kwargs)

    check()


@pytest.mark.parametrize("target", FUNCTIONS + MODELS + LAYERS, ids=label)
def test_a_broken_call_is_refused_for_what_is_broken(target):
    @settings(max_examples=25)
    @given(broken_calls(target))
    def check(broken):
        with pytest.raises(TypeError if broken.kind == "missing" else DimensionError) as caught:
            target(*broken.args, **broken.kwargs)
        if broken.kind != "missing":
            assert caught.value.argument == broken.argument
        if broken.kind == "size":
            assert caught.value.dim == broken.dim

    check()


@pytest.mark.parametrize("kind", ["size", "rank", "dtype", "type", "missing"])
def test_each_kind_of_break_is_drawn(kind):
    find(broken_calls(named), lambda broken: broken.kind == kind)


def test_the_first_tensor_with_a_name_is_never_broken_there():
    @given(broken_calls(named))
    def check(broken):
        assert (broken.argument, broken.kind) != ("x", "size")

    check()


@pytest.mark.parametrize(
    "of",
    {
        "nothing given": lambda call: call == ((None,), {}),
        "a default given": lambda call: "flag" in call[1] or len(call[0]) > 2,
        "both tensors": lambda call: len(call[0]) > 1 and call[0][0] is not None and call[0][1] is not None,
    }.items(),
    ids=lambda item: item[0],
)
def test_optionals_are_drawn_both_ways(of):
    find(calls(optional), of[1])


@pytest.mark.parametrize("size", [1, 2, 6])
@pytest.mark.parametrize("name", ["batch", "seq"])
def test_every_name_is_drawn_short_and_long(name, size):
    axis = ["batch", "seq"].index(name)
    find(calls(named), lambda call: call[0][0].shape[axis] == size)


def test_a_strategy_that_never_draws_batch_one_is_noticed(monkeypatch):
    monkeypatch.setattr(_sizes.Sides, "up_to", lambda _, most: list(range(2, most + 1)))
    with pytest.raises(NoSuchExample):
        test_every_name_is_drawn_short_and_long("batch", 1)
    with pytest.raises(pytest.fail.Exception):
        test_fuzz_needs_batch_one()


def test_fuzz_needs_batch_one():
    squeezed = next(bug for bug in BUGS if str(bug) == "squeeze at batch 1")
    with pytest.raises(AssertionError):
        fuzz(squeezed.make(bug=True), broken=False, max_examples=30)


def test_it_shrinks_to_one_and_zeros():
    (tokens,), kwargs = find(calls(Encoder(5, 2, 3)), lambda _: True)
    assert tokens.shape == (1, 1)
    assert not tokens.any()
    assert kwargs == {}


def test_ids_are_in_every_vocabulary():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.places = nn.Embedding(9, 2), nn.Embedding(3, 2)

        def forward(self, x: Int[Tensor, "batch"]) -> None: ...

    @given(calls(Two()))
    def check(call):
        assert int(call[0][0].max()) < 3

    check()
    find(calls(Two()), lambda call: int(call[0][0].max()) == 2)


def test_lengths_fit_the_padded_axis_and_one_reaches_its_end():
    @typed
    def read(x: Float[Tensor, "batch seq"], lengths: Int[Tensor, "batch"]) -> None: ...

    @given(calls(read))
    def check(call):
        x, lengths = call[0]
        assert int(lengths.min()) >= 1
        assert int(lengths.max()) == x.shape[1]

    check()
    find(calls(read), lambda call: call[0][1].tolist()[1:] == [1])


def test_floats_have_the_dtype_of_the_module():
    (x,), _ = find(calls(nn.Linear(2, 3).double()), lambda _: True)
    assert x.dtype is torch.float64


def test_a_given_size_is_kept():
    (x,), _ = find(calls(Encoder(5, 2, 3), sizes={"batch": 4}), lambda _: True)
    assert x.shape[0] == 4


class Bare(nn.Module):
    def forward(self, x, mask):
        return x * mask


class Half(nn.Module):
    def forward(self, x: Float[Tensor, "a"], mask):
        return x * mask


def impossible(x: Float[Tensor, "a a-a-1"]) -> None: ...


@pytest.mark.parametrize(
    ("thing", "sizes", "text"),
    [
        (3, {}, "inputs are made for a function or a module, not for 3 of type int"),
        (Bare(), {}, 'Write def forward(self, x: Float[Tensor, "batch seq"]).'),
        (Half(), {}, "`mask` has neither an annotation nor a default"),
        (impossible, {}, "makes `a-a-1` a valid size"),
        (Encoder(5, 2, 3), {"hidden": 4}, "`hidden` is fixed twice: 3 by Encoder, 4 by sizes="),
        (Encoder(5, 2, 3).to("meta"), {}, "module.to_empty(device='cpu')"),
    ],
    ids=["no function", "no annotation", "half annotated", "impossible", "fixed twice", "meta"],
)
@pytest.mark.parametrize("strategy", [calls, broken_calls])
def test_bad_input_is_refused_with_what_to_write(strategy, thing, sizes, text):
    with pytest.raises(DeclarationError) as caught:
        strategy(thing, sizes=sizes)
    assert text in str(caught.value)


def test_a_given_size_is_no_declaration_so_breaking_its_first_tensor_is_no_break():
    @given(broken_calls(named, sizes={"batch": 2, "seq": 3}))
    def check(broken):
        assert (broken.argument, broken.kind) != ("x", "size")

    check()
