"""What several tests here share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import pytest
import torch
from jaxtyping import Bool, Complex, Float, Int, Num, Shaped
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from dimtyped import Dim, DimSize, dims, nn, typed

Args = tuple[Any, ...]


def ones(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.ones(shape, dtype=dtype)


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
