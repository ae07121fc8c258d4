"""The modules of a model as a tree, with repeated blocks folded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from dimtyped.flow.axes import Axes, Axis


@dataclass
class Record:
    """The calls of one module.

    Args:
        inputs: The axes of each tensor that the first call took.
        outputs: The axes of each tensor that it returned.
        calls: The number of calls.
        multiply_adds: Those of all calls, including the modules inside.
        output_bytes: The memory of the outputs of all calls.
    """

    inputs: list[Axes] = field(default_factory=list[Axes])
    outputs: list[Axes] = field(default_factory=list[Axes])
    calls: int = 0
    multiply_adds: int = 0
    output_bytes: int = 0


@dataclass(frozen=True)
class Node:
    """A module, or several that are alike.

    Args:
        name: Its name in its parent: `layers`, `0`, of several `0-11`.
        path: Its path in the model, of several that of the first.
        kind: Its class.
        inputs: Its inputs: `(batch=5, seq=7)`; empty if it was not called.
        outputs: Its outputs, in names whose sizes `inputs` or an earlier output has shown.
        parameters: The number of its parameters, including those of the modules inside.
        trainable: The number of those that are trained.
        shared: The number of those that a module above it in the table shares.
        multiply_adds: Those of all its calls, including the modules inside.
        calls: The number of calls.
        computes: It computes with parameters of its own besides those of the modules inside, as TiedDecoder does.
        is_container: It only holds others, as ModuleList does, and is never called.
        times: The number of modules that are alike.
        children: The modules inside.
    """

    name: str
    path: str
    kind: str
    inputs: str
    outputs: str
    parameters: int
    trainable: int
    shared: int
    multiply_adds: int
    calls: int
    computes: bool = False
    is_container: bool = False
    times: int = 1
    children: tuple[Node, ...] = field(default_factory=tuple)

    def walk(self, depth: int | None = None, level: int = 0, times: int = 1) -> Iterator[tuple[int, int, Node]]:
        """It and the modules inside, in order: the level of each, how many of it the model has, and the node."""
        times *= self.times
        yield level, times, self
        if depth is None or level < depth:
            for child in self.children:
                yield from child.walk(depth, level + 1, times)

    def to_dict(self) -> dict[str, Any]:
        """It as data that `json.dumps` takes."""
        own = {name: value for name, value in vars(self).items() if name != "children"}
        return {**own, "children": [child.to_dict() for child in self.children]}

    def __eq__(self, other: object) -> bool:
        """True if the two are alike, whatever their names."""
        return isinstance(other, Node) and self._likeness == other._likeness

    def __hash__(self) -> int:
        return hash(self._likeness)

    @property
    def _likeness(self) -> tuple[object, ...]:
        counts = (self.parameters, self.trainable, self.shared, self.multiply_adds, self.calls, self.times)
        inner = tuple((child.name, child) for child in self.children)
        return (self.kind, self.inputs, self.outputs, *counts, *inner)


def tree_of(model: nn.Module, records: Mapping[str, Record]) -> Node:
    """The tree of a model.

    Args:
        model: The model.
        records: The record of each of its modules, by path.
    """
    return _node(model, "", "", records, set())


def _node(module: nn.Module, name: str, path: str, records: Mapping[str, Record], seen: set[int]) -> Node:
    record = records.get(path, Record())
    own = list(module.parameters())
    shared = sum(parameter.numel() for parameter in own if id(parameter) in seen)
    children: list[Node] = []
    for child_name, child in module.named_children():
        children.append(_node(child, child_name, f"{path}.{child_name}".lstrip("."), records, seen))
    seen.update(map(id, own))
    is_container = not record.calls and type(module).forward is nn.Module.forward
    inner = sum(child.multiply_adds for child in children)
    return Node(
        name,
        path,
        type(module).__name__,
        *_texts(record),
        sum(parameter.numel() for parameter in own),
        sum(parameter.numel() for parameter in own if parameter.requires_grad),
        shared,
        inner if is_container else record.multiply_adds,
        record.calls,
        computes(module),
        is_container,
        children=tuple(_folded(children)),
    )


def computes(module: nn.Module) -> bool:
    """True of a layer of `dimtyped.nn` that has parameters of its own, beside those of the modules inside."""
    return type(module).__module__.startswith("dimtyped.nn.layers") and bool(module._parameters)


def _folded(nodes: Iterable[Node]) -> Iterator[Node]:
    """Neighbours that are alike as one; names that are numbers become a range."""
    group: list[Node] = []
    for node in nodes:
        if group and not (node == group[0] and node.name.isdecimal() and group[0].name.isdecimal()):
            yield _one_of(group)
            group = []
        group.append(node)
    if group:
        yield _one_of(group)


def _one_of(group: list[Node]) -> Node:
    if len(group) == 1:
        return group[0]
    return replace(group[0], name=f"{group[0].name}-{group[-1].name}", times=len(group))


# Texts ----------------------------------------------------------------------------------------------------------------


def _texts(record: Record) -> tuple[str, str]:
    """The inputs and outputs; a name has its size where it is first met."""
    known: dict[str, int] = {}
    return tuple(", ".join(_text(axes, known) for axes in part) for part in (record.inputs, record.outputs))  # pyright: ignore[reportReturnType] - two parts give two texts


def _text(axes: Axes, known: dict[str, int]) -> str:
    return f"({', '.join(_axis_text(axis, known) for axis in axes)})"


def _axis_text(axis: Axis, known: dict[str, int]) -> str:
    if not axis.has_name:
        return str(axis.size)
    name = str(axis)
    if known.get(name) == axis.size:
        return name
    known[name] = axis.size
    return f"{name}={axis.size}"
