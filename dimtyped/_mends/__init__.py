"""Mends: what to write instead, each proposed only where it makes the call fit."""

from dimtyped._mends._choice import mend_of
from dimtyped._mends._mend import Mend, Trial

__all__ = ["Mend", "Trial", "mend_of"]
