"""Torch's own errors, explained: the expression that failed, its operands in names, what clashes, and a fix.

Nothing here runs before torch has raised inside a typed call. The way of one error: `frames` finds the user's frame,
`expression` its expression, `evaluation` the operands on shapes alone, `naming` the names of their axes, `clashes` what
does not fit by kind of operator, `fixes` what to write instead, and `note` writes it down.
"""
