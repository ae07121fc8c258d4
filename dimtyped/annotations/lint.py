"""Warnings for annotations that are legal but probably a typo, once per function, when its check is compiled."""

from __future__ import annotations

import types
import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

from dimtyped.annotations.axes import Axis, Kind
from dimtyped.annotations.hints import ArrayHint, arrays_in
from dimtyped.annotations.signature import Signature
from dimtyped.errors import DimensionWarning
from dimtyped.names import names_in, similar_name

_warned: set[tuple[str, str, int]] = set()
_SHORTEST = 4  # of a broadcast name: `#n` alone is a shorthand


def warn_of(signature: Signature, declared: Collection[str]) -> bool:
    """Warns of suspicious names in a signature, at the function's own line.

    Args:
        signature: The signature.
        declared: The names that the module or the decorator declares.

    Returns:
        True if there are any.
    """
    function: Any = signature.function
    code: types.CodeType | None = getattr(function, "__code__", None)
    if code is None or not signature.expressible:
        return False
    texts = [*_misspelt(signature, declared), *_lonely(signature, declared)]
    for text in texts:
        _warn(f"{signature.where}: {text}", code.co_filename, code.co_firstlineno, function.__module__)
    return bool(texts)


def _warn(text: str, file: str, line: int, module: str) -> None:
    """Warns, unless a filter that warns once has shown a warning for this place before.

    Python forgets its past warnings whenever someone enters or leaves `warnings.catch_warnings`, so its record of them
    is kept here. Python records only warnings that it showed, and none under "always".
    """
    if (text, file, line) in _warned:
        return
    registry: dict[Any, Any] = {}
    warnings.warn_explicit(text, DimensionWarning, file, line, module, registry)
    if registry.keys() - {"version"}:
        _warned.add((text, file, line))


def _misspelt(signature: Signature, declared: Collection[str]) -> Iterator[str]:
    """Names used once that look like another name: no size is ever compared with them."""
    uses = _uses(signature)
    bound = _bound(signature, declared)
    for name, count in uses.items():
        if name not in bound:  # in an expression of several unknown names, which is an error of its own
            continue
        others = [other for other in (*declared, *uses) if other != name]
        similar = similar_name(name, others) if count == 1 and name not in declared else None
        if similar is not None and (similar in declared or uses[similar] > 1 or _comes_before(similar, name, uses)):
            source = (
                "which is declared" if similar in declared else f"which the annotations use {_times(uses[similar])}"
            )
            yield f"`{name}` is used once in the annotations, so any size fits. Did you mean `{similar}`, {source}?"


def _bound(signature: Signature, declared: Collection[str]) -> set[str]:
    """The names that a call binds: each that is an axis, and the only unknown one of an expression, which is solved."""
    axes = [axis for array in _arrays(signature) for axis in array.axes]
    names = {axis.name for axis in axes if axis.kind is Kind.NAME}
    unknown = (
        [name for name in names_in(axis.name) if name not in names and name not in declared]
        for axis in axes
        if axis.kind is Kind.EXPRESSION
    )
    return names | {found[0] for found in unknown if len(found) == 1}


def _lonely(signature: Signature, declared: Collection[str]) -> Iterator[str]:
    """`#name` without another axis of that name: a size of 1 passes as broadcast, and nothing says to which size."""
    uses = _uses(signature)
    arrays = _arrays(signature)
    for axis in (axis for array in arrays for axis in array.axes if axis.broadcast and not axis.many):
        lonely = axis.kind is Kind.NAME and uses[axis.name] == 1 and axis.name not in declared
        if lonely and len(arrays) > 1 and len(axis.name) >= _SHORTEST:
            yield f"`#{axis.name}` broadcasts to an axis `{axis.name}`, but no other axis has that name: any size fits."


def _uses(signature: Signature) -> Counter[str]:
    """The number of uses of each name of single axes in the annotations, including expressions."""
    return Counter(name for array in _arrays(signature) for axis in array.axes for name in _names(axis))


def _names(axis: Axis) -> tuple[str, ...]:
    if axis.kind is Kind.EXPRESSION:
        return names_in(axis.name)
    return (axis.name,) if axis.kind is Kind.NAME and not axis.many else ()


def _arrays(signature: Signature) -> list[ArrayHint]:
    return [array for hint in signature.hints for array in arrays_in(hint)]


def _comes_before(similar: str, name: str, uses: Counter[str]) -> bool:
    """True if the first name is used earlier: of two names used once each, only the later one is reported."""
    names = [*uses]
    return names.index(similar) < names.index(name)


def _times(count: int) -> str:
    return "once" if count == 1 else "twice" if count == 2 else f"{count} times"
