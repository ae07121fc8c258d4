"""A PackedSequence as an annotation: `Packed[Float[Tensor, "batch seq embed"]]`."""

import copy
import pickle
import typing
from typing import Any, Optional

import pytest
import torch
from hypothesis import example, find, given, settings, strategies as st
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence

import dimtyped
from dimtyped import DeclarationError, DimensionError, DimSize, Packed, nn, typed
from dimtyped.testing import broken_calls, calls, fuzz, independent
from dimtyped.testing.properties.mixing import MixedError


def packed(*lengths: int, width: int = 4, dtype: torch.dtype = torch.float32, in_order: bool = False) -> PackedSequence:
    return pack_sequence([torch.ones(length, width, dtype=dtype) for length in lengths], enforce_sorted=in_order)


@typed
def read(x: Packed[Float[Tensor, "batch seq embed"]], y: Shaped[Tensor, "batch seq embed"]) -> None: ...


class Reader(nn.Module):
    """A user's own forward over sentences of several lengths."""

    def __init__(self, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.gru = nn.GRU(embed, hidden, bidirectional=True)

    def forward(
        self, x: Packed[Float[Tensor, "batch seq embed"]], state: Float[Tensor, "2 batch hidden"] | None = None
    ) -> tuple[Packed[Float[Tensor, "batch seq 2*hidden"]], Float[Tensor, "2 batch hidden"]]:
        return self.gru(x, state)


# What the names mean --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_order", [True, False])
def test_the_batch_the_longest_sequence_and_the_width_are_bound(in_order: bool) -> None:
    x = packed(5, 3, 2, in_order=in_order)
    read(x, torch.ones(3, 5, 4))
    with pytest.raises(DimensionError) as caught:
        read(x, torch.ones(2, 6, 7))
    assert str(caught.value) == (
        "read: argument `y` does not fit: batch is 2, must be 3; seq is 6, must be 5; embed is 7, must be 4\n\n"
        '    y        Shaped[Tensor, "batch seq embed"]\n'
        "    got      float32 (2, 6, 7)\n"
        "                      ^  ^  ^ batch = 3, seq = 5, embed = 4\n"
        "    batch = 3  from `x` (3, 5, 4)\n"
        "    seq   = 5  from `x` (3, 5, 4)\n"
        "    embed = 4  from `x` (3, 5, 4)"
    )


def test_sequences_of_numbers_have_two_axes() -> None:
    @typed
    def look_up(
        ids: Packed[Int[Tensor, "batch seq"]], table: Float[Tensor, "vocab embed"]
    ) -> Float[Tensor, "steps embed"]:
        return table[ids.data]

    ids = pack_sequence([torch.tensor([1, 2]), torch.tensor([0])])
    assert look_up(ids, torch.ones(3, 4)).shape == (3, 4)
    with pytest.raises(
        DimensionError, match="argument `ids` does not fit: its dtype is float32, must be a signed integer"
    ):
        look_up(packed(2, 1), torch.ones(3, 4))
    with pytest.raises(DimensionError, match="argument `ids` does not fit: it has 3 axes, must have 2"):
        look_up(packed(2, 1, dtype=torch.int64), torch.ones(3, 4))


AXES = [
    "batch seq embed",
    "batch seq 4",
    "3 seq _",
    "batch batch embed",
    "batch 2*batch embed",
    "#batch seq ...",
    "a b *c",
]
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))


@given(st.sampled_from(AXES), SHAPES, st.data())
@settings(max_examples=100)
@example("batch batch embed", (2, 2, 4), None).via("the batch is bound before the longest sequence")
def test_what_fits_is_what_would_fit_padded(axes: str, shape: tuple[int, int, int], data: Any) -> None:
    batch, longest, width = shape
    others = data.draw(st.lists(st.integers(1, longest), min_size=batch - 1, max_size=batch - 1)) if data else [1]
    x = pack_padded_sequence(torch.ones(longest, batch, width), torch.tensor([longest, *others]), enforce_sorted=False)
    fits = isinstance(torch.ones(shape), Float[Tensor, axes])
    assert isinstance(x, Packed[Float[Tensor, axes]]) is fits

    def take(x: Any) -> None: ...

    take.__annotations__ = {"x": Packed[Float[Tensor, axes]]}
    if fits:
        typed(take)(x)
    else:
        with pytest.raises(DimensionError, match=r"^take: argument `x` does not fit: "):
            typed(take)(x)


# In a module ----------------------------------------------------------------------------------------------------------


def test_a_forward_takes_and_gives_packed_sequences() -> None:
    reader = Reader(4, 6)
    output, state = reader(packed(3, 1))
    assert pad_packed_sequence(output)[0].shape == (3, 2, 12)
    reader(packed(2, 2), state)


def test_a_width_is_that_of_the_layer() -> None:
    with pytest.raises(
        DimensionError, match=r"^Reader.forward: argument `x` does not fit: embed is 5, must be 4\n"
    ) as caught:
        Reader(4, 6)(packed(3, 1, width=5))
    assert "embed = 4  declared by Reader.gru: GRU(embed=4 -> hidden=6)" in str(caught.value)
    assert (caught.value.dim, caught.value.expected, caught.value.actual) == ("embed", 4, 5)


def test_a_state_must_be_of_the_batch() -> None:
    with pytest.raises(DimensionError, match="argument `state` does not fit: batch is 3, must be 2"):
        Reader(4, 6)(packed(3, 1), torch.ones(2, 3, 6))


def test_a_result_of_another_width_is_refused() -> None:
    class Half(Reader):
        def forward(self, x: Packed[Float[Tensor, "batch seq embed"]]) -> Packed[Float[Tensor, "batch seq hidden"]]:
            return self.gru(x)[0]

    with pytest.raises(DimensionError, match="Half.forward: the result does not fit: hidden is 12, must be 6"):
        Half(4, 6)(packed(3, 1))


# Among other hints ----------------------------------------------------------------------------------------------------


@typed
def either(
    x: Packed[Float[Tensor, "batch seq 4"]] | Float[Tensor, "batch seq 4"] | None,
    more: list[Packed[Float[Tensor, "_ _ 4"]]] = [],  # noqa: B006  # nobody changes it
) -> Any:
    return x


@typed
def optional(x: Optional[Packed[Float[Tensor, "batch seq 4"]]], y: Float[Tensor, "batch"]) -> None: ...


@pytest.mark.parametrize("x", [packed(3, 1), torch.ones(2, 3, 4), None])
def test_it_stands_in_unions(x: Any) -> None:
    assert either(x) is x


def test_each_option_of_a_union_is_tried() -> None:
    with pytest.raises(DimensionError, match="argument `x` does not fit: axis 2 is 5, must be 4"):
        either(packed(3, width=5))
    with pytest.raises(DimensionError, match="it is 3, must be a PackedSequence or a Tensor or None") as caught:
        either(3)
    assert '    x        Packed[Float[Tensor, "batch seq 4"]] | Float[Tensor, "batch seq 4"] | None\n' in str(
        caught.value
    )


def test_it_stands_in_an_optional() -> None:
    optional(None, torch.ones(7))
    optional(packed(3, 1), torch.ones(2))
    with pytest.raises(DimensionError, match="argument `y` does not fit: batch is 3, must be 2"):
        optional(packed(3, 1), torch.ones(3))


def test_each_item_of_a_list_is_checked() -> None:
    either(None, [packed(3, 1), packed(2)])
    with pytest.raises(DimensionError, match=r"argument `more\[1\]` does not fit: axis 2 is 5, must be 4"):
        either(None, [packed(3, 1), packed(2, width=5)])


def test_without_brackets_it_is_any_packed_sequence() -> None:
    @typed
    def take(x: Packed) -> None: ...

    take(packed(3, 1))
    with pytest.raises(DimensionError, match="argument `x` does not fit: it is a Tensor, must be PackedSequence"):
        take(torch.ones(2, 3, 4))


# What it says ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tensor", "code"),
    [
        (torch.ones(2, 3, 4), "pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)"),
        (torch.ones(3, 2, 4), "pack_padded_sequence(x, lengths, enforce_sorted=False)"),
    ],
)
def test_a_padded_tensor_is_to_be_packed(tensor: Tensor, code: str) -> None:
    with pytest.raises(
        DimensionError, match="argument `x` does not fit: it is a Tensor, must be a PackedSequence"
    ) as caught:
        read(tensor, torch.ones(2, 3, 4))
    assert caught.value.hint == f"Pack it, with the length of each sequence: `{code}`."


@pytest.mark.parametrize(
    ("axes", "hint"),
    [
        ("2 3 4", "Pad it: `pad_packed_sequence(x, batch_first=True)[0]` fits."),
        ("3 2 4", "Pad it: `pad_packed_sequence(x)[0]` fits."),
        ("4 4", "`x.data`, its steps one after the other, fits."),
    ],
)
def test_a_packed_sequence_is_to_be_padded(axes: str, hint: str) -> None:
    def take(x: Any) -> None: ...

    take.__annotations__ = {"x": Float[Tensor, axes]}
    with pytest.raises(
        DimensionError, match="argument `x` does not fit: it is a PackedSequence, must be a Tensor"
    ) as caught:
        typed(take)(packed(3, 1))
    assert caught.value.hint == hint


# What stands in the brackets ------------------------------------------------------------------------------------------

NO_TENSOR = "Packed takes an annotation of a tensor, not "
NO_AXES = "lacks the two axes that Packed begins with: the batch and the longest sequence"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (int, NO_TENSOR),
        (Tensor, NO_TENSOR),
        (None, NO_TENSOR),
        ([1], NO_TENSOR),
        ("Float[Tensor, 'batch seq']", NO_TENSOR),
        ((Float[Tensor, "batch seq"], int), NO_TENSOR),
        (Float[Tensor, "batch seq"] | None, NO_TENSOR),
        (list[Float[Tensor, "batch seq"]], NO_TENSOR),
        (Packed[Float[Tensor, "batch seq"]], NO_TENSOR),
        (Float[typing.Any, "batch seq"], NO_TENSOR),
        (Float[Tensor, "batch"], NO_AXES),
        (Float[Tensor, ""], NO_AXES),
        (Float[Tensor, "... embed"], NO_AXES),
        (Float[Tensor, "*batch seq embed"], NO_AXES),
        (Float[Tensor, "batch *seq embed"], NO_AXES),
    ],
    ids=str,
)
def test_another_annotation_is_refused_where_it_is_written(wrong: Any, told: str) -> None:
    with pytest.raises(DeclarationError, match=told) as caught:
        Packed[wrong]
    assert str(caught.value).endswith('\n  Write Packed[Float[Tensor, "batch seq embed"]].')


def test_an_annotation_in_a_string_is_refused_at_the_first_call() -> None:
    @typed
    def take(x: "Packed[int]") -> None: ...

    with pytest.raises(
        DeclarationError, match=f"take: an annotation cannot be resolved: DeclarationError: {NO_TENSOR}"
    ):
        take(packed(1))


def test_an_annotation_in_a_string_is_read() -> None:
    @typed
    def take(x: "Packed[Float[Tensor, 'batch seq 4']]") -> None: ...

    take(packed(1))
    with pytest.raises(DimensionError, match="argument `x` does not fit: axis 2 is 5, must be 4"):
        take(packed(1, width=5))


def test_it_copies_and_pickles() -> None:
    annotation = Packed[Float[Tensor, "batch seq embed"]]
    assert copy.deepcopy(annotation) is annotation
    assert repr(annotation) == "<class 'dimtyped.Packed[Float[Tensor, \"batch seq embed\"]]'>"
    assert pickle.loads(pickle.dumps(annotation)).array.dim_str == "batch seq embed"


# In a trace -----------------------------------------------------------------------------------------------------------


class Graphs:
    """A backend that compiles nothing and counts."""

    def __init__(self) -> None:
        self.ops: list[str] = []
        self.count = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: Any) -> Any:
        self.count += 1
        self.ops += [f"graph {self.count}"]
        self.ops += [str(node.target) for node in graph.graph.nodes if node.op.startswith("call")]
        return graph.forward


def traced(function: Any, *args: Any, **options: Any) -> list[str]:
    torch._dynamo.reset()
    graphs = Graphs()
    torch.compile(function, backend=graphs, **options)(*args)
    return graphs.ops  # in one graph or several, each beginning with its number


def steps(x: PackedSequence, w: Tensor) -> Tensor:
    return x.data @ w


@typed
def typed_steps(
    x: Packed[Float[Tensor, "batch seq embed"]], w: Float[Tensor, "embed out"]
) -> Float[Tensor, "steps out"]:
    return x.data @ w


@pytest.mark.parametrize("in_order", [True, False])
def test_a_compiled_function_has_the_same_graph_in_one(in_order: bool) -> None:
    x = packed(3, 2, 1, in_order=in_order)
    assert traced(typed_steps, x, torch.ones(4, 2), fullgraph=True) == traced(
        steps, x, torch.ones(4, 2), fullgraph=True
    )
    with pytest.raises(DimensionError, match=r"argument `w` does not fit: embed is 5, must be 4"):
        torch.compile(typed_steps, backend="eager")(x, torch.ones(5, 2))


def test_a_batch_that_only_numbers_tell_is_not_looked_at_in_a_trace() -> None:
    @typed
    def take(
        x: Packed[Float[Tensor, "batch seq embed"]], y: Float[Tensor, "batch"], z: Float[Tensor, "batch"]
    ) -> Tensor:
        return x.data + y.sum() + z.sum()

    x = packed(3, 2, 1, in_order=True)
    traced(take, x, torch.ones(3), torch.ones(3), fullgraph=True)
    with pytest.raises(DimensionError, match="argument `z` does not fit: batch is 3, must be 2"):
        traced(take, x, torch.ones(2), torch.ones(3), fullgraph=True)


class PlainReader(torch.nn.Module):
    def __init__(self, embed: int, hidden: int):
        super().__init__()
        self.gru = torch.nn.GRU(embed, hidden, bidirectional=True)

    def forward(self, x: PackedSequence) -> tuple[PackedSequence, Tensor]:
        return self.gru(x)


@pytest.mark.parametrize("in_order", [True, False])
def test_a_recurrent_layer_is_compiled_no_worse_than_torchs(in_order: bool) -> None:
    x = packed(3, 2, 1, in_order=in_order)
    with torch._dynamo.config.patch(allow_rnn=True), torch.no_grad():
        assert traced(Reader(4, 6), x) == traced(PlainReader(4, 6), x)


def test_fake_tensors_are_taken_without_the_batch() -> None:
    real = packed(3, 2, in_order=True)
    with FakeTensorMode() as mode:
        fake = PackedSequence(*(mode.from_tensor(part) if part is not None else None for part in real))
        typed_steps(fake, torch.ones(4, 2))
        with pytest.raises(DimensionError, match="argument `w` does not fit: embed is 5, must be 4"):
            typed_steps(fake, torch.ones(5, 2))


# In property tests ----------------------------------------------------------------------------------------------------


def test_calls_hold_packed_sequences_that_fit() -> None:
    def is_uneven_with_state(call: Any) -> bool:
        (x, *state), _ = call
        return len({*x.batch_sizes.tolist()}) > 1 and isinstance(state[0] if state else None, Tensor)

    (x, state), _ = find(calls(Reader(4, 6)), is_uneven_with_state)
    assert isinstance(x, PackedSequence)
    assert state.shape == (2, int(x.batch_sizes[0]), 6)


def test_fuzz_passes_a_right_one() -> None:
    fuzz(Reader(4, 6), max_examples=20)


@pytest.mark.parametrize("kind", ["size", "dtype", "rank", "type", "missing"])
def test_calls_are_broken_at_the_packed_sequence(kind: str) -> None:
    broken = find(broken_calls(Reader(4, 6)), lambda call: (call.argument, call.kind) == ("x", kind))
    with pytest.raises(
        DimensionError if kind != "missing" else TypeError, match="missing" if kind == "missing" else "`x`"
    ):
        Reader(4, 6)(*broken.args, **broken.kwargs)


def test_samples_that_mix_are_found_in_packed_sequences() -> None:
    class Mixing(Reader):
        def forward(self, x: Packed[Float[Tensor, "batch seq embed"]]) -> Float[Tensor, "batch hidden"]:
            state = self.gru(x)[1][0]
            return state - state.mean(0)

    with pytest.raises(
        MixedError, match="axis `batch` mixes: changing only batch 0 of `x` changes batch 1 of the result"
    ):
        independent(Mixing(4, 6), "batch")


def test_it_is_public() -> None:
    assert "Packed" in dimtyped.__all__
