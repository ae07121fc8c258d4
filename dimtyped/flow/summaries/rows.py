"""The cells of a summary's rows."""

from __future__ import annotations

from dimtyped.flow.summaries.tree import Node

_UNITS = ("", "k", "M", "G", "T", "P")


def counted(number: int) -> str:
    """A number in three digits or four: `38.6 M`."""
    value, unit = float(number), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {_UNITS[unit]}".rstrip() if unit else str(number)


def row_of(level: int, times: int, node: Node, total: int) -> tuple[str, ...]:
    """The cells of one row.

    Args:
        level: How deep it is.
        times: How many of the module the model has.
        node: The module.
        total: The parameters of the model.
    """
    name = f"{'  ' * level}{node.name}: {node.kind}" if node.name else node.kind
    if node.times > 1:
        name += f" x {node.times}"
    share = _share(times * node.parameters, total)
    parameters = f"{node.parameters:,}" if node.parameters else ""
    if node.shared:
        parameters, share = (f"({parameters})", "shared") if node.shared == node.parameters else (parameters, share)
    shapes = f"{node.inputs} -> {node.outputs}" if node.calls else "" if node.is_container else "not called"
    if node.calls > 1:
        shapes += f", {node.calls} calls"
    return name, parameters, share, counted(node.multiply_adds) if node.multiply_adds else "", shapes


def _share(part: int, total: int) -> str:
    if not part or not total:
        return ""
    return f"{100 * part / total:.1f}%" if part / total >= 0.0005 else "<0.1%"
