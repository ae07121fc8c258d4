"""Fixes: what to write instead, each proposed only where it makes the call fit."""

from typing import TYPE_CHECKING

from dimtyped.runtime import on_demand

if TYPE_CHECKING:
    from dimtyped.diagnosis.fixes.choice import fix_of as fix_of
    from dimtyped.diagnosis.fixes.fix import Fix as Fix, FixContext as FixContext

__getattr__, __dir__ = on_demand(
    __name__, {"dimtyped.diagnosis.fixes.choice": "fix_of", "dimtyped.diagnosis.fixes.fix": "Fix FixContext"}
)
