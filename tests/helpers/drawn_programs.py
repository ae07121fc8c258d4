"""Random programs over tensors with named axes, right by the way they are made: each line knows the axes of what it gives."""

import linecache
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias

import jaxtyping
import torch
import torch.nn.functional
from hypothesis import strategies as st
from torch import Tensor

Axes: TypeAlias = tuple[str, ...]
Line: TypeAlias = tuple[str, Axes]
INPUTS: dict[str, Axes] = {
    "x": ("batch", "seq", "embed"),
    "y": ("batch", "seq", "embed"),
    "z": ("batch", "target", "embed"),
    "weight": ("embed", "hidden"),
    "bias": ("hidden",),
    "gain": ("embed",),
    "positions": ("seq", "embed"),
    "state": ("batch", "heads", "seq", "head"),
    "keys": ("batch", "heads", "target", "head"),
    "table": ("vocab", "embed"),
    "image": ("batch", "channels", "height", "width"),
}
OTHER_INPUTS = {"mask": 'Bool[Tensor, "batch seq"]', "tokens": 'Int[Tensor, "batch seq"]'}
SIZES = {name: f"{tensor}.shape[{index}]" for tensor, axes in INPUTS.items() for index, name in enumerate(axes)}
UNNAMED = "_"  # with a number after it: two axes of one number have equal sizes
STEPS: list[Callable[[Random, "Program"], Iterator[Line]]] = []


def step(function: Callable[[Random, "Program"], Iterator[Line]]) -> Callable[[Random, "Program"], Iterator[Line]]:
    """A kind of line: it yields none where its tensors do not suit it."""
    STEPS.append(function)
    return function


@dataclass
class Program:
    """The lines so far, and the axes of each tensor: a name, `seq*embed` for several in one, or unnamed."""

    lines: list[str] = field(default_factory=list)
    axes: dict[str, Axes] = field(default_factory=lambda: dict(INPUTS))
    unnamed: int = 0

    def tensor(self, random: Random) -> tuple[str, Axes]:
        """Any tensor, mostly one of the last."""
        names = list(self.axes)
        name = random.choice(names[-4:] if random.random() < 0.7 else names)
        return name, self.axes[name]

    def new_axis(self) -> str:
        self.unnamed += 1
        return f"{UNNAMED}{self.unnamed}"

    def add(self, line: Line) -> None:
        name = f"t{len(self.lines)}"
        self.lines.append(f"{name} = {line[0]}")
        self.axes[name] = line[1]

    @property
    def results(self) -> list[str]:
        return [f"t{index}" for index in range(len(self.lines))][-3:]

    def source(self, results: dict[str, Axes]) -> str:
        """The function, its results annotated with these axes."""
        given = [f'{name}: Float[Tensor, "{" ".join(axes)}"]' for name, axes in INPUTS.items()]
        given += [f"{name}: {hint}" for name, hint in OTHER_INPUTS.items()]
        hints = ", ".join(f'Float[Tensor, "{annotated(axes)}"]' for axes in results.values())
        body = "".join(f"    {line}\n" for line in (*self.lines, f"return {', '.join(results)},"))
        return f"def function({', '.join(given)}) -> tuple[{hints}]:\n{body}"

    def function(self, results: dict[str, Axes] | None = None) -> Callable[..., Any]:
        source = self.source(results or {name: self.axes[name] for name in self.results})
        file = "<drawn program>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        names: dict[str, Any] = {**vars(jaxtyping), "torch": torch, "F": torch.nn.functional, "Tensor": Tensor}
        exec(compile(source, file, "exec"), names)
        return names["function"]

    def __repr__(self) -> str:
        return "\n" + self.source({name: self.axes[name] for name in self.results})


def annotated(axes: Axes) -> str:
    return " ".join(UNNAMED if UNNAMED in axis else axis for axis in axes)


def is_name(axis: str) -> bool:
    return axis.isidentifier() and not axis.startswith(UNNAMED)


def not_of_batch(axes: Axes) -> list[int]:
    """The axes along which values may be carried."""
    return [index for index, axis in enumerate(axes) if "batch" not in axis.split("*")]


def replaced(axes: Axes, index: int, *new: str) -> Axes:
    return (*axes[:index], *new, *axes[index + 1 :])


@st.composite
def programs(draw: Any) -> Program:
    random = draw(st.randoms(use_true_random=False))
    program = Program()
    for _ in range(random.randint(2, 9)):
        lines = [line for kind in random.sample(STEPS, 6) for line in kind(random, program)]
        program.add(random.choice(lines) if lines else ("x + y", INPUTS["x"]))
    return program


@step
def item_by_item(random: Random, program: Program) -> Iterator[Line]:
    t, axes = program.tensor(random)
    texts = ["F.gelu({})", "{}.tanh() * 0.5", "({} - 1).abs()", "torch.where({0} > 0, {0}, 0.0)", "{}.double().float()"]
    yield random.choice(texts).format(t), axes


@step
def along_an_axis(random: Random, program: Program) -> Iterator[Line]:
    t, axes = program.tensor(random)
    texts = ["{}.softmax({})", "{}.cumsum({})", "{}.flip({})", "F.normalize({}, dim={})", "{}.roll(1, {})"]
    texts += ["{}.sort({}).values", "F.log_softmax({}, {})", "{0} - {0}.mean({1}, keepdim=True)"]
    if inner := not_of_batch(axes):
        yield random.choice(texts).format(t, random.choice(inner)), axes


@step
def reduced(random: Random, program: Program) -> Iterator[Line]:
    t, axes = program.tensor(random)
    inner = not_of_batch(axes)
    if inner and len(axes) > 1:
        index = random.choice(inner)
        texts = ["{}.sum({})", "{}.mean({})", "{}.logsumexp({})", "{}.norm(dim={})", "{}.select({}, -1)"]
        yield random.choice(texts).format(t, index), replaced(axes, index)


@step
def permuted(random: Random, program: Program) -> Iterator[Line]:
    t, axes = program.tensor(random)
    order = random.sample(range(len(axes)), len(axes))
    if len(axes) > 1:
        yield f"{t}.permute({order})", tuple(axes[index] for index in order)


@step
def transposed(random: Random, program: Program) -> Iterator[Line]:
    t, axes = program.tensor(random)
    if len(axes) > 1:
        first, second = sorted(random.sample(range(len(axes)), 2))
        text = f"{t}.transpose({first}, {second - len(axes)})"
        yield text, replaced(replaced(axes, first, axes[second]), second, axes[first])


@step
def of_two_alike(random: Random, program: Program) -> Iterator[Line]:
    (t, axes), (u, others) = program.tensor(random), program.tensor(random)
    if axes == others:
        texts = ["{} + {}", "{} * {}", "torch.maximum({}, {})", "torch.lerp({}, {}, 0.3)"]
        yield random.choice(texts).format(t, u), axes
        place = random.randint(0, len(axes))
        yield f"torch.stack([{t}, {u}], {place})", (*axes[:place], "2", *axes[place:])


@step
def broadcast(random: Random, program: Program) -> Iterator[Line]:
    """A tensor beside one that lacks some of its axes."""
    t, axes = program.tensor(random)
    for u, others in list(program.axes.items()):
        if 0 < len(others) < len(axes) == len(set(axes)) and [axis for axis in axes if axis in others] == [*others]:
            index = ", ".join(":" if axis in others else "None" for axis in axes)
            yield f"{t} {random.choice('+*')} {u}[{index}]", axes


@step
def each_with_each(random: Random, program: Program) -> Iterator[Line]:
    (t, axes), (u, others) = program.tensor(random), program.tensor(random)
    both = {*axes, *others}
    if axes[:1] == others[:1] == ("batch",) and len(both) == len(axes) + len(others) - 1 <= 5:
        after, before = ", None" * (len(others) - 1), ", None" * (len(axes) - 1)
        yield f"{t}[...{after}] * {u}[:{before}]", (*axes, *others[1:])


@step
def multiplied(random: Random, program: Program) -> Iterator[Line]:
    t, axes = program.tensor(random)
    for u, others in list(program.axes.items()):
        if len(axes) < 2 or len(others) < 2 or "batch" in (axes[-1], *others[-2:]):
            continue
        if axes[-1] == others[-2] and others[:-2] in ((), axes[:-2]):
            yield f"{t} @ {u}", (*axes[:-1], others[-1])
        if axes[-1] == others[-1] and others[:-2] == axes[:-2] and len(axes) > 2:
            yield f"{t} @ {u}.transpose(-1, -2)", (*axes[:-1], others[-2])
            if axes[-2] != "batch":
                yield f"F.scaled_dot_product_attention({t}, {u}, {u})", axes


@step
def summed_products(random: Random, program: Program) -> Iterator[Line]:
    (t, axes), (u, others) = program.tensor(random), program.tensor(random)
    both = list(dict.fromkeys(axes + others))
    is_plain = all(map(is_name, both)) and len(set(axes)) == len(axes) and len(set(others)) == len(others)
    if is_plain and len(both) <= 5:
        kept = [axis for axis in both if axis == "batch" or random.random() < 0.6]
        random.shuffle(kept)
        first, second, result = ("".join("abcde"[both.index(axis)] for axis in each) for each in (axes, others, kept))
        yield f"torch.einsum('{first},{second}->{result}', {t}, {u})", tuple(kept)


@step
def layers(random: Random, program: Program) -> Iterator[Line]:
    t, axes = program.tensor(random)
    if axes[-1:] == ("embed",):
        yield f"F.linear({t}, weight.t(), bias)", (*axes[:-1], "hidden")
    if axes and "batch" not in axes[-1]:
        yield f"F.layer_norm({t}, {t}.shape[-1:])", axes
    if len(axes) == 3 and axes[:2] == ("batch", "embed"):
        kernel = "weight.t()[..., None].expand(-1, -1, 3)"
        yield f"F.conv1d({t}, {kernel}, bias, padding=1)", ("batch", "hidden", axes[2])
    if axes == INPUTS["x"]:
        yield f"{t}.masked_fill(mask[..., None], 0.0)", axes
    yield "table[tokens]", INPUTS["x"]


@step
def merged(random: Random, program: Program) -> Iterator[Line]:
    t, axes = program.tensor(random)
    for index in range(len(axes) - 1):
        pair = axes[index : index + 2]
        if all(is_name(part) for axis in pair for part in axis.split("*")):
            yield f"{t}.flatten({index}, {index + 1})", (*axes[:index], "*".join(pair), *axes[index + 2 :])


@step
def split(random: Random, program: Program) -> Iterator[Line]:
    t, axes = program.tensor(random)
    for index, axis in enumerate(axes):
        if "*" in axis:
            sizes = ", ".join(SIZES[part] for part in axis.split("*"))
            parts = replaced(axes, index, *axis.split("*"))
            yield f"{t}.unflatten({index}, ({sizes}))", parts
            yield f"{t}.reshape(*{t}.shape[:{index}], {sizes}, *{t}.shape[{index + 1}:])", parts


@step
def resized(random: Random, program: Program) -> Iterator[Line]:
    """Another number of items along an axis, which then has no name."""
    t, axes = program.tensor(random)
    if inner := not_of_batch(axes):
        index = random.choice(inner)
        texts = ["{t}[{colons}1:]", "{t}.repeat_interleave(2, {index})", "torch.cat([{t}, {t}], dim={index})"]
        text = random.choice(texts).format(t=t, index=index, colons=":, " * index)
        yield text, replaced(axes, index, program.new_axis())


@step
def expanded(random: Random, program: Program) -> Iterator[Line]:
    t, axes = program.tensor(random)
    if 0 < len(axes) < 4 and "seq" not in axes:
        place = random.randint(0, len(axes))
        sizes = ["-1"] * len(axes)
        sizes.insert(place, SIZES["seq"])
        yield f"{t}.unsqueeze({place}).expand({', '.join(sizes)})", (*axes[:place], "seq", *axes[place:])
