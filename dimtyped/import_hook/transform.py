"""The transformation of a module's syntax tree: decorators for what it defines, checks for its annotated assignments.

A transformed module imports the names of `decorators`. Every node that is added has the place of one that the user wrote, so
that a traceback shows his line and columns.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from dimtyped.annotations import FunctionNode, assignments_in, names_array, nodes_of, written_out
from dimtyped.engine import ASSERT_NAME, IS_INSTANCE_NAME
from dimtyped.runtime import PREFIX

_HOME = "dimtyped.import_hook.decorators"
_TYPED, _CLASS, _DECORATOR = f"{PREFIX}typed_function", f"{PREFIX}typed_class", f"{PREFIX}decorator"
_LAZY, _LOCAL = f"{PREFIX}lazy_annotation", f"{PREFIX}LocalAnnotation"
_IMPORTED = (ASSERT_NAME, IS_INSTANCE_NAME, _TYPED, _CLASS, _DECORATOR, _LAZY, _LOCAL)
_LEFT_OUT = ("no_type_check", "overload")
_OFTEN_CALLED = ("__getattr__", "__getattribute__", "__setattr__", "__delattr__", "__del__")
"""Methods that Python calls by itself at any time: checked only where a tensor is annotated."""
_BUILTIN = "bool bytes complex dict float frozenset int list object set slice str tuple type range None"
_TYPING = "Any Callable Dict Iterable Iterator List Literal Mapping Optional Sequence Set Tuple Type Union Generator"
_NO_ALIASES = frozenset(f"{_BUILTIN} {_TYPING} Tensor Module Parameter Path".split())
_NO_ALIASES_IN = frozenset({"torch", "np", "numpy", "nn", "typing", "collections", "pathlib", "jaxtyping"})
_N = TypeVar("_N", bound=ast.AST)


def transform(tree: ast.Module) -> ast.Module:
    """Adds the checks to a module, in place; returns it."""
    transformer = _Transformer(tree)
    transformer.visit(tree)
    if transformer.is_changed:
        place = _after_head(tree.body)
        tree.body[place:place] = [_import_at(tree.body[place]), *transformer.annotations.values()]
    return ast.fix_missing_locations(tree)


class _Transformer(ast.NodeTransformer):
    """Visits the definitions of a module from the outside in.

    Attributes:
        annotations: The statements that define the annotations of assignments, by the name of each.
        is_changed: True if the module needs the names of `decorators`.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.annotations: dict[str, ast.stmt] = {}
        self.is_changed = False
        self._may_be_aliases = frozenset(_imported_and_assigned(tree))
        self._locals: list[frozenset[str]] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Decorates a class, and what is defined in it."""
        if _has_decorator(node, ("no_type_check",)):
            return node
        self.generic_visit(node)
        node.decorator_list.insert(0, self._name(_CLASS, node))
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Decorates a function, and what is defined in it; checks its annotated assignments."""
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """Does the same for an async function."""
        return self._function(node)

    def _function(self, node: FunctionNode) -> ast.AST:
        if _has_decorator(node, _LEFT_OUT):
            return node
        self._locals.append(frozenset(_bound_in(node)))
        shares = [self._check_assignment(each) for each in assignments_in(node)]
        shares += [self._check_isinstance(each) for each in nodes_of(node) if isinstance(each, ast.Call)]
        self.generic_visit(node)
        self._locals.pop()
        annotations = list(_annotations_of(node))
        is_left = node.name in _OFTEN_CALLED and not any(map(names_array, annotations))
        if (annotations and not is_left) or any(shares):
            self._decorate(node)
        return node

    def _decorate(self, node: FunctionNode) -> None:
        node.decorator_list = [
            each
            if isinstance(each, ast.Name) and each.id in ("staticmethod", "classmethod", "property")
            else self._guarded(each)
            for each in node.decorator_list
        ]
        node.decorator_list.append(self._name(_TYPED, node))

    def _guarded(self, decorator: ast.expr) -> ast.expr:
        return _at(decorator, ast.Call(self._name(_DECORATOR, decorator), [decorator], []))

    # Bodies -----------------------------------------------------------------------------------------------------------

    def _check_assignment(self, node: ast.AnnAssign) -> bool:
        """Puts the assigned value into a call of `assert_dims`, if its annotation is jaxtyping's or may be."""
        annotation, value = written_out(node.annotation), node.value
        is_array = names_array(annotation)
        is_local = self._is_local(annotation)
        if value is None or not (is_array or (not is_local and self._may_be_alias(annotation))):
            return False
        target = ast.unparse(node.target)
        if is_local:
            words = [copy.deepcopy(annotation), _at(annotation, ast.Constant(target))]
            given: ast.expr = _at(annotation, ast.Call(self._name(_LOCAL, annotation), words, []))
        else:
            given = self._global_annotation(annotation, target, is_array=is_array)
        node.value = _at(value, ast.Call(self._name(ASSERT_NAME, value), [value, given], []))
        return True

    def _check_isinstance(self, node: ast.Call) -> bool:
        """`isinstance(x, Float[Tensor, "batch"])` shares the names of the call, as in a function that jaxtyping checks."""
        if not (isinstance(node.func, ast.Name) and node.func.id == "isinstance" and len(node.args) == 2):
            return False
        annotation = node.args[1]
        if not isinstance(annotation, ast.Subscript) or not names_array(annotation):
            return False
        if not self._is_local(annotation):
            node.args[1] = self._global_annotation(annotation, "", is_array=True)
        node.func = self._name(IS_INSTANCE_NAME, node.func)
        return True

    def _global_annotation(self, annotation: ast.expr, target: str, *, is_array: bool) -> ast.expr:
        """The name of an annotation that the module defines once, to be evaluated when it is first needed."""
        text = f"{target}: {ast.unparse(annotation)}"
        name = f"{PREFIX}annotation_{hashlib.blake2s(text.encode(), digest_size=8).hexdigest()}"
        nothing = ast.arguments([], [], None, [], [], None, [])
        resolve = _at(annotation, ast.Lambda(nothing, copy.deepcopy(annotation)))
        words: list[ast.expr] = [resolve, _at(annotation, ast.Constant(target))]
        flag = ast.keyword("is_array", _at(annotation, ast.Constant(is_array)))
        lazy = _at(annotation, ast.Call(self._name(_LAZY, annotation), words, [_at(annotation, flag)]))
        stored = _at(annotation, ast.Name(name, ast.Store()))
        self.annotations.setdefault(name, _at(annotation, ast.Assign([stored], lazy)))
        return self._name(name, annotation)

    def _is_local(self, annotation: ast.expr) -> bool:
        """True if an annotation uses a variable of a function, or a class's private name, which is another one outside."""
        names = _names_in(annotation)
        is_private = any(name.startswith("__") and not name.endswith("__") for name in names)
        return is_private or any(names & variables for variables in self._locals)

    def _may_be_alias(self, annotation: ast.expr) -> bool:
        """True if an annotation may be a name for a jaxtyping annotation, from this module or another."""
        return bool((_names_in(annotation) - _NO_ALIASES - _NO_ALIASES_IN) & self._may_be_aliases)

    def _name(self, name: str, place: ast.AST) -> ast.expr:
        self.is_changed = True
        return _at(place, ast.Name(name, ast.Load()))


def _at(place: ast.AST, node: _N) -> _N:
    return ast.copy_location(node, place)


def _annotations_of(node: FunctionNode) -> Iterator[ast.expr]:
    given = node.args
    every = (*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg)
    yield from (argument.annotation for argument in every if argument is not None and argument.annotation is not None)
    if node.returns is not None:
        yield node.returns


def _has_decorator(node: FunctionNode | ast.ClassDef, names: Sequence[str]) -> bool:
    return any(_last_name(each) in names for each in node.decorator_list)


def _last_name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=function):
            return _last_name(function)
        case _:
            return ""


def _names_in(node: ast.AST) -> frozenset[str]:
    return frozenset(each.id for each in ast.walk(node) if isinstance(each, ast.Name))


def _bound_in(function: FunctionNode) -> Iterator[str]:
    """The names of a function's variables."""
    for argument in ast.walk(function.args):
        if isinstance(argument, ast.arg):
            yield argument.arg
    for parameter in getattr(function, "type_params", ()):
        yield parameter.name
    for node in nodes_of(function):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.ExceptHandler(name=str(name)):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.alias(name=name, asname=asname):
                yield asname or name.partition(".")[0]
            case _:
                continue


def _imported_and_assigned(tree: ast.Module) -> Iterator[str]:
    """The names that a module imports from others that may define annotations, and those that it assigns to."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=module, names=names):
                if (module or "").partition(".")[0] not in _NO_ALIASES_IN:
                    yield from (each.asname or each.name for each in names)
            case ast.Import(names=names):
                yield from (each.asname or each.name.partition(".")[0] for each in names)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case _ if type(node).__name__ == "TypeAlias":  # from Python 3.12 on
                alias: Any = node
                yield alias.name.id
            case _:
                continue


def _after_head(body: Sequence[ast.stmt]) -> int:
    """The place after the docstring and the imports from `__future__`."""
    place = 0
    for node in body:
        is_text = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
        if not (is_text and place == 0) and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            break
        place += 1
    return place


def _import_at(place: ast.AST) -> ast.stmt:
    names = [ast.alias(name.removeprefix(PREFIX), name) for name in _IMPORTED]
    return _at(place, ast.ImportFrom(_HOME, [_at(place, name) for name in names], 0))
