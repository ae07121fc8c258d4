"""Strategies for whole calls: arguments that fit their annotations together."""

from __future__ import annotations

import copy
import functools
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import reject, strategies as st

from dimtyped.annotations import AnythingHint, Kind, Parameter, arrays_in
from dimtyped.names import shape_text
from dimtyped.runtime import WithoutInternalFrames
from dimtyped.testing.strategies.layers import has_forms
from dimtyped.testing.strategies.leaves import Leaf, leaves_of
from dimtyped.testing.strategies.sizes import Choice, Sides, Sizes, Solver
from dimtyped.testing.strategies.target import InputOptions, Target, targets_of
from dimtyped.testing.strategies.values import MOSTLY, World, draw_value, drawn_count, plain_values

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
_FREE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_NOTHING: Any = object()


@dataclass(frozen=True, repr=False)
class Call:
    """A call that fits, and its target."""

    target: Target
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __repr__(self) -> str:
        shapes = ", ".join(f"{leaf}: {shape_text(tuple(leaf.tensor.shape))}" for leaf in self.leaves)
        return f"<call of {self.target.name}: {shapes}>"

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        printer.text(repr(self))  # hypothesis would print every field of a dataclass, and of those in it

    @property
    def leaves(self) -> list[Leaf]:
        """The annotated tensors in it, in the order of checking."""
        bound = self.target.bound(self.args, self.kwargs)
        return [leaf for p in self.target.parameters if p.name in bound for leaf in _leaves(p, bound[p.name])]

    @property
    def sizes(self) -> dict[str, int]:
        """Every name of the call and its size: declared ones first."""
        found = dict(self.target.sizes)
        for leaf in self.leaves:
            for axis, index in leaf.axes:
                size = leaf.tensor.shape[index]
                if axis.kind is Kind.NAME and not (axis.broadcast and size == 1):
                    found.setdefault(axis.name, size)
        return found


@WithoutInternalFrames()
def calls(
    function_or_module: Callable[..., Any],
    *,
    sizes: Mapping[str, Choice] | None = None,
    values: Mapping[str, str | int | range] | None = None,
    lengths: Mapping[str, Choice] | None = None,
    layouts: bool = False,
    min_side: int = 1,
    max_side: int = 6,
    allow_empty: bool = False,
) -> st.SearchStrategy[Arguments]:
    """Calls that fit the annotations together, as `(args, kwargs)`.

    A name has one size in a call, a declared name its declared size; expressions are solved. Parameters with a default
    are sometimes left out, optional ones are sometimes None. Integers are ids below every embedding's vocabulary, or
    lengths if the parameter's name says so; floats have the module's dtype. Calls shrink to sides of 1 and zeros, and
    leave out what they can.

    Args:
        function_or_module: A function, a method, or a module with an annotated `forward`.
        sizes: Sizes of names that it does not declare: `{"seq": 4}`, or to choose from, `{"heads": (2, 4)}` and
            `{"seq": range(3, 9)}`. Default: none, all are drawn.
        values: The upper bound of a parameter's integers: a name, a size or a range. `{"labels": "classes"}`.
        lengths: The number of items of a list: `{"images": 3}`, or a range. Default: 1 to 3.
        layouts: If True, tensors are drawn in every memory layout. Default: False, they are contiguous.
        min_side: The shortest side that is drawn. Default: 1.
        max_side: The longest. Default: 6. A side is longer only if an expression needs it.
        allow_empty: If True, sides of 0 are drawn too. Default: False.

    Raises:
        DeclarationError: it is not annotated, an annotation cannot be satisfied, a name is fixed twice, no parameter
            has a given name, or the module is on a device that does not exist.

    Example:
        >>> from hypothesis import find
        >>> from dimtyped import nn
        >>> layer = nn.Linear(3, 4)
        >>> args, kwargs = find(calls(layer), lambda call: call[0][0].dim() == 2)
        >>> layer(*args, **kwargs).shape
        torch.Size([1, 4])
    """
    options = InputOptions(sizes or {}, values or {}, lengths or {}, layouts)
    drawn = drawn_calls(targets_of(function_or_module, options), Sides(min_side, max_side, allow_empty))
    return drawn.map(lambda call: (call.args, call.kwargs))


def drawn_calls(
    targets: Sequence[Target], sides: Sides | None = None, *, takes: bool = True
) -> st.SearchStrategy[Call]:
    """Calls with their targets and sizes. Calls of a layer that torch rejects are left out, unless `takes` is False."""
    return st.one_of([_calls_of(target, sides or Sides(), takes=takes) for target in targets])


def _calls_of(target: Target, sides: Sides, *, takes: bool) -> st.SearchStrategy[Call]:
    solver = _solver(target, {}, sides) if not _reads_arguments(target) else None
    for parameter in target.parameters:
        if isinstance(parameter.hint, AnythingHint) and _is_needed(parameter):
            plain_values(target, Sizes(), parameter, parameter.hint)

    @st.composite
    def strategy(draw: st.DrawFn) -> Call:
        call = _drawn(draw, target, sides, solver)
        if not target.accepts(call.args, call.kwargs) or (takes and refusal_of(call) is not None):
            reject()
        return call

    return strategy()


def _drawn(draw: st.DrawFn, target: Target, sides: Sides, solver: Solver | None) -> Call:
    given = [p for p in target.parameters if _is_given(draw, target, p)]
    world = World(draw, target, solver.draw(draw) if solver is not None else Sizes(), sides)
    values: dict[str, Any] = {}
    if solver is None:  # an annotation's `{...}` reads a plain argument
        values = {p.name: _drawn_argument(world, p) for p in given if not arrays_in(p.hint)}
        world.sizes = _solver(target, values, sides).draw(draw)
    values.update({p.name: _drawn_argument(world, p) for p in given if p.name not in values})
    return as_call(target, values)


def _drawn_argument(world: World, parameter: Parameter) -> Any:
    match parameter.kind:
        case inspect.Parameter.VAR_POSITIONAL:
            count = drawn_count(world, parameter, st.integers(0, 2))
            return tuple(draw_value(world, parameter, parameter.hint) for _ in range(count))
        case inspect.Parameter.VAR_KEYWORD:
            return {
                name: draw_value(world, parameter, parameter.hint) for name in "ab"[: world.draw(st.integers(0, 2))]
            }
        case _:
            return draw_value(world, parameter, parameter.hint)


def as_call(target: Target, values: Mapping[str, Any]) -> Call:
    """The arguments: positional until one is left out, then by name."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    is_gap = False
    for parameter in target.parameters:
        value = values.get(parameter.name, _NOTHING)
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            kwargs.update({} if value is _NOTHING else value)
        elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            args.extend(() if is_gap or value is _NOTHING else value)
        elif value is _NOTHING or (is_gap and parameter.kind is inspect.Parameter.POSITIONAL_ONLY):
            is_gap = True
        elif is_gap or parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            kwargs[parameter.name] = value
        else:
            args.append(value)
    return Call(target, tuple(args), kwargs)


def _is_given(draw: st.DrawFn, target: Target, parameter: Parameter) -> bool:
    """True if a call gives this parameter; never one with a default and without an annotation."""
    if isinstance(parameter.hint, AnythingHint) and not _is_needed(parameter):
        return False
    return not parameter.has_default or draw(MOSTLY if parameter.name in target.likely else st.booleans())


def _is_needed(parameter: Parameter) -> bool:
    return not parameter.has_default and parameter.kind not in _FREE


def refusal_of(call: Call) -> Exception | None:
    """Torch's error for a call of a layer, such as an image smaller than the kernel, which no annotation can state.

    A Sequential is run as a whole: a later layer may reject what the first takes. Torch's warnings are not errors.
    """
    layer, called = call.target.owner, call.target.call
    if not isinstance(called, torch.nn.Module) or not has_forms(layer):
        return None
    is_row = isinstance(called, torch.nn.Sequential)
    forward: Any = copy.deepcopy(called) if is_row else functools.partial(_torch_forward(layer), copy.deepcopy(layer))
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            forward(*call.args, **call.kwargs)
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        return error
    return None


def _torch_forward(layer: torch.nn.Module) -> Any:
    """Torch's own `forward`, without the check: a call that only the check rejects must still be drawn."""
    return inspect.unwrap(type(layer).forward)


def _leaves(parameter: Parameter, value: Any) -> list[Leaf]:
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        parts = list(enumerate(value))
    elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
        parts = list(value.items())
    else:
        return list(leaves_of(parameter.hint, value, (parameter.name,)))
    return [leaf for key, part in parts for leaf in leaves_of(parameter.hint, part, (parameter.name, key))]


def _solver(target: Target, values: Mapping[str, Any], sides: Sides) -> Solver:
    results = arrays_in(target.signature.result)
    return Solver(target.arrays, {**target.sizes, **target.given}, {**target.values, **values}, sides, results)


def _reads_arguments(target: Target) -> bool:
    """True if an annotation's `{...}` reads another argument: `{count}`, of `count: int`."""
    names = {parameter.name for parameter in target.parameters}
    texts = [
        part
        for a in target.arrays
        for axis in a.axes
        for part in axis.name.split("{")[1:]
        if axis.kind is Kind.EXPRESSION
    ]
    return any(text.partition("}")[0].partition(".")[0].strip() in names for text in texts)
