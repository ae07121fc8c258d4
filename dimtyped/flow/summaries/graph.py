"""A summary as a graph: boxes for modules, circles for operators that join, arrows with named shapes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dimtyped.flow.summaries.links import INPUT, JOIN, OUTPUT, Link
from dimtyped.flow.summaries.tree import Node


@dataclass(frozen=True)
class Box:
    """A place in the graph.

    Args:
        key: Tells it from others.
        form: `module`, `join`, or `end` for an input or the output.
        title: Its name.
        subtitle: A module's class.
    """

    key: str
    form: str
    title: str
    subtitle: str = ""


@dataclass
class Group:
    """A module whose inside is shown.

    Args:
        key: Its path.
        title: Its name and class.
        boxes: The places in it.
        groups: The groups in it.
    """

    key: str
    title: str
    boxes: list[Box] = field(default_factory=list[Box])
    groups: list[Group] = field(default_factory=list["Group"])


@dataclass(frozen=True)
class Graph:
    """What is drawn.

    Args:
        root: The model.
        ends: The inputs and the output.
        arrows: Each with the text of its axes.
        sizes: The size of each name, in the order that they are met.
    """

    root: Group
    ends: Sequence[Box]
    arrows: Sequence[Link]
    sizes: Mapping[str, int]


def graph_of(root: Node, links: Iterable[Link], sizes: Mapping[str, int], depth: int | None) -> Graph:
    """The graph of a model.

    Args:
        root: Its tree; of modules that are alike only the first is drawn.
        links: Where tensors come from and go to.
        sizes: The sizes of names.
        depth: How deep it goes; None: all of it.
    """
    drawing = _Drawing(root, depth)
    arrows: dict[Link, None] = {}
    for link in links:
        source, target = drawing.key_of(link.source), drawing.key_of(link.target)
        if source != target and not drawing.is_next_block(link.source, link.target):
            arrows[Link(source, target, link.axes)] = None
    names = dict.fromkeys(name for link in arrows for text in link.axes for name in names_in(text))
    return Graph(drawing.group, drawing.ends, list(arrows), {name: sizes[name] for name in names if name in sizes})


def names_in(text: str) -> list[str]:
    """The names in the text of an axis."""
    return re.findall(r"[^\W\d]\w*", text)


class _Drawing:
    """The places that are drawn."""

    def __init__(self, root: Node, depth: int | None):
        self._folds: dict[str, tuple[str, int, int]] = {}  # the parent's path: the first of those alike, and the range
        self._groups: dict[str, Group] = {}
        self._boxes: dict[str, Box] = {}
        self.ends: list[Box] = []
        self.group = self._group(root, depth, 0)

    def _group(self, node: Node, depth: int | None, level: int, title: str = "") -> Group:
        group = Group(node.path, title or title_of(node))
        self._fill(group, node, depth, level, "")
        return group

    def _fill(self, group: Group, node: Node, depth: int | None, level: int, prefix: str) -> None:
        """Adds what is in a module to a group; a container, which is no group itself, gives its name to what is in it."""
        self._groups[node.path] = group
        for child in node.children:
            if child.times > 1:
                first, last = map(int, child.name.split("-"))
                self._folds[node.path] = (str(first), first, last)
            has_inside = not child.computes and any(each.calls or each.is_container for each in child.children)
            if not has_inside or (depth is not None and level + 1 >= depth):
                self._add_module(child, group, prefix)
            elif child.is_container:
                self._fill(group, child, depth, level + 1, f"{prefix}{child.name}.")
            else:
                group.groups.append(self._group(child, depth, level + 1, f"{prefix}{title_of(child)}"))

    def _add_module(self, node: Node, group: Group, prefix: str) -> None:
        if node.calls or node.is_container:
            times = f" x {node.times}" if node.times > 1 else ""
            self._boxes[node.path] = Box(node.path, "module", f"{prefix}{node.name}{times}", node.kind)
            group.boxes.append(self._boxes[node.path])

    def key_of(self, place: str) -> str:
        """The drawn place that stands for one: itself, the first of those alike, or the module around it."""
        if place.startswith((INPUT, OUTPUT)):
            self._add_end(place)
            return place
        path, _, join = place.partition(JOIN)
        folded = self._folded(path)
        shown = next((each for each in _upwards(folded) if each in self._boxes or each in self._groups), "")
        if shown in self._boxes:
            return shown
        if not join:
            return self._add(Box(folded, "module", folded.rpartition(".")[2] or self.group.title), shown)
        key = f"{folded}{JOIN}{join}"
        return self._add(Box(key, "join", _SIGNS.get(name := join.partition(":")[0], name)), shown)

    def is_next_block(self, source: str, target: str) -> bool:
        """True if a tensor goes from one of several modules that are alike to another of them."""
        one, other = self._folds_on(source), self._folds_on(target)
        return any(one.get(parent, index) != index for parent, index in other.items())

    def _folds_on(self, place: str) -> dict[str, str]:
        """Which of those that are alike a place is in, for each list of them on its path."""
        parts, found = place.partition(JOIN)[0].split("."), dict[str, str]()
        for count in range(len(parts)):
            parent = self._folded(".".join(parts[:count]))
            if self._is_alike(parent, parts[count]):
                found[parent] = parts[count]
        return found

    def _folded(self, path: str) -> str:
        """A path with the first of those that are alike in place of any other."""
        done: list[str] = []
        for part in path.split("."):
            parent = ".".join(done)
            done.append(self._folds[parent][0] if self._is_alike(parent, part) else part)
        return ".".join(done)

    def _is_alike(self, parent: str, name: str) -> bool:
        fold = self._folds.get(parent)
        return fold is not None and name.isdecimal() and fold[1] <= int(name) <= fold[2]

    def _add(self, box: Box, group: str) -> str:
        if box.key not in self._boxes:
            self._boxes[box.key] = box
            self._groups[group].boxes.append(box)
        return box.key

    def _add_end(self, place: str) -> None:
        if all(end.key != place for end in self.ends):
            title = place.removeprefix(INPUT).strip() or "input" if place.startswith(INPUT) else "output"
            self.ends.append(Box(place, "end", title))


_SIGNS = {
    "add": "+",
    "sub": "-",
    "mul": "x",
    "truediv": "/",
    "matmul": "@",
    "scaled_dot_product_attention": "attention",
}


def title_of(node: Node) -> str:
    """A module's name and class, and how many are alike."""
    name = f"{node.name}: {node.kind}" if node.name else node.kind
    return f"{name} x {node.times}" if node.times > 1 else name


def _upwards(path: str) -> list[str]:
    """A path, and those of the modules around it."""
    parts = path.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), -1, -1)]
