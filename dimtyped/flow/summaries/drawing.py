"""A graph as text for graphviz and for Mermaid, with a colour for each name."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping

from dimtyped.flow.summaries.graph import Box, Graph, Group, names_in
from dimtyped.flow.summaries.links import Link

_COLOURS = (
    "#1f6fb4",
    "#c1440e",
    "#1c7c3c",
    "#7b3fa0",
    "#8a6d00",
    "#b3196b",
    "#00788a",
    "#6b4a2b",
    "#3d4fc4",
    "#5c7a00",
)
_FORMS = {
    "module": 'shape=box, style="rounded,filled", fillcolor="#f6f8fa"',
    "join": "shape=oval, width=0.3, height=0.3, margin=0.04",
    "end": 'shape=box, style="filled", fillcolor="#e8eef6"',
}
_SHAPES: dict[str, tuple[str, str]] = {"module": ("[", "]"), "join": ("((", "))"), "end": ("([", "])")}


def dot_of(graph: Graph) -> str:
    """The graph in graphviz's language."""
    colours = _colours_of(graph)
    lines = [
        "digraph {",
        '  graph [fontname="Helvetica", fontsize=11]; node [fontname="Helvetica", fontsize=11]',
        '  edge [fontname="Helvetica", fontsize=10, color="#57606a", arrowsize=0.7]',
        *_dot_group(graph.root, "  "),
        *(f"  {_dot_box(box)}" for box in graph.ends),
        *(f"  {_dot_arrow(arrow, colours)}" for arrow in graph.arrows),
    ]
    if graph.sizes:
        known = ", ".join(f"{_font(name, colours)} = {size}" for name, size in graph.sizes.items())
        lines.append(f"  labelloc=b; label=<{known}>")
    return "\n".join([*lines, "}", ""])


def _dot_group(group: Group, indent: str) -> Iterator[str]:
    yield f'{indent}subgraph "cluster_{group.key}" {{'
    yield f'{indent}  label="{group.title}"; labelloc=t; color="#b0b8c0"; style=rounded'
    for box in group.boxes:
        yield f"{indent}  {_dot_box(box)}"
    for inner in group.groups:
        yield from _dot_group(inner, f"{indent}  ")
    yield f"{indent}}}"


def _dot_box(box: Box) -> str:
    below = f'<br/><font point-size="9" color="#57606a">{html.escape(box.subtitle)}</font>' if box.subtitle else ""
    return f'"{box.key}" [{_FORMS[box.form]}, label=<{html.escape(box.title)}{below}>]'


def _dot_arrow(arrow: Link, colours: Mapping[str, str]) -> str:
    return f'"{arrow.source}" -> "{arrow.target}" [label=< {_shape(arrow, colours, _font)} >]'


def _font(name: str, colours: Mapping[str, str]) -> str:
    return f'<font color="{colours[name]}">{name}</font>'


def mermaid_of(graph: Graph) -> str:
    """The graph in Mermaid's language, which GitHub and many editors show."""
    colours = _colours_of(graph)
    boxes = [*graph.ends, *_boxes_in(graph.root)]
    keys = {box.key: f"n{number}" for number, box in enumerate(boxes)}
    lines = ["flowchart TD", *_mermaid_group(graph.root, keys, "  ")]
    lines += [f"  {_mermaid_box(box, keys)}" for box in graph.ends]
    for arrow in graph.arrows:
        lines.append(f'  {keys[arrow.source]} -->|"{_shape(arrow, colours, _span)}"| {keys[arrow.target]}')
    if graph.sizes:
        known = ", ".join(f"{_span(name, colours)} = {size}" for name, size in graph.sizes.items())
        lines += [f'  sizes["{known}"]', "  style sizes fill:none,stroke:none"]
    return "\n".join([*lines, ""])


def _mermaid_group(group: Group, keys: Mapping[str, str], indent: str) -> Iterator[str]:
    yield f'{indent}subgraph g{re.sub(r"[^a-zA-Z0-9]", "_", group.key)}["{group.title}"]'
    for box in group.boxes:
        yield f"{indent}  {_mermaid_box(box, keys)}"
    for inner in group.groups:
        yield from _mermaid_group(inner, keys, f"{indent}  ")
    yield f"{indent}end"


def _mermaid_box(box: Box, keys: Mapping[str, str]) -> str:
    begin, end = _SHAPES[box.form]
    below = f"<br/><small>{box.subtitle}</small>" if box.subtitle else ""
    return f'{keys[box.key]}{begin}"{html.escape(box.title)}{below}"{end}'


def _span(name: str, colours: Mapping[str, str]) -> str:
    return f"<span style='color:{colours[name]}'>{name}</span>"


# Both -----------------------------------------------------------------------------------------------------------------


def _shape(arrow: Link, colours: Mapping[str, str], paint: Callable[[str, Mapping[str, str]], str]) -> str:
    """The text of an arrow's axes, each name in its colour."""

    def painted(found: re.Match[str]) -> str:
        return paint(found[0], colours)

    return ", ".join(re.sub(r"[^\W\d]\w*", painted, text) for text in arrow.axes)


def _colours_of(graph: Graph) -> dict[str, str]:
    names = dict.fromkeys(name for arrow in graph.arrows for text in arrow.axes for name in names_in(text))
    return {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(names)}


def _boxes_in(group: Group) -> Iterator[Box]:
    yield from group.boxes
    for inner in group.groups:
        yield from _boxes_in(inner)
