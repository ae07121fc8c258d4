"""The rules: the axes of each operator's result, in one table by kind of operator.

A rule takes a `Call` and returns the axes of the result: a tuple of axes for one tensor (or for each of several of one shape),
a list with an entry for each tensor of the result otherwise, None in it for a tensor without names. It states with `call.meet`,
`call.broadcast` and `call.contract` which axes are treated as equal, with `call.mixes` along which axes values are carried, and raises
`NoRule` for a call that it does not cover.
"""

from dimtyped.flow.rules import (  # pyright: ignore[reportUnusedImport] - loading a kind of operator adds its rows
    attention as attention,
    contractions as contractions,
    factories as factories,
    gathers as gathers,
    indexing as indexing,
    joins as joins,
    losses as losses,
    matrices as matrices,
    networks as networks,
    recurrent as recurrent,
    reductions as reductions,
    scans as scans,
    views as views,
)
from dimtyped.flow.rules.pointwise import pointwise as pointwise
from dimtyped.flow.rules.table import RULES as RULES, SILENT as SILENT, rule as rule
