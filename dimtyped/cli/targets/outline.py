"""What the source of a file says of its classes and functions, without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LIBRARIES = ("jaxtyping", "dimtyped")
_PLAIN = ("self", "cls")
_BARE = {
    *("torch", "Tensor", "LongTensor", "FloatTensor", "BoolTensor", "typing", "Optional", "Union", "Any"),
    *("List", "list", "Tuple", "tuple", "Dict", "dict", "int", "float", "bool", "str", "None"),
}
"""Words of annotations that say nothing of a shape."""


@dataclass(frozen=True)
class Outline:
    """A file at a glance.

    Args:
        has_candidates: An annotated forward or function may be in it, so that importing it is worth it.
        unannotated: The classes whose forward has no annotations, each with its line.
        relative_level: The number of dots of its relative imports, at most.
    """

    has_candidates: bool
    unannotated: tuple[tuple[str, int], ...] = ()
    relative_level: int = 0


def outline_of(file: Path) -> Outline:
    """The outline of a file; of one that cannot be parsed, that it has candidates: importing it says what is wrong."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return Outline(has_candidates=True)
    forwards = list(_forwards(tree))
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    is_annotated = any(_is_annotated(method) for _, method in forwards)
    names_library = any(_names_library(node) for node in imports)
    return Outline(
        is_annotated or names_library,
        tuple((node.name, node.lineno) for node, method in forwards if not _is_annotated(method)),
        max([node.level for node in imports if isinstance(node, ast.ImportFrom)], default=0),
    )


def _forwards(tree: ast.Module) -> Iterator[tuple[ast.ClassDef, ast.FunctionDef]]:
    """The classes of a file that have a forward, each with it."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            methods = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "forward"]
            yield from ((node, method) for method in methods[:1])


def _is_annotated(method: ast.FunctionDef) -> bool:
    """True if a parameter has an annotation that could be a tensor's shape: not merely a name of torch's or a built-in."""
    arguments = [*method.args.posonlyargs, *method.args.args, *method.args.kwonlyargs]
    annotations = [argument.annotation for argument in arguments if argument.arg not in _PLAIN]
    return any(annotation is not None and not _is_bare(annotation) for annotation in annotations)


def _is_bare(annotation: ast.expr) -> bool:
    """True of `Tensor`, `torch.Tensor`, `int`, `Optional[Tensor]`, `torch.Tensor | None`."""
    names = {part for node in ast.walk(annotation) for part in _words(node)}
    return names <= _BARE


def _words(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from node.value.replace(".", " ").replace("|", " ").replace("[", " ").replace("]", " ").split()


def _names_library(node: ast.Import | ast.ImportFrom) -> bool:
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    return any(module.split(".")[0] in _LIBRARIES for module in modules)
