"""The table of rules: each kind of operator adds its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dimtyped.flow.calls import Rule

RULES: dict[str, Rule] = {}
"""The rule of each operator, by its name without the underscore of the in-place variant; `F.x` is torch.nn.functional's."""

SILENT: set[str] = set()
"""Functions that make no tensor whose names matter: they are neither followed nor counted."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a rule for operators."""

    def register(function: Rule) -> Rule:
        for name in names:
            if name in RULES:
                raise ValueError(f"{name} has two rules")
            RULES[name] = function
        return function

    return register
