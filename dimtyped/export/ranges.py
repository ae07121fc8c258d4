"""The bounds of dynamic sizes, as a user gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from dimtyped.errors import DeclarationError, with_fields
from dimtyped.export.axis_sizes import ExampleCall
from dimtyped.names import similar_name

Range: TypeAlias = tuple[int | None, int | None] | range
Bounds: TypeAlias = tuple[int | None, int | None]


def read_ranges(call: ExampleCall, ranges: Mapping[str, Range] | None) -> dict[str, Bounds]:
    """The smallest and the largest size of each name, None where it has no such bound.

    Raises:
        DeclarationError: A name is not one of a dynamic size, a range is none, or the call's own size is outside it.
    """
    bounds: dict[str, Bounds] = dict.fromkeys(call.names, (None, None))
    for name, given in (ranges or {}).items():
        if name not in bounds:
            raise _unknown(call, name)
        bounds[name] = _bounds(call, name, given)
    return bounds


def is_static(bounds: Bounds) -> bool:
    """True if only one size is inside the bounds."""
    return bounds[0] is not None and bounds[0] == bounds[1]


def _bounds(call: ExampleCall, name: str, given: Range) -> Bounds:
    pair = (given.start, given.stop - 1) if isinstance(given, range) and given.step == 1 else given
    if not isinstance(pair, tuple) or len(pair) != 2 or not all(end is None or type(end) is int for end in pair):
        raise _wrong(call, name, f"{given!r} is not a range", "give the smallest and the largest size: (1, 2048)")
    low, high = pair
    if low is not None and high is not None and low > high:
        raise _wrong(call, name, f"{given!r} is not a range: {low} is more than {high}", "give the smallest size first")
    size = call.sizes.get(name)
    if size is not None and (size < (low or 0) or (high is not None and size > high)):
        raise _wrong(call, name, f"it is {size} in the example, outside {given!r}", "give an example inside the range")
    return low, high


def _unknown(call: ExampleCall, name: str) -> DeclarationError:
    if name in call.declared:
        return _wrong(call, name, "the module declares it, so its size never changes", "leave it out of the ranges")
    meant = similar_name(name, call.names)
    known = ", ".join(f"`{each}`" for each in call.names) or "none"
    hint = f"write `{meant}`" if meant else f"give a range for one of these: {known}"
    return _wrong(call, name, "no annotation of the call has this name", hint)


def _wrong(call: ExampleCall, name: str, problem: str, hint: str) -> DeclarationError:
    text = f"{call.where}: the range of `{name}`: {problem}\n  {hint[0].upper()}{hint[1:]}."
    return with_fields(DeclarationError(text), where=call.where, argument="ranges", dim=name, hint=hint)
