"""Strategies for calls that are wrong in exactly one way, with the right answer beside them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from hypothesis import assume, reject, strategies as st

from dimtyped.annotations import AnythingHint, ClassHint, Kind, Parameter
from dimtyped.diagnosis import axis_name
from dimtyped.names import names_in
from dimtyped.runtime import WithoutInternalFrames
from dimtyped.testing.strategies.calls import Call, drawn_calls
from dimtyped.testing.strategies.leaves import Leaf, replaced
from dimtyped.testing.strategies.sizes import Choice, Sides, Sizes
from dimtyped.testing.strategies.target import InputOptions, Target, targets_of
from dimtyped.testing.strategies.tensors import SEEDS, as_kind
from dimtyped.testing.strategies.values import fill_of

_DTYPES = (torch.float32, torch.int64, torch.bool, torch.complex64)
_WRONG = "not a tensor"
_FREE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Broken(NamedTuple):
    """A call that is wrong in one way. `kind` is `size`, `rank`, `dtype`, `type` or `missing`.

    `dim` is the axis as the annotation names it if one size is wrong; else empty.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    argument: str
    dim: str
    kind: str


@dataclass(frozen=True)
class _Flaw:
    """A way to break a call: at a parameter, at one of the leaves below it, or at one axis of that."""

    kind: str
    argument: str
    leaf: Leaf | None = None
    dim: str = ""
    index: int = 0


@WithoutInternalFrames()
def broken_calls(
    function_or_module: Callable[..., Any],
    *,
    sizes: Mapping[str, Choice] | None = None,
    values: Mapping[str, str | int | range] | None = None,
    lengths: Mapping[str, Choice] | None = None,
    layouts: bool = False,
    min_side: int = 1,
    max_side: int = 6,
) -> st.SearchStrategy[Broken]:
    """Calls that are wrong in exactly one way, which a check always finds: `(args, kwargs, argument, dim, kind)`.

    A size is broken only if something fixes it: a declaration, a number, an expression, or an earlier tensor that binds
    the name. So the named argument is the one that does not fit the earlier ones.

    Args: as `calls`.

    Raises:
        DeclarationError: as `calls`.

    Example:
        >>> from hypothesis import find
        >>> from dimtyped import nn
        >>> broken = find(broken_calls(nn.Linear(3, 4)), lambda call: call.kind == "size")
        >>> broken.argument, broken.dim
        ('input', 'in_features')
    """
    options = InputOptions(sizes or {}, values or {}, lengths or {}, layouts)
    drawn = drawn_broken(targets_of(function_or_module, options), Sides(min_side, max_side))
    return drawn.map(lambda drawn: drawn[1])


def drawn_broken(targets: Sequence[Target], sides: Sides | None = None) -> st.SearchStrategy[tuple[Call, Broken]]:
    """Broken calls, each with the right call that it was made from."""
    made = drawn_calls(targets, sides)

    @st.composite
    def strategy(draw: st.DrawFn) -> tuple[Call, Broken]:
        call = draw(made)
        flaws = list(_flaws(call))
        assume(flaws)
        flaw = draw(st.sampled_from(flaws))
        args, kwargs = _broken(draw, call, flaw)
        if flaw.kind != "missing" and call.target.accepts(args, kwargs):
            reject()
        return call, Broken(args, kwargs, flaw.argument, call.target.labels.get(flaw.dim, flaw.dim), flaw.kind)

    return strategy()


def _flaws(call: Call) -> Iterator[_Flaw]:
    known = set(call.target.sizes)
    for leaf in call.leaves:
        if leaf.path[0] not in call.target.unchecked:
            yield from _flaws_of(leaf, call.target, known)
    bound = call.target.bound(call.args, call.kwargs)
    for parameter in call.target.parameters:
        if parameter.name in bound and isinstance(parameter.hint, ClassHint) and _tells_apart(parameter.hint):
            yield _Flaw("type", parameter.name)
        if not parameter.has_default and parameter.kind not in _FREE and not isinstance(parameter.hint, AnythingHint):
            yield _Flaw("missing", parameter.name)


def _flaws_of(leaf: Leaf, target: Target, known: set[str]) -> Iterator[_Flaw]:
    """The flaws that a tensor can get; afterwards its names are known."""
    argument = leaf.path[0]
    for axis, index in leaf.axes:
        size = leaf.tensor.shape[index]
        is_settled = {
            Kind.ANY: False,
            Kind.SIZE: True,
            Kind.NAME: axis.name in known,
            Kind.EXPRESSION: all(name in known for name in names_in(axis.name)),
        }[axis.kind]
        if is_settled and leaf.is_sure:
            yield _Flaw("size", argument, leaf, axis_name(axis), index)
        if axis.kind is Kind.NAME and not (axis.broadcast and size == 1):
            known.add(axis.name)
    if leaf.is_sure:
        yield _Flaw("type", argument, leaf)
        if leaf.hint.dtypes is not None and _other_dtypes(leaf):
            yield _Flaw("dtype", argument, leaf)
        if leaf.hint.variadic is None and target.is_only_form:
            yield _Flaw("rank", argument, leaf)


def _broken(draw: st.DrawFn, call: Call, flaw: _Flaw) -> tuple[tuple[Any, ...], dict[str, Any]]:
    path: tuple[Any, ...] = flaw.leaf.path if flaw.leaf is not None else (flaw.argument,)
    if flaw.kind == "missing":
        return _without(call, flaw.argument)
    value = _WRONG if flaw.kind == "type" or flaw.leaf is None else _wrong_tensor(draw, call, flaw, flaw.leaf)
    bound = call.target.bound(call.args, call.kwargs)
    changed = replaced(bound[path[0]], path[1:], value)
    return _put(call, path[0], changed)


def _wrong_tensor(draw: st.DrawFn, call: Call, flaw: _Flaw, leaf: Leaf) -> torch.Tensor:
    if flaw.kind == "dtype":
        return as_kind(leaf.tensor.detach().to(draw(st.sampled_from(_other_dtypes(leaf)))), leaf.hint.array_type)
    shape = list(leaf.tensor.shape)
    if flaw.kind == "rank":
        least = 2 if leaf.hint.packed else 0
        wrong: list[list[int]] = [[1, *shape], *([shape[1:]] if len(shape) > least else [])]
        shape = draw(st.sampled_from(wrong))
    else:
        size = shape[flaw.index]
        shape[flaw.index] = draw(st.sampled_from([size + 1, size + 2, *([size - 1] if size > 1 else [])]))
    fill = fill_of(call.target, Sizes(call.sizes), flaw.argument, leaf.hint)
    made = fill.make(tuple(shape), draw(SEEDS)).to(call.target.device)
    return as_kind(made, leaf.hint.array_type)


def _other_dtypes(leaf: Leaf) -> list[torch.dtype]:
    return [dtype for dtype in _DTYPES if dtype not in (leaf.hint.dtypes or _DTYPES)]


def _put(call: Call, name: str, value: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The call with another argument of this name."""
    for parameter, place in _positional(call):
        if parameter.name == name:
            is_many = parameter.kind is inspect.Parameter.VAR_POSITIONAL
            after = () if is_many else call.args[place + 1 :]
            return (*call.args[:place], *(value if is_many else (value,)), *after), call.kwargs
    return call.args, {**call.kwargs, **({name: value} if name in call.kwargs else value)}


def _positional(call: Call) -> list[tuple[Parameter, int]]:
    placed = enumerate(call.target.parameters[: len(call.args)])
    return [(p, i) for i, p in placed if p.kind not in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)]


def _without(call: Call, name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The call without this argument; those after it are given by name."""
    names = [p.name for p, _ in _positional(call)]
    if name not in names:
        return call.args, {key: value for key, value in call.kwargs.items() if key != name}
    index = names.index(name)
    return call.args[:index], {**dict(zip(names[index + 1 :], call.args[index + 1 :], strict=False)), **call.kwargs}


def _tells_apart(hint: ClassHint) -> bool:
    """True if a string is certainly not an instance of this class."""
    return not issubclass(str, hint.cls)
