"""Mends: what to write instead, each proposed only where it makes the call fit."""

from dimtyped.diagnosis.fixes.choice import mend_of
from dimtyped.diagnosis.fixes.fix import Mend, Trial

__all__ = ["Mend", "Trial", "mend_of"]
