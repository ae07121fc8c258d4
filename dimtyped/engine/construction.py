"""Construction: `DimSize` parameters arrive as Dims, and the module that is made declares them."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from dimtyped.annotations import display_name, outer_names
from dimtyped.engine.stored_sizes import settle_sizes
from dimtyped.errors import declaration_error
from dimtyped.names import BUILDING, MANAGED, Dim, Scope, declare_parameter, is_dim_size, resync, set_scope
from dimtyped.runtime import WithoutInternalFrames, internal_frame

Finish = Callable[[torch.nn.Module], None]
"""A function that runs once a module is made."""
_HOOK = "_dim_construction"
_NAMING = "_dim_naming"


def naming(
    init: Callable[..., None],
    frame: types.FrameType,
    checked: Callable[..., None],
    finish: Finish,
    after: Callable[[torch.nn.Module, list[str]], None] | None = None,
) -> Any:
    """Wraps `__init__`: its `DimSize` parameters arrive as Dims, and after it the module is ready to be called.

    Args:
        init: The constructor as its user wrote it.
        frame: The frame in which its class is made.
        checked: The function to call: the constructor, or its wrapper that checks the annotations.
        finish: Called once the module is made.
        after: Called once this constructor has ended, with its `DimSize` parameters. Default: nothing.
    """
    names = outer_names(_annotations(init), init, frame)
    parameters: list[str] | None = None
    signature = inspect.signature(init)
    where = display_name(init)

    @internal_frame
    @functools.wraps(checked)
    def constructor(self: Any, *args: Any, **kwargs: Any) -> None:
        nonlocal parameters
        with WithoutInternalFrames(), _building(self, finish):
            if parameters is None:
                parameters = dim_parameters(init, names)
            if parameters and (bound := _bound(signature, self, args, kwargs)) is not None:
                bound.arguments.update(_declared(self, where, {name: bound.arguments[name] for name in parameters}))
                args, kwargs = bound.args[1:], bound.kwargs
            checked(self, *args, **kwargs)
        if after is not None:
            after(self, parameters or [])

    return constructor


def naming_fields(post_init: Callable[..., None], finish: Finish) -> Callable[..., None]:
    """Wraps the `__post_init__` of a dataclass: the ints in its `DimSize` fields become Dims before it runs."""

    @internal_frame
    @functools.wraps(post_init)
    def constructor(self: Any, *args: Any) -> None:
        with WithoutInternalFrames(), _building(self, finish):
            hints = typing.get_type_hints(type(self), include_extras=True)
            fields = [name for name, hint in hints.items() if is_dim_size(hint) and name in self.__dict__]
            self.__dict__.update(_declared(self, type(self).__name__, {name: self.__dict__[name] for name in fields}))
            post_init(self, *args)

    return constructor


@contextmanager
def _building(module: Any, finish: Finish) -> Generator[None]:
    """Marks a module as being made; the outermost constructor finishes it."""
    outermost = not module.__dict__.get(BUILDING, False)
    if outermost:
        module.__dict__[BUILDING] = True
        set_scope(module, Scope())
    try:
        yield
    finally:
        if outermost:
            module.__dict__.pop(BUILDING, None)
    if outermost:
        finish(module)


def dim_parameters(init: Any, names: Mapping[str, Any]) -> list[str]:
    """The parameters of a constructor that are annotated with `DimSize`."""
    return [
        name
        for name, hint in _annotations(init).items()
        if name != "return" and is_dim_size(_dim_hint(hint, init, names))
    ]


def _dim_hint(hint: Any, init: Any, names: Mapping[str, Any]) -> Any:
    """One annotation of a constructor, resolved. Others may use names that only a type checker imports.

    Raises:
        DeclarationError: it contains `DimSize` and cannot be resolved.
    """
    if not isinstance(hint, str):
        return hint
    holder = types.SimpleNamespace(__annotations__={"hint": hint})
    try:
        return typing.get_type_hints(holder, inspect.unwrap(init).__globals__, dict(names), include_extras=True)["hint"]
    except Exception as error:  # noqa: BLE001  # a user's string may raise anything, and the text says what
        if "DimSize" not in hint:
            return Any
        raise declaration_error(
            display_name(init),
            f"the annotation {hint} cannot be resolved: {type(error).__name__}: {error}",
            "import or define every name that it uses",
            actual=hint,
        ) from None


def _bound(signature: inspect.Signature, module: Any, args: Any, kwargs: Any) -> inspect.BoundArguments | None:
    """The arguments by name, defaults included; None if they do not fit: the call then raises Python's own error."""
    try:
        bound = signature.bind(module, *args, **kwargs)
    except TypeError:
        return None
    bound.apply_defaults()
    return bound


def _declared(module: torch.nn.Module, where: str, values: dict[str, Any]) -> dict[str, Dim]:
    """The values of `DimSize` parameters as Dims that the module declares."""
    given = {name: value for name, value in values.items() if value is not None}
    dims = {name: value if isinstance(value, Dim) else Dim(name, value) for name, value in given.items()}
    sizes = {(dim_name, int(dim)) for name, dim in dims.items() for dim_name in (name, dim.name)}
    clashing = {name for name, size in sizes if any(other == name and value != size for other, value in sizes)}
    named: dict[str, Dim] = {}
    for name, dim in dims.items():
        # a parameter's own name takes precedence over a name from outside: an MLP's `embed` may be its caller's `hidden`,
        # and its `hidden` the caller's `4*hidden`
        named[name] = Dim(name, int(dim)) if dim.name in clashing or not dim.name.isidentifier() else dim
        declare_parameter(module, name, where, named[name])
    return named


# Modules by others ----------------------------------------------------------------------------------------------------


def name_sizes(cls: Any, frame: types.FrameType) -> None:
    """Lets the constructor of a plain torch module with checked methods declare its `DimSize` parameters."""
    init = vars(cls).get("__init__")
    is_plain = isinstance(cls, type) and issubclass(cls, torch.nn.Module) and not hasattr(cls, MANAGED)
    if is_plain and not hasattr(init, _NAMING) and has_sizes(init):
        made = naming(init, frame, init, _finish)
        setattr(made, _NAMING, True)
        cls.__init__ = made


def name_sizes_later(function: types.FunctionType, frame: types.FrameType) -> None:
    """Calls `name_sizes` once the class is made, for a `forward` that is decorated in the class's body."""
    if function.__name__ != "forward":
        return
    body = frame.f_locals
    if body.get("__qualname__") == function.__qualname__.rpartition(".")[0]:
        body[_HOOK] = _Later(frame)


class _Later:
    """A placeholder in a class's body until the class is made."""

    def __init__(self, frame: types.FrameType) -> None:
        self._frame = frame

    def __set_name__(self, owner: type, name: str) -> None:
        delattr(owner, name)
        name_sizes(owner, self._frame)


def _finish(module: torch.nn.Module) -> None:
    resync(module)
    settle_sizes(module)
    resync(module)


def has_sizes(init: Any) -> bool:
    """True for a constructor that has `DimSize` parameters, or strings that may contain it."""
    if not isinstance(init, types.FunctionType):
        return False
    hints = _annotations(init).values()
    return any(is_dim_size(hint) or (isinstance(hint, str) and "Size" in hint) for hint in hints)


def _annotations(function: Any) -> Mapping[str, Any]:
    try:
        return function.__annotations__
    except NameError:  # Python 3.14 evaluates them here, and they may use names that are defined later
        return {}
