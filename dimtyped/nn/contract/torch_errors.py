"""Explains torch's own errors by name: sizes that no annotation can state, and arguments of a constructor.

Nothing here runs before torch has raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from dimtyped import diagnosis
from dimtyped.annotations import Hint, arrays_in
from dimtyped.engine import Raised
from dimtyped.errors import DeclarationError, DimensionError, declaration_error, with_fields
from dimtyped.names import Dim
from dimtyped.nn.contract.dtypes import dtype_error
from dimtyped.nn.contract.parameters import changed_hint, changed_in_place, changed_text

TORCH_ERRORS = (RuntimeError, ValueError, IndexError, AssertionError)
"""The exceptions that torch's layers raise for a tensor of a wrong shape."""


class SizeViolation(NamedTuple):
    """One size that torch rejects: its argument, axis, name and expected size.

    If `axis` is None, the number of axes is wrong. `actual` is given if a value is wrong rather than a size.
    """

    argument: str
    axis: int | None
    name: str
    expected: object
    actual: object = None


Rule = Callable[..., Iterator[SizeViolation]]
"""Finds the wrong sizes in a call for which torch has raised; takes the arguments of `forward`."""


def explained(raised: Raised) -> Exception:
    """The DimensionError for torch's error if the layer's rule finds the wrong size; else torch's error."""
    rules, signature, _, values, error = raised
    layer = values[0]
    if isinstance(error, DimensionError):
        return error
    given = {
        parameter.name: diagnosis.snapshot(value) for parameter, value in zip(signature.parameters, values, strict=True)
    }
    by_dtype = dtype_error(raised)
    if by_dtype is not None:
        return by_dtype
    changed = changed_in_place(layer)
    if changed is not None:
        return _changed(rules.where(signature, layer), layer, changed, error)
    violations = list(layer.contract.violations(*values)) if layer.contract.violations is not None else []
    if not violations:
        return error
    findings = diagnosis.find_mismatches(signature, rules.declared(signature, layer), given, None, {}, layer)
    hints = {parameter.name: parameter.hint for parameter in signature.parameters}
    findings.mismatches[:] = [
        as_mismatch(violation, hints[violation.argument], given[violation.argument]) for violation in violations
    ]
    return diagnosis.build_error(findings, rules.where(signature, layer), rules.labels(layer), diagnosis.kind_of(error))


def _changed(
    where: str, layer: Any, changed: tuple[str, tuple[int, ...], tuple[int, ...]], error: Exception
) -> DimensionError:
    """The error for a layer whose parameter now has data of other sizes than the layer declares."""
    name, actual, expected = changed
    hint = changed_hint(layer, name, actual)
    problem = f"{changed_text(layer, name, actual)}: its data was replaced, the layer's sizes were not"
    text = f"{where}: {problem}\n  {hint[0].upper()}{hint[1:]}."
    return with_fields(
        diagnosis.kind_of(error)(text), where=where, argument=name, expected=expected, actual=actual, hint=hint
    )


def as_mismatch(violation: SizeViolation, hint: Hint, value: diagnosis.Snapshot) -> diagnosis.Mismatch:
    """A violation as what the text of an error shows, beside the annotation and the value of its argument."""
    if violation.actual is not None:
        return diagnosis.Mismatch(
            violation.argument, "extent", hint, value, violation.name, violation.expected, violation.actual
        )
    shape = (len(value.items),) if value.items is not None else value.shape or ()  # a list of lengths has one axis
    shown = next((array for array in arrays_in(hint) if len(array.axes) == len(shape)), hint)
    if violation.axis is None:
        return diagnosis.Mismatch(
            violation.argument, "rank", shown, value, expected=violation.expected, actual=len(shape)
        )
    index = violation.axis % len(shape)
    place = index if value.is_tensor else None
    return diagnosis.Mismatch(
        violation.argument, "extent", shown, value, violation.name, violation.expected, shape[index], place
    )


def divisibility_error(
    where: str, multiples: Mapping[str, str], arguments: Mapping[str, Any]
) -> DeclarationError | None:
    """The error for a constructor's argument that is not the multiple of another one that it must be."""
    for whole, part in multiples.items():
        size, parts = arguments.get(whole), arguments.get(part)
        if isinstance(size, int) and isinstance(parts, int) and parts > 0 and size % parts:
            return _not_divisible(where, (whole, size), (part, parts))
    return None


def _not_divisible(where: str, whole: tuple[str, int], part: tuple[str, int]) -> DeclarationError:
    (name, size), (part_name, parts) = whole, part
    name = size.name if isinstance(size, Dim) else name
    lower = size // parts * parts
    return declaration_error(
        where,
        f"{name}={int(size)} is not divisible by {part_name}={int(parts)}",
        f"Make {name} a multiple of {part_name}: {f'{lower} or ' if lower else ''}{lower + parts}.",
        argument=whole[0],
        dim=name,
        expected=f"a multiple of {int(parts)}",
        actual=int(size),
        bindings={name: int(size), part_name: int(parts)},
    )
