"""Axes to which no call can give a size: refused once the names that may be declared are known, before any call."""

from __future__ import annotations

import re

import torch

from dimtyped.annotations import Inexpressible
from dimtyped.engine.checked_function import CheckedFunction
from dimtyped.engine.inline_checks import InlineChecks
from dimtyped.engine.preparation import plan_of
from dimtyped.errors import DeclarationError, declaration_error
from dimtyped.names import scope_of

_EXPRESSION = re.compile(r"[\w)}][-+*/%(]")
"""The mark of an axis that is an expression; a type's text may have it too."""


def reject_unbound(checked: CheckedFunction) -> None:
    """Refuses a function that is no method, if an axis of its annotations can have no size.

    An annotation that cannot be resolved yet is left to the first call.

    Raises:
        DeclarationError: there is such an axis.
    """
    if checked.call is not None or not may_have_expression(checked):  # with a call: an equal definition was accepted
        return
    try:
        checked.declaration.signature  # noqa: B018  # reads the annotations, which may name what comes later
    except DeclarationError:
        return
    error = _unbound_axis(checked, None, "with typed(dims=[...])", only_certain=False)
    if error is not None:
        raise error


def unbound_axis_of(checked: CheckedFunction, module: torch.nn.Module) -> DeclarationError | None:
    """The error for a module's method of which each call would meet an axis that can have no size; None if there is none."""
    return _unbound_axis(checked, scope_of(module).scope_key, "as a DimSize parameter", only_certain=True)


def may_have_expression(checked: CheckedFunction) -> bool:
    """False if no axis in the annotations is an expression, judged by their text."""
    annotations = getattr(checked.declaration.function, "__annotations__", {})
    return any(_EXPRESSION.search(str(annotation)) for annotation in annotations.values())


def _unbound_axis(
    checked: CheckedFunction, scope_key: str | None, how: str, *, only_certain: bool
) -> DeclarationError | None:
    if not checked.signature.expressible:
        return None
    try:
        check = InlineChecks(plan_of(checked, scope_key))
        check.check_arguments()
    except Inexpressible:
        return None
    if check.checks_result:
        check.check_result("result")
    found = [(axis, name) for axis, name, is_certain in check.unbound if is_certain or not only_certain]
    if not found:
        return None
    first = found[0][0]
    return _error(checked, first, [*dict.fromkeys(name for axis, name in found if axis == first)], how)


def _error(checked: CheckedFunction, axis: str, names: list[str], how: str) -> DeclarationError:
    similar = {name: checked.similar_name(name) for name in names}
    meant = next((other for other in similar.values() if other), "")
    either = " or ".join(f"`{name}`" for name in names)
    hint = f"did you mean `{meant}`?" if meant else f"declare {either} {how}, or give a tensor an axis of that name"
    return declaration_error(
        checked.signature.where,
        f"the axis `{axis}` can have no size: nothing binds {' and '.join(f'`{name}`' for name in names)}",
        hint,
        argument=checked.explainer.parameter_with(axis),
        dim=names[0],
        expected="names that an axis binds, or that are declared",
        actual=axis,
    )
