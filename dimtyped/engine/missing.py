"""Arguments that a call left out: their mark, and the parameters that need it."""

from __future__ import annotations

from typing import Any

import torch

from dimtyped.annotations import AnythingHint, ClassHint, Hint, Parameter, UnionHint


class Missing:
    """The mark of an argument that a call left out."""

    def __reduce__(self) -> str:
        return "MISSING"


MISSING = Missing()


def is_marked(parameter: Parameter) -> bool:
    """True if the check must know that a call left the argument out: its default may fail the check."""
    return parameter.has_default and not _fits(parameter.hint, parameter.default)


def value_left_out(parameter: Parameter) -> Any:
    """The value that a compiled check sees for a parameter that a call left out."""
    kinds: dict[str, Any] = {"VAR_POSITIONAL": (), "VAR_KEYWORD": {}}
    return kinds.get(parameter.kind.name, MISSING if is_marked(parameter) else parameter.default)


def _fits(hint: Hint, value: Any) -> bool:
    match hint:
        case AnythingHint():
            return True
        case ClassHint(cls=cls):
            return isinstance(value, cls)
        case UnionHint(options=options):
            return not isinstance(value, torch.Tensor) and any(_fits(option, value) for option in options)
        case _:
            return False
