"""Fixes: what to write instead, each proposed only where it makes the call fit."""

from dimtyped.diagnosis.fixes.choice import fix_of
from dimtyped.diagnosis.fixes.fix import Fix, FixContext

__all__ = ["Fix", "FixContext", "fix_of"]
