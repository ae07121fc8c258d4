"""Checked code under everything that traces or transforms it: what is true untyped must stay true typed.

Each case is written once, undecorated. `checked=True` decorates it; the undecorated twin says what to expect.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

import pytest
import torch
from beartype.vale import Is
from jaxtyping import Bool, Complex, Float, Int, Num, Shaped
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils.checkpoint import checkpoint

from dimtyped import Dim, DimensionError, DimSize, dims, nn, typed
from dimtyped.runtime import config as _config

Args = tuple[Any, ...]


def ones(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.ones(shape, dtype=dtype)


@pytest.fixture(autouse=True)
def _fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


# Functions ------------------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    left: Float[Tensor, "batch n"]
    right: Float[Tensor, "batch n"]


@dataclass
class Batch:
    tokens: Int[Tensor, "batch seq"]
    mask: Bool[Tensor, "batch seq"]


def scale(x: Float[Tensor, "batch seq embed"], y: Float[Tensor, "batch seq"]) -> Float[Tensor, "batch seq embed"]:
    return x * y[..., None]


def variadic(x: Float[Tensor, "*batch n"], y: Float[Tensor, "*batch m"]) -> Float[Tensor, "*batch n m"]:
    return x[..., :, None] * y[..., None, :]


def dots(x: Float[Tensor, "... n"], y: Num[Tensor, "_ n"]) -> Shaped[Tensor, "..."]:
    return x.sum(-1) + y.sum()


def broadcast(x: Float[Tensor, "#batch n"], y: Float[Tensor, "#batch #n"]) -> Float[Tensor, "batch n"]:
    return x + y


def broadcast_many(x: Float[Tensor, "*#batch n"], y: Float[Tensor, "*#batch n"]) -> Float[Tensor, "*batch n"]:
    return x + y


def expression(x: Float[Tensor, "batch n"]) -> Float[Tensor, "batch 2*n"]:
    return torch.cat([x, x], dim=1)


def sizes(x: Float[Tensor, "batch rows=2 3"]) -> Float[Tensor, ""]:
    return x.sum()


def by_parameter(x: Float[Tensor, "batch n"], width: int) -> Float[Tensor, "batch {width}"]:
    return x[:, :width]


def optional(x: Float[Tensor, "batch n"], mask: Bool[Tensor, "batch n"] | None = None) -> Float[Tensor, "batch n"]:
    return x if mask is None else x * mask


def union(x: Float[Tensor, "batch n"] | Float[Tensor, "n"]) -> Float[Tensor, "..."]:
    return x * 2


def several(xs: list[Float[Tensor, "batch n"]]) -> tuple[Float[Tensor, "batch n"], Float[Tensor, "batch"]]:
    total = torch.stack(xs).sum(0)
    return total, total.sum(-1)


def star(first: Float[Tensor, "batch n"], *rest: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
    for x in rest:
        first = first + x
    return first


def by_name(**tensors: Float[Tensor, "batch n"]) -> dict[str, Float[Tensor, "batch n"]]:
    return {name: x * 2 for name, x in tensors.items()}


def record(pair: Pair) -> Float[Tensor, "batch n"]:
    return pair.left + pair.right


def dataclass_argument(batch: Batch) -> Int[Tensor, "batch seq"]:
    return batch.tokens * batch.mask


def only_beartype(
    x: Float[Tensor, "batch n"],
    how: Literal["mean", "sum"],
    apply: Callable[[Tensor], Tensor],
    dims: Sequence[int] = (1,),
    scale: float = 2.0,
) -> Float[Tensor, "batch n"]:
    return apply(x) - getattr(x, how)(tuple(dims), keepdim=True) * scale


def complex_numbers(x: Complex[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
    return torch.view_as_real(x).sum(-1)


def keyword_only(x: Float[Tensor, "batch n"], *, bias: Float[Tensor, "n"] | None = None) -> Float[Tensor, "batch n"]:
    return x if bias is None else x + bias


@dataclass(frozen=True)
class Case:
    """A function, calls that fit in the order of a schedule, and one that does not."""

    function: Any
    calls: tuple[Args, ...]
    wrong: Args
    keywords: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.function.__name__

    def checked(self) -> Any:
        return typed(**self.options)(self.function) if self.options else typed(self.function)

    def call(self, function: Any, values: Args) -> Any:
        count = len(values) - len(self.keywords)
        return function(*values[:count], **dict(zip(self.keywords, values[count:], strict=True)))


SCHEDULE = ((2, 3), (4, 3), (4, 7), (1, 3))
MIXED = ((2, 3), (3,), (4, 2, 3), (5, 4, 3))

CASES = [
    Case(scale, tuple((ones(b, s, 4), ones(b, s)) for b, s in SCHEDULE), (ones(2, 3, 4), ones(2, 5))),
    Case(variadic, tuple((ones(*s), ones(*s[:-1], 5)) for s in MIXED), (ones(2, 3), ones(3, 5))),
    Case(dots, tuple((ones(*s), ones(2, s[-1])) for s in MIXED), (ones(2, 3), ones(2, 4))),
    Case(broadcast, tuple((ones(b, s), ones(1, s)) for b, s in SCHEDULE), (ones(2, 3), ones(4, 3))),
    Case(broadcast_many, tuple((ones(*s), ones(s[-1])) for s in MIXED), (ones(2, 2, 3), ones(5, 3))),
    Case(expression, tuple((ones(b, s),) for b, s in SCHEDULE), (ones(3),)),
    Case(sizes, ((ones(4, 2, 3),), (ones(5, 2, 3),)), (ones(4, 3, 3),)),
    Case(by_parameter, tuple((ones(b, 9), s) for b, s in SCHEDULE), (ones(2, 4), 5)),
    Case(
        optional, ((ones(2, 3), None), (ones(4, 3), ones(4, 3) > 0), (ones(2, 3), None)), (ones(2, 3), ones(2, 4) > 0)
    ),
    Case(union, tuple((ones(*s),) for s in MIXED if len(s) < 3), (ones(2, 3, 4),)),
    Case(several, tuple(([ones(b, s)] * 3,) for b, s in SCHEDULE), ([ones(2, 3), ones(2, 4)],)),
    Case(star, tuple((ones(b, s),) * 3 for b, s in SCHEDULE), (ones(2, 3), ones(2, 3), ones(3, 3))),
    Case(by_name, tuple((ones(b, s),) * 2 for b, s in SCHEDULE), (ones(2, 3), ones(3, 3)), keywords=("a", "b")),
    Case(record, tuple((Pair(ones(b, s), ones(b, s)),) for b, s in SCHEDULE), (Pair(ones(2, 3), ones(2, 4)),)),
    Case(
        dataclass_argument,
        tuple((Batch(ones(b, s, dtype=torch.long), ones(b, s) > 0),) for b, s in SCHEDULE),
        (Batch(ones(2, 3, dtype=torch.long), ones(2, 4) > 0),),
    ),
    Case(
        only_beartype,
        tuple((ones(b, s), how, torch.relu) for b, s in SCHEDULE[:3] for how in ("mean", "sum")),
        (ones(2, 3), "max", torch.relu),
    ),
    Case(complex_numbers, ((ones(2, 3, dtype=torch.complex64),),), (ones(2, 3),)),
    Case(keyword_only, ((ones(2, 3), ones(3)), (ones(4, 3), None)), (ones(2, 3), ones(4)), keywords=("bias",)),
    Case(scale, ((ones(2, 3, 4), ones(2, 3)),), (ones(2, 3, 5), ones(2, 3)), options={"dims": dims(embed=4)}),
]


# Modules --------------------------------------------------------------------------------------------------------------


def mlp(decorate: Any) -> torch.nn.Module:
    class Mlp(torch.nn.Module):
        def __init__(self, embed: int, hidden: int):
            super().__init__()
            self.up, self.down = torch.nn.Linear(embed, hidden), torch.nn.Linear(hidden, embed)
            self.embed = embed

        @decorate
        def forward(self, x: Float[Tensor, "*batch {self.embed}"]) -> Float[Tensor, "*batch {self.embed}"]:
            return self.down(self.inner(self.up(x)))

        @decorate
        def inner(self, x: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch hidden"]:
            return torch.relu(x)

    return Mlp(4, 8)


def attention(decorate: Any) -> torch.nn.Module:
    class Attention(torch.nn.Module):
        def __init__(self, embed: Dim, heads: int):
            super().__init__()
            self.embed, self.heads = embed, heads
            self.qkv = torch.nn.Linear(int(embed), 3 * int(embed))

        @decorate
        def forward(
            self, x: Float[Tensor, "batch seq embed"], mask: Bool[Tensor, "seq seq"] | None = None
        ) -> Float[Tensor, "batch seq embed"]:
            q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            return self.mix(q, k, v, mask).transpose(1, 2).flatten(2)

        @decorate
        def mix(
            self,
            q: Float[Tensor, "batch heads query head"],
            k: Float[Tensor, "batch heads key head"],
            v: Float[Tensor, "batch heads key head"],
            mask: Bool[Tensor, "query key"] | None,
        ) -> Float[Tensor, "batch heads query head"]:
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, mask)

    return Attention(Dim("embed", 8), 2)


def stack(decorate: Any) -> torch.nn.Module:
    """Modules of one class with different names and sizes: each has its own check."""

    class Block(torch.nn.Module):
        def __init__(self, **named: int):
            super().__init__()
            for name, size in named.items():
                setattr(self, name, Dim(name, size))
            self.weight = torch.nn.Parameter(torch.ones(4))

        @decorate
        def forward(self, x: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
            return x * self.weight

    return torch.nn.Sequential(Block(n=4), Block(), Block(n=4, m=5), Block(m=3), Block(), Block(n=4))


def gru_cell(decorate: Any) -> torch.nn.Module:
    class Cell(torch.nn.Module):
        def __init__(self, embed: int, hidden: int):
            super().__init__()
            self.cell = torch.nn.GRUCell(embed, hidden)

        @decorate
        def forward(
            self, x: Float[Tensor, "batch seq embed"], state: Float[Tensor, "batch hidden"]
        ) -> tuple[Float[Tensor, "batch seq hidden"], Float[Tensor, "batch hidden"]]:
            outputs = []
            for t in range(x.shape[1]):
                state = self.cell(x[:, t], state)
                outputs.append(state)
            return torch.stack(outputs, 1), state

    return Cell(4, 8)


def layered_mlp(nn: Any) -> torch.nn.Module:
    class Mlp(nn.Module):
        def __init__(self, embed: DimSize, hidden: DimSize):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(embed, hidden), nn.ReLU(), nn.LayerNorm(hidden), nn.Linear(hidden, embed)
            )

        def forward(self, x: Float[Tensor, "*batch embed"]) -> Float[Tensor, "*batch embed"]:
            return self.layers(x)

    return Mlp(4, 8)


def layered_attention(nn: Any) -> torch.nn.Module:
    class Block(nn.Module):
        def __init__(self, embed: DimSize):
            super().__init__()
            self.norm = nn.LayerNorm(embed)
            self.attention = nn.MultiheadAttention(embed, 2, batch_first=True)

        def forward(
            self, x: Float[Tensor, "batch seq embed"], mask: Bool[Tensor, "seq seq"] | None = None
        ) -> Float[Tensor, "batch seq embed"]:
            y = self.norm(x)
            return x + self.attention(y, y, y, attn_mask=mask, need_weights=False)[0]

    class Blocks(nn.Module):
        def __init__(self, embed: DimSize):
            super().__init__()
            self.blocks = nn.ModuleList([Block(embed), Block(embed)])

        def forward(self, x: Float[Tensor, "batch seq embed"], mask: Tensor | None = None) -> Any:
            for each in self.blocks:
                x = each(x, mask)
            return x

    return Blocks(8)


def layered_decoder(nn: Any) -> torch.nn.Module:
    """A tied output layer: torch has none, so its twin ties by hand."""

    class Decoder(nn.Module):
        def __init__(self, vocab: DimSize, embed: DimSize):
            super().__init__()
            self.embedding = nn.Embedding(vocab, embed)
            if nn is torch.nn:
                self.out = nn.Linear(embed, vocab)
                self.out.weight = self.embedding.weight
            else:
                self.out = nn.TiedDecoder(self.embedding, embed)

        def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq vocab"]:
            return self.out(self.embedding(tokens))

    return Decoder(11, 4)


def layered_cell(nn: Any) -> torch.nn.Module:
    class Cell(nn.Module):
        def __init__(self, embed: DimSize, hidden: DimSize):
            super().__init__()
            self.cell = nn.GRUCell(embed, hidden)

        def forward(
            self, x: Float[Tensor, "batch seq embed"], state: Float[Tensor, "batch hidden"]
        ) -> Float[Tensor, "batch seq hidden"]:
            outputs = []
            for t in range(x.shape[1]):
                state = self.cell(x[:, t], state)
                outputs.append(state)
            return torch.stack(outputs, 1)

    return Cell(4, 8)


@dataclass(frozen=True)
class ModuleCase:
    """A model, calls that fit, and one that does not.

    It is made with a decorator for its methods, or from the layers of `torch.nn` or `dimtyped.nn`.
    """

    make: Any
    calls: tuple[Args, ...]
    wrong: Args

    @property
    def name(self) -> str:
        return self.make.__name__

    @property
    def takes_layers(self) -> bool:
        return "nn" in self.make.__code__.co_varnames

    def checked(self) -> torch.nn.Module:
        return self.make(nn if self.takes_layers else typed)

    def twins(self) -> tuple[torch.nn.Module, torch.nn.Module]:
        plain, checked = self.make(torch.nn if self.takes_layers else unchanged), self.checked()
        checked.load_state_dict(plain.state_dict())
        return plain, checked


def unchanged(function: Any) -> Any:
    return function


MODULES = [
    ModuleCase(mlp, tuple((ones(*s, 4),) for s in MIXED), (ones(2, 5),)),
    ModuleCase(attention, tuple((ones(b, s, 8),) for b, s in SCHEDULE), (ones(2, 3, 8), ones(3, 4) > 0)),
    ModuleCase(stack, tuple((ones(b, 4),) for b, _ in SCHEDULE), (ones(2, 3),)),
    ModuleCase(gru_cell, tuple((ones(b, 2, 4), ones(b, 8)) for b, _ in SCHEDULE), (ones(2, 2, 4), ones(3, 8))),
    ModuleCase(layered_mlp, tuple((ones(*s, 4),) for s in MIXED), (ones(2, 5),)),
    ModuleCase(layered_attention, tuple((ones(b, s, 8),) for b, s in SCHEDULE[1:3]), (ones(2, 3, 8), ones(3, 4) > 0)),
    ModuleCase(layered_decoder, tuple((torch.ones(s, dtype=torch.long),) for s in SCHEDULE), (ones(2, 3),)),
    ModuleCase(layered_cell, tuple((ones(b, 2, 4), ones(b, 8)) for b, _ in SCHEDULE), (ones(2, 2, 4), ones(3, 8))),
]

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
each_module = pytest.mark.parametrize("case", MODULES, ids=lambda case: case.name)


def run_compiled(function: Any, case: Any, **options: Any) -> tuple[CompileCounter, list[Any]]:
    """Runs a case's whole schedule compiled, from a fresh start."""
    torch._dynamo.reset()
    counter = CompileCounter()
    compiled = torch.compile(function, backend=counter, fullgraph=True, **options)
    call = case.call if isinstance(case, Case) else lambda target, values: target(*values)
    return counter, [call(compiled, values) for values in case.calls]


def assert_equal(actual: Any, expected: Any) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


# What TorchDynamo makes of it -----------------------------------------------------------------------------------------


@each_case
@pytest.mark.parametrize("dynamic", [None, True])
def test_a_function_compiles_as_often_and_to_as_many_ops_as_untyped(case, dynamic):
    plain, expected = run_compiled(case.function, case, dynamic=dynamic)
    checked, actual = run_compiled(case.checked(), case, dynamic=dynamic)
    assert (checked.frame_count, checked.op_count) == (plain.frame_count, plain.op_count)
    assert_equal(actual, expected)


@each_module
@pytest.mark.parametrize("dynamic", [None, True])
def test_a_module_compiles_as_often_and_to_as_many_ops_as_untyped(case, dynamic):
    untyped, module = case.twins()
    plain, expected = run_compiled(untyped, case, dynamic=dynamic)
    checked, actual = run_compiled(module, case, dynamic=dynamic)
    assert (checked.frame_count, checked.op_count) == (plain.frame_count, plain.op_count)
    assert_equal(actual, expected)


@each_module
def test_it_makes_no_difference_whether_a_module_ran_before_it_is_compiled(case):
    untyped, module = case.twins()
    module(*case.calls[0])
    plain, _ = run_compiled(untyped, case)
    checked, _ = run_compiled(module, case)
    assert (checked.frame_count, checked.op_count) == (plain.frame_count, plain.op_count)


@each_module
def test_explain_counts_the_same_graphs_and_ops_and_no_break(case):
    untyped, module = case.twins()
    expected = torch._dynamo.explain(untyped)(*case.calls[0])
    torch._dynamo.reset()
    actual = torch._dynamo.explain(module)(*case.calls[0])
    assert (actual.graph_count, actual.op_count, actual.graph_break_count) == (1, expected.op_count, 0)


@each_case
def test_a_wrong_call_of_a_function_tells_its_error_where_no_graph_may_break(case):
    with pytest.raises(DimensionError) as eager:
        case.call(case.checked(), case.wrong)
    with pytest.raises(DimensionError) as compiled:
        case.call(torch.compile(case.checked(), backend="eager", fullgraph=True), case.wrong)
    assert str(eager.value) in str(compiled.value)
    assert isinstance(compiled.value, torch._dynamo.exc.Unsupported)


@pytest.mark.parametrize("case", CASES[::4], ids=lambda case: case.name)
def test_a_wrong_call_of_a_function_raises_its_error(case):
    with pytest.raises(DimensionError) as eager:
        case.call(case.checked(), case.wrong)
    with pytest.raises(DimensionError) as compiled:
        case.call(torch.compile(case.checked(), backend="eager"), case.wrong)
    assert compiled.value.to_dict() == eager.value.to_dict()


@each_module
def test_a_wrong_call_of_a_module(case):
    with pytest.raises(DimensionError) as eager:
        case.checked()(*case.wrong)
    with pytest.raises(DimensionError) as default:
        torch.compile(case.checked(), backend="eager")(*case.wrong)
    torch._dynamo.reset()
    with pytest.raises(DimensionError) as whole:
        torch.compile(case.checked(), backend="eager", fullgraph=True)(*case.wrong)
    assert default.value.to_dict() == eager.value.to_dict()
    assert str(eager.value) in str(whole.value)


def test_a_wrong_call_does_not_show_a_trace_of_our_own_code(caplog):
    compiled = torch.compile(typed(scale), backend="eager")
    for wrong in (ones(2, 4), ones(2, 5)):
        with pytest.raises(DimensionError):
            compiled(ones(2, 3, 4), wrong)
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_a_wrong_call_leaves_later_calls_right():
    compiled = torch.compile(typed(scale), backend="eager")
    for length in (3, 5):
        with pytest.raises(DimensionError):
            compiled(ones(2, length, 4), ones(2, 7))
        assert compiled(ones(2, length, 4), ones(2, length)).shape == (2, length, 4)


def test_a_caught_error_in_compiled_code():
    checked = typed(scale)

    def or_zeros(x: Tensor, y: Tensor) -> Tensor:
        try:
            return checked(x, y)
        except DimensionError:
            return x * 0

    compiled = torch.compile(or_zeros, backend="eager")
    assert compiled(ones(2, 3, 4), ones(2, 5)).sum() == 0
    assert compiled(ones(2, 3, 4), ones(2, 3)).sum() == 24


def test_a_function_that_only_the_reference_engine_can_check_breaks_the_graph_and_stays_checked():
    @typed
    def double(x: Annotated[Float[Tensor, "batch n"], Is[lambda x: x.shape[0] < 5]]) -> Float[Tensor, "batch n"]:
        return x * 2

    compiled = torch.compile(double, backend="eager")
    assert_equal(compiled(ones(2, 3)), 2 * ones(2, 3))
    with pytest.raises(DimensionError, match="double: argument `x` does not fit"):
        compiled(ones(7, 3))
    torch._dynamo.reset()
    with pytest.raises(
        torch._dynamo.exc.Unsupported, match="double: jaxtyping and beartype check its annotations, which no trace can"
    ):
        torch.compile(double, backend="eager", fullgraph=True)(ones(2, 3))


def test_generators():
    @typed
    def doubled(xs: list[Float[Tensor, "n"]]) -> Iterator[Float[Tensor, "n"]]:
        for x in xs:
            yield x * 2

    compiled = torch.compile(lambda x: sum(doubled([x, x])), backend="eager", fullgraph=True)
    assert_equal(compiled(ones(3)), 4 * ones(3))


def test_sizes_that_depend_on_data():
    checked = typed(keyword_only)
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        compiled = torch.compile(lambda x: checked(x[x[:, 0] > 0]), backend="eager", fullgraph=True)
        assert compiled(ones(4, 3)).shape == (4, 3)


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # torch's own
def test_inductor_computes_the_same():
    for case in MODULES:
        if case.make in (attention, layered_decoder):
            untyped, module = case.twins()
            compiled = [torch.compile(model, fullgraph=True) for model in (untyped, module)]
            assert_equal(compiled[1](*case.calls[1]), compiled[0](*case.calls[1]))


# First calls inside a trace -------------------------------------------------------------------------------------------


def block(decorate: Any) -> type[torch.nn.Module]:
    class Block(torch.nn.Module):
        def __init__(self, n: Dim):
            super().__init__()
            self.n = n
            self.weight = torch.nn.Parameter(torch.ones(int(n)))

        @decorate
        def forward(self, x: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
            return x * self.weight

    return Block


@pytest.mark.parametrize("warm", [False, True])
def test_a_model_compiled_block_by_block_compiles_once(warm):
    counter = CompileCounter()
    made = block(typed)
    if warm:
        made(Dim("n", 3))(ones(2, 3))
    blocks = [made(Dim("n", 4)) for _ in range(12)]
    for each in (*blocks, *blocks):
        torch.compile(each, backend=counter, fullgraph=True)(ones(2, 4))
    assert counter.frame_count == 1


def test_many_functions_compiled_before_their_first_call_stay_apart():
    def make(factor: int) -> Any:
        @typed
        def times(x: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
            return x * factor

        return times

    results = [torch.compile(make(i), backend="eager", fullgraph=True)(ones(2))[0].item() for i in range(12)]
    assert results == list(range(12))


@pytest.mark.skipif(
    _config.mode() == "reference", reason="its wrapper takes *args: TorchDynamo tells calls apart by them"
)
def test_a_default_left_out_or_given_compiles_once():
    checked = typed(optional)
    checked(ones(2, 3))
    counter = CompileCounter()
    compiled = torch.compile(checked, backend=counter, fullgraph=True)
    compiled(ones(2, 3)), compiled(ones(2, 3), None), compiled(ones(2, 3), mask=None)
    assert counter.frame_count == 1


def test_a_name_that_the_module_declares_is_checked_in_its_first_compiled_call():
    with pytest.raises(DimensionError, match=r"n is 5, must be 4(.|\n)*declared by Block\.n"):
        torch.compile(block(typed)(Dim("n", 4)), backend="eager", fullgraph=True)(ones(2, 5))


def test_importing_and_calling_need_no_torchdynamo():
    code = """
import sys, torch, dimtyped
from jaxtyping import Float
@dimtyped.typed
def f(x: Float[torch.Tensor, "n"]) -> Float[torch.Tensor, "n"]: return x
f(torch.ones(2))
print([name for name in sys.modules if name.startswith("torch._dynamo")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# Other tracers and transforms -----------------------------------------------------------------------------------------

BATCH = torch.export.Dim("batch")
SEQ = torch.export.Dim("seq")
EXPORTED = [
    pytest.param(mlp, (ones(2, 4),), ({0: BATCH},), id="mlp"),
    pytest.param(attention, (ones(3, 5, 8),), ({0: BATCH, 1: SEQ},), id="attention"),
    pytest.param(gru_cell, (ones(3, 2, 4), ones(3, 8)), ({0: BATCH}, {0: BATCH}), id="gru_cell"),
]


@pytest.mark.parametrize(("make", "values", "shapes"), EXPORTED)
@pytest.mark.parametrize("strict", [True, False])
def test_export_keeps_dynamic_shapes_dynamic(make, values, shapes, strict):
    def export(decorate: Any) -> Any:
        return torch.export.export(make(decorate), values, dynamic_shapes=shapes, strict=strict)

    plain, checked = export(unchanged), export(typed)
    targets = [[node.target for node in exported.graph.nodes] for exported in (plain, checked)]
    assert targets[0] == targets[1]
    assert list(plain.range_constraints.values()) == list(checked.range_constraints.values())
    larger = tuple(ones(7, *value.shape[1:]) for value in values)
    assert shapes_of(checked.module()(*larger)) == shapes_of(plain.module()(*larger))


def shapes_of(result: Any) -> list[torch.Size]:
    return [leaf.shape for leaf in torch.utils._pytree.tree_leaves(result)]


@pytest.mark.parametrize("strict", [True, False])
def test_export_of_a_wrong_call(strict):
    with pytest.raises(DimensionError, match=r"\{self.embed\} is 5, must be 4"):
        torch.export.export(mlp(typed), (ones(2, 5),), strict=strict)


MADE = [case for case in CASES if not case.keywords and case.function not in (dataclass_argument, only_beartype)]
if _config.mode() == "reference":  # jaxtyping puts the name of a symbolic size in the place of `{width}`
    MADE = [case for case in MADE if case.function is not by_parameter]


@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
def test_make_fx_records_the_same(mode):
    for case in MADE:
        functions = (case.function, case.checked())
        plain, checked = (make_fx(f, tracing_mode=mode)(*case.calls[0]).code for f in functions)
        assert checked == plain, case.name


@pytest.mark.parametrize("make", [mlp, attention, gru_cell])
def test_symbolic_trace_passes_proxies_through(make):
    def trace(decorate: Any) -> str:
        return torch.fx.symbolic_trace(make(decorate), {"mask": None} if make is attention else None).code

    if make is gru_cell:  # its loop over a Proxy's length cannot be traced, typed or not
        for decorate in (unchanged, typed):
            with pytest.raises(TypeError, match="Proxy"):
                trace(decorate)
    else:
        assert trace(typed) == trace(unchanged)


def test_vmap_and_grad():
    checked = typed(scale)
    x, y = torch.rand(5, 2, 3, 4), torch.rand(5, 2, 3)
    assert_equal(torch.vmap(checked)(x, y), torch.vmap(scale)(x, y))
    gradient = torch.func.grad(lambda x: checked(x, y[0]).sum())
    assert_equal(gradient(x[0]), y[0][..., None].expand(2, 3, 4))
    assert torch.func.jacrev(lambda x: checked(x, y[0]))(x[0]).shape == (2, 3, 4, 2, 3, 4)
    assert_equal(torch.compile(torch.vmap(checked), backend="eager", fullgraph=True)(x, y), torch.vmap(scale)(x, y))
    assert_equal(torch.compile(gradient, backend="eager", fullgraph=True)(x[0]), gradient(x[0]))
    with pytest.raises(DimensionError, match="seq is 4, must be 3"):
        torch.vmap(checked)(x, torch.rand(5, 2, 4))


def test_functional_call():
    untyped, module = MODULES[0].twins()
    parameters, x = dict(untyped.named_parameters()), torch.rand(2, 4)
    compiled = torch.compile(
        lambda x: torch.func.functional_call(module, parameters, (x,)), backend="eager", fullgraph=True
    )
    assert_equal(torch.func.functional_call(module, parameters, (x,)), untyped(x))
    assert_equal(compiled(x), untyped(x))


def test_activation_checkpointing():
    untyped, module = MODULES[0].twins()
    x = torch.rand(2, 4, requires_grad=True)
    expected = torch.autograd.grad(untyped(x).sum(), x)
    for reentrant in (True, False):
        checkpoint(module, x, use_reentrant=reentrant).sum().backward()
        assert_equal(x.grad, expected[0])
        x.grad = None
    compiled = torch.compile(lambda x: checkpoint(module, x, use_reentrant=False), backend="aot_eager", fullgraph=True)
    assert_equal(torch.autograd.grad(compiled(x).sum(), x), expected)


def test_autocast_takes_float32_and_gives_bfloat16():
    module = mlp(typed)
    with torch.autocast("cpu", torch.bfloat16):
        assert module(ones(2, 4)).dtype == torch.bfloat16
        assert torch.compile(module, backend="eager", fullgraph=True)(ones(2, 4)).dtype == torch.bfloat16


def test_meta_tensors():
    module = mlp(typed).to("meta")
    assert module(ones(2, 4).to("meta")).is_meta
    with pytest.raises(DimensionError, match="is 5, must be 4"):
        module(ones(2, 5).to("meta"))


def test_fake_tensors():
    with FakeTensorMode():
        module = attention(typed)
        assert module(ones(2, 3, 8)).shape == (2, 3, 8)
        with pytest.raises(DimensionError, match="embed is 6, must be 8"):
            module(ones(2, 3, 6))


def test_nested_jagged_tensors():
    def ragged(*lengths: int) -> Tensor:
        return torch.nested.nested_tensor([ones(length, 4) for length in lengths], layout=torch.jagged)

    def add(x: Float[Tensor, "batch seq embed"], y: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch _ embed"]:
        return x + y

    x, other = ragged(2, 3), ragged(2, 4)
    checked = typed(add)
    assert checked(x, x).is_nested
    assert torch.compile(checked, backend="eager", fullgraph=True)(x, x).is_nested
    for call in (checked, torch.compile(checked, backend="eager")):
        with pytest.raises(DimensionError, match=r"seq is j\d+, must be j\d+"):
            call(x, other)


def test_distributed_tensors():
    def add(x: Float[Tensor, "batch n"], y: Float[DTensor, "batch n"]) -> Float[DTensor, "batch n"]:
        return x + y

    torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        mesh = init_device_mesh("cpu", (2,))
        x, narrow = (distribute_tensor(ones(4, n), mesh, [Shard(0)]) for n in (8, 6))
        for call in (typed(add), torch.compile(typed(add), backend="eager", fullgraph=True)):
            assert call(x, x).to_local().shape == (2, 8)
        with pytest.raises(DimensionError, match="n is 6, must be 8"):
            typed(add)(x, narrow)
    finally:
        torch.distributed.destroy_process_group()
