"""What does one check cost, beside every other way to check?

By number of tensors, of names, by their sizes, and by kind of annotation. The function returns its first argument, so
what a candidate takes beyond `untyped` is its check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import beartype
import jaxtyping
import torch
from jaxtyping import Bool, Float, Float32, Int, Shaped
from torch import Tensor

import dimtyped
from benchmarks import peers
from benchmarks.measure import Candidate, Run
from benchmarks.peers import Subject
from benchmarks.record import Row

DEVICES = ("cpu",)
ONE = "one tensor in, one out"
LARGE = "sizes 64, 512, 768"
_BESIDE = (peers.UNTYPED, peers.ASSERTS, peers.DIMTYPED, peers.JAXTYPING, peers.DLTYPE)
_AXES = "batch seq embed"


def ask(run: Run) -> Iterator[Row]:
    yield from run.compare(ONE, peers.candidates(peers.ALL, peers.ONE))
    for case, subject in _grown(run.quick):
        yield from run.compare(case, peers.candidates(_BESIDE, subject))
    for kind, hint, argument in _kinds():
        yield from run.compare(f"annotation: {kind}", _of_kind(hint, argument))


def tensors(count: int) -> str:
    """The case of so many tensors in, one out."""
    return f"{count} tensors in, one out"


def _grown(quick: bool) -> Iterator[tuple[str, Subject]]:
    sizes = peers.ONE.sizes
    for count in (2, 8) if quick else (2, 4, 8):
        yield tensors(count), Subject((_AXES,) * count, _AXES, sizes)
    for count in (1, 6) if quick else (1, 2, 4, 6, 8):
        names = [f"n{index}" for index in range(count)]
        axes = " ".join(names)
        yield f"{count} name{'s' if count > 1 else ''} on one tensor", Subject((axes,), axes, dict.fromkeys(names, 2))
    yield LARGE, Subject((_AXES,), _AXES, {"batch": 64, "seq": 512, "embed": 768})


def _kinds() -> Iterator[tuple[str, Any, Any]]:
    x = torch.zeros(2, 3, 4)
    yield "names", Float[Tensor, "batch seq embed"], x
    yield "numbers", Float[Tensor, "2 3 4"], x
    yield "any size `_`", Float[Tensor, "_ _ _"], x
    yield "any rank `...`", Float[Tensor, "... embed"], x
    yield "named run `*batch`", Float[Tensor, "*batch embed"], x
    yield "broadcast `#batch`", Float[Tensor, "#batch seq embed"], x
    yield "arithmetic `seq+1`", Float[Tensor, "batch seq seq+1"], x
    yield "scalar", Float[Tensor, ""], torch.zeros(())
    yield "one dtype", Float32[Tensor, "batch seq embed"], x
    yield "any dtype", Shaped[Tensor, "batch seq embed"], x
    yield "optional", Float[Tensor, "batch seq embed"] | None, x
    yield "union", Int[Tensor, "batch seq"] | Float[Tensor, "batch seq embed"], x
    yield "list of four, of which beartype looks at one", list[Float[Tensor, "batch seq embed"]], [x, x, x, x]
    yield "tuple of two", tuple[Float[Tensor, "batch seq embed"], Bool[Tensor, "batch"]], (x, torch.ones(2).bool())
    yield (
        "dict of two, of which beartype looks at one",
        dict[str, Float[Tensor, "batch seq embed"]],
        {"left": x, "right": x},
    )
    yield "no tensor: int", int, 3


def _of_kind(hint: Any, argument: Any) -> list[Candidate]:
    decorators: dict[str, Callable[[Any], Any]] = {
        peers.UNTYPED.label: lambda function: function,
        peers.DIMTYPED.label: dimtyped.typed,
        peers.JAXTYPING.label: jaxtyping.jaxtyped(typechecker=beartype.beartype),
    }
    return [Candidate(label, decorate(_annotated(hint)), (argument,)) for label, decorate in decorators.items()]


def _annotated(hint: Any) -> Any:
    def function(x):  # annotated below
        return x

    function.__annotations__ = {"x": hint, "return": hint}
    return function
