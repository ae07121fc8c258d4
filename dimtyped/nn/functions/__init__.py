"""The functions of `torch.nn.functional` that are checked as their layers are, one file for each family."""

from __future__ import annotations

from dimtyped.nn.functions.table import FUNCTIONS as FUNCTIONS, checked_functions as checked_functions
