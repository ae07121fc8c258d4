"""The decorator: enforces a function's jaxtyping annotations, with the engine that the mode chooses."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, overload

from dimtyped.annotations import may_name_tensors, names_tensors, outer_names
from dimtyped.engine.call_names import names_assert
from dimtyped.engine.checked_function import MARK, CheckedFunction
from dimtyped.engine.construction import name_sizes, name_sizes_later
from dimtyped.engine.declaration import Declaration
from dimtyped.engine.jaxtyped import without_jaxtyped
from dimtyped.engine.unbound_axes import reject_unbound
from dimtyped.engine.wrapper import wrap
from dimtyped.errors import DeclarationError, with_fields
from dimtyped.names import Dim
from dimtyped.runtime import WithoutInternalFrames, mode

_F = TypeVar("_F")
_MEMBERS = (types.FunctionType, staticmethod, classmethod, property, functools.cached_property)


@overload
def typed(function: _F, /) -> _F: ...
@overload
def typed(*, dims: Iterable[Dim]) -> Callable[[_F], _F]: ...
def typed(function: Any = None, /, *, dims: Iterable[Dim] | None = None) -> Any:
    """Enforces the jaxtyping annotations of a function, a method, a dataclass or every method of a class.

    All annotations of one call, including its result's, must agree on the names. In a method of a module, a name
    that the module declares means that size. Coroutine functions and generators stay such: their arguments are checked
    when they start, each item or result when it is produced. With checks off, `typed(f) is f`.

    Args:
        function: The function to check; left out with `dims`.
        dims: Names whose size is fixed here. Default: none.

    Raises:
        DeclarationError: at decoration, for something that cannot be checked and for an axis that can have no size; at
            the first call, for an annotation that cannot be resolved.
        DimensionError: at a call, for an argument or a result that does not fit.

    Example:
        >>> import torch
        >>> from jaxtyping import Float
        >>> from torch import Tensor
        >>> @typed
        ... def outer(x: Float[Tensor, "rows"], y: Float[Tensor, "cols"]) -> Float[Tensor, "rows cols"]:
        ...     return x[:, None] * y
        >>> outer(torch.ones(2), torch.ones(3)).shape
        torch.Size([2, 3])
    """
    frame = sys._getframe(1)
    with WithoutInternalFrames():
        fixed = _fixed_sizes(dims)
        if function is None:
            return WithoutInternalFrames()(lambda target: _without_unbound(_decorate(target, fixed, frame)))
        return _without_unbound(_decorate(function, fixed, frame))


def _without_unbound(made: Any) -> Any:
    """The decorated object; an axis that can have no size is an error. Those of methods are known once the module is made."""
    members: list[Any] = list(vars(made).values()) if isinstance(made, type) else [made]
    for entry in (entry_of(function) for member in members for function in functions_in(member)):
        if entry is not None and not entry.declaration.is_method:
            reject_unbound(entry)
    return made


def entry_of(function: object) -> CheckedFunction | None:
    """The checked function of a wrapper, None for any other function."""
    return getattr(function, MARK, None)


def typed_member(member: Any, frame: types.FrameType) -> Any:
    """Types a member of a class whose methods are checked automatically.

    Returns:
        The member with its check; the member itself if none of its annotations is jaxtyping's.
    """
    if not isinstance(member, _MEMBERS) or not any(_may_name_tensors(part, frame) for part in functions_in(member)):
        return member
    return _decorate(member, {}, frame, only_if_tensors=True)


def typed_on_import(function: Any) -> Any:
    """Types a function for the import hook.

    Its user did not decorate it, so an annotation that cannot be resolved stands for anything, unless it is jaxtyping's.
    """
    return _decorate_function(function, {}, sys._getframe(1), on_import=True)


def typed_class_on_import(cls: type) -> type:
    """Types the constructor of a dataclass, and reads the `DimSize` parameters of a plain module's; methods have their checks."""
    if mode() == "off" or getattr(cls, "__no_type_check__", False):
        return cls
    frame = sys._getframe(1)
    init = vars(cls).get("__init__")
    if dataclasses.is_dataclass(cls) and isinstance(init, types.FunctionType):
        cls.__init__ = _decorate_function(init, {}, frame, is_method=False, on_import=True)
    if any(entry_of(member) is not None for member in vars(cls).values()):
        name_sizes(cls, frame)
    return cls


def functions_in(member: Any) -> tuple[Any, ...]:
    """The functions that a member of a class is made of: a property has up to three."""
    if isinstance(member, staticmethod | classmethod):
        return (member.__func__,)
    if isinstance(member, property):
        return tuple(part for part in (member.fget, member.fset, member.fdel) if part is not None)
    return (member.func,) if isinstance(member, functools.cached_property) else (member,)


def _may_name_tensors(function: Any, frame: types.FrameType) -> bool:
    """True unless every annotation is known and none is jaxtyping's."""
    if not isinstance(function, types.FunctionType):
        return False
    if _calls_assert(function):
        return True
    try:
        annotations = function.__annotations__
    except NameError:  # Python 3.14 evaluates them here, and they may use names that are defined later
        return True
    return may_name_tensors(function, outer_names(annotations, function, frame))


def _decorate(target: Any, fixed: Mapping[str, int], frame: types.FrameType, *, only_if_tensors: bool = False) -> Any:
    if mode() == "off" or getattr(target, "__no_type_check__", False):
        return target
    if isinstance(target, staticmethod | classmethod):
        inner = _decorate_function(target.__func__, fixed, frame, is_method=False, only_if_tensors=only_if_tensors)
        return target if inner is target.__func__ else type(target)(inner)
    if isinstance(target, property):
        parts = (target.fget, target.fset, target.fdel)
        made = tuple(part and _decorate_function(part, fixed, frame, only_if_tensors=only_if_tensors) for part in parts)
        return target if made == parts else property(*made, doc=target.__doc__)
    if isinstance(target, functools.cached_property):
        # a new one would not know its attribute's name
        target.func = _decorate_function(target.func, fixed, frame, only_if_tensors=only_if_tensors)
        return target
    if isinstance(target, type):
        return _decorate_class(target, fixed, frame)
    if isinstance(target, types.FunctionType) and not only_if_tensors:
        name_sizes_later(target, frame)
    return _decorate_function(target, fixed, frame, only_if_tensors=only_if_tensors)


def _decorate_function(
    function: Any,
    fixed: Mapping[str, int],
    frame: types.FrameType,
    *,
    is_method: bool | None = None,
    only_if_tensors: bool = False,
    on_import: bool = False,
) -> Any:
    if on_import and (mode() == "off" or not isinstance(function, types.FunctionType)):
        return function
    found = entry_of(function)
    if (found is not None and not fixed) or getattr(function, "__no_type_check__", False):
        return function
    if found is not None:  # typed already, but not with these dims
        function = found.declaration.function
    if not isinstance(function, types.FunctionType):
        raise _not_decorable(function)
    annotations, inner = _annotations(function), without_jaxtyped(function)
    if not annotations and not fixed and not _calls_assert(inner):
        return function
    function = inner
    return wrap(
        Declaration(
            function,
            names=outer_names(annotations, function, frame),
            fixed=fixed,
            is_method=_looks_like_method(function, in_class=only_if_tensors) if is_method is None else is_method,
            only_if_tensors=only_if_tensors,
            on_import=on_import,
            by_reference=mode() == "reference",
        )
    )


def _not_decorable(function: Any) -> DeclarationError:
    return with_fields(
        DeclarationError(
            f"typed() takes a function, a method or a class, not {function!r} of type {type(function).__name__}\n"
            "  Decorate the function itself, before anything wraps it."
        ),
        where="typed",
        argument="function",
        expected="a function, a method or a class",
        actual=type(function).__name__,
        hint="decorate the function itself, before anything wraps it",
    )


def _calls_assert(function: types.FunctionType) -> bool:
    return names_assert(function.__code__.co_names)


def _decorate_class(cls: type, fixed: Mapping[str, int], frame: types.FrameType) -> type:
    """A dataclass's `__init__`, and every method that the class itself defines."""
    for name, member in list(vars(cls).items()):
        if name == "__init__" and dataclasses.is_dataclass(cls):
            _type_dataclass(cls, member, fixed, frame)
        elif isinstance(member, _MEMBERS) and (not _is_special(name) or _is_of_tensors(member)):
            setattr(cls, name, _decorate(member, fixed, frame))
    name_sizes(cls, frame)
    return cls


def _is_special(name: str) -> bool:
    """True if Python itself calls the method, and often, as it does `__setattr__`."""
    return name.startswith("__") and name.endswith("__") and name not in ("__init__", "__call__")


def _is_of_tensors(member: Any) -> bool:
    function = getattr(member, "__func__", member)
    return isinstance(function, types.FunctionType) and names_tensors(function, {})


def _type_dataclass(cls: Any, init: Any, fixed: Mapping[str, int], frame: types.FrameType) -> None:
    cls.__init__ = _decorate_function(init, fixed, frame, is_method=False)


def _fixed_sizes(dims: Iterable[Dim] | None) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for dim in dims or ():
        if not isinstance(dim, Dim):
            raise with_fields(
                DeclarationError(f"typed(dims=...) takes Dims, not {dim!r}: make one with Dim('name', size)"),
                where="typed",
                argument="dims",
                expected="a Dim",
                actual=repr(dim),
                hint="make one with Dim('name', size)",
            )
        if sizes.setdefault(dim.name, int(dim)) != int(dim):
            hint = f"give one of them another name, as in Dim('{dim.name}_2', {int(dim)})"
            raise with_fields(
                DeclarationError(
                    f"typed(dims=...) gives `{dim.name}` two sizes: {sizes[dim.name]} and {int(dim)}\n"
                    f"  {hint[0].upper()}{hint[1:]}."
                ),
                where="typed",
                argument="dims",
                dim=dim.name,
                expected=sizes[dim.name],
                actual=int(dim),
                hint=hint,
            )
    return sizes


def _annotations(function: types.FunctionType) -> Mapping[str, Any]:
    try:
        return function.__annotations__
    except NameError:  # Python 3.14 evaluates them here, and they may use names that are defined later
        return {"later": Any}


def _looks_like_method(function: types.FunctionType, *, in_class: bool) -> bool:
    owner = function.__qualname__.rpartition(".")[0]
    if not in_class and (not owner or owner.endswith("<locals>")):
        return False
    inner: Any = inspect.unwrap(function)  # decorators such as torch.no_grad() show only *args
    return inner.__code__.co_argcount > 0
