"""`Module`: torch's, as a scope of names whose annotated `forward` is enforced without a decorator."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from collections.abc import Callable
from typing import Any

import torch

from dimtyped import _config
from dimtyped._dims import Dim, is_dim_size
from dimtyped._entry import Entry
from dimtyped._errors import DeclarationError
from dimtyped._scope import ATTRIBUTE, ParentLink, Scope, claims_of, declare_parameter, held_scope, preview, settle
from dimtyped._signature import outer_names
from dimtyped._typed import entry_of, typed_method

_PARENT = "_dim_parent"
_BUILDING = "_dim_building"
_ENTRIES = "_dim_entries"


class Module(torch.nn.Module):
    """A `torch.nn.Module` that enforces its annotated `forward` and is a scope of names.

    It declares its `DimSize` parameters, every Dim stored on it and every named Dim of the typed layers that
    are its direct children (`Sequential`, `ModuleList` and `ModuleDict` are transparent). In the annotations of its
    methods a declared name means that size; every other name is bound per call. Once `__init__` is done, a stored
    Dim is a plain int again, since TorchDynamo compares subclasses of int wrongly; its name stays declared.

    Raises:
        DeclarationError: at the assignment that gives a name a second size.
        DimensionError: at a call that does not fit `forward`'s annotations.

    Example:
        >>> import torch
        >>> from dimtyped import DimSize, nn
        >>> from jaxtyping import Float
        >>> from torch import Tensor
        >>> class Head(nn.Module):
        ...     def __init__(self, hidden: DimSize, vocab: DimSize):
        ...         super().__init__()
        ...         self.out = nn.Linear(hidden, vocab)
        ...     def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch vocab"]:
        ...         return self.out(x)
        >>> Head(8, 100)(torch.ones(2, 8)).shape
        torch.Size([2, 100])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.__dict__.setdefault(ATTRIBUTE, Scope())
        if type(self).__init__ is Module.__init__:
            _finish(self)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        frame = sys._getframe(1)
        if "forward" in vars(cls):
            cls.forward = typed_method(vars(cls)["forward"], frame)
        if "__init__" in vars(cls):
            cls.__init__ = _naming(vars(cls)["__init__"], frame)

    def __setattr__(self, name: str, value: Any) -> None:
        if torch.compiler.is_compiling() or not _matters(self, name, value):
            super().__setattr__(name, value)
            return
        claims = preview(self, name, value)
        building = self.__dict__.get(_BUILDING, False)
        super().__setattr__(name, int(value) if isinstance(value, Dim) and not building else value)
        _adopt(self, name, value, claims)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        _adopt(self, name, None, preview(self, name, None))

    def add_module(self, name: str, module: torch.nn.Module | None) -> None:
        """Adds a child, as an assignment does; see `torch.nn.Module.add_module`."""
        claims = preview(self, name, module)
        super().add_module(name, module)
        _adopt(self, name, module, claims)


def _matters(module: Module, name: str, value: Any) -> bool:
    """Whether this assignment may change what names mean."""
    if isinstance(value, Dim | torch.nn.Module):
        return True
    held = module.__dict__.get("_modules") or {}
    return name in held or any(claim.owner == name for claim in held_scope(module).claims)


def _adopt(module: Module, key: str, value: Any, claims: Any) -> None:
    """Keeps the claims of a change that has been made, and the way up from a container."""
    if claims is not None or isinstance(value, torch.nn.Module) or value is None:
        settle(module, held_scope(module).claims if claims is None else claims)
    link(module, key, value)


def link(parent: torch.nn.Module, key: str, value: Any) -> None:
    """Tells a container which scope holds it, so that what it gets later is declared there."""
    if isinstance(value, torch.nn.Sequential | torch.nn.ModuleList | torch.nn.ModuleDict):
        value.__dict__[_PARENT] = ParentLink(parent, key)
        for child_key, child in value._modules.items():
            link(parent, f"{key}.{child_key}", child)


def parent_of(container: torch.nn.Module) -> tuple[torch.nn.Module | None, str]:
    """The scope that holds a container, and the container's path there."""
    found: ParentLink | None = container.__dict__.get(_PARENT)
    return (found.parent(), found.key) if found is not None else (None, "")


def check_container(container: torch.nn.Module) -> None:
    """Declares what a container holds now in the scope that holds it.

    Raises:
        DeclarationError: a name would get a second size there.
    """
    parent, key = parent_of(container)
    if parent is None:
        list(claims_of("", container))
        return
    claims = preview(parent, key, container)
    _adopt(typing.cast("Module", parent), key, container, claims)


# Construction ---------------------------------------------------------------------------------------------------------


def _naming(init: Callable[..., None], frame: Any) -> Callable[..., None]:
    """`__init__` whose `DimSize` parameters arrive as Dims, and after which the module is ready to be called."""
    names = outer_names(getattr(init, "__annotations__", {}), init, frame)
    parameters: list[str] | None = None
    signature = inspect.signature(init)

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        nonlocal parameters
        if parameters is None:
            parameters = _dim_parameters(init, names)
        outermost = not self.__dict__.get(_BUILDING, False)
        self.__dict__[_BUILDING] = True
        try:
            if parameters:
                args, kwargs = _with_dims(self, signature, parameters, args, kwargs)
            init(self, *args, **kwargs)
        finally:
            if outermost:
                del self.__dict__[_BUILDING]
        if outermost:
            _finish(self)

    return __init__


def _dim_parameters(init: Callable[..., None], names: dict[str, Any]) -> list[str]:
    annotations = getattr(init, "__annotations__", {})
    if not any(is_dim_size(hint) or (isinstance(hint, str) and "DimSize" in hint) for hint in annotations.values()):
        return []
    try:
        hints = typing.get_type_hints(init, localns=names or None, include_extras=True)
    except Exception as error:
        raise DeclarationError(
            f"{init.__qualname__}: an annotation cannot be resolved: {type(error).__name__}: {error}\n"
            "  Import or define every name that it uses."
        ) from error
    return [name for name, hint in hints.items() if is_dim_size(hint) and name != "return"]


def _with_dims(
    module: torch.nn.Module,
    signature: inspect.Signature,
    parameters: list[str],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments, each `DimSize` one as a Dim that the module declares."""
    bound = signature.bind(module, *args, **kwargs)
    bound.apply_defaults()
    given = {name: bound.arguments[name] for name in parameters if bound.arguments[name] is not None}
    dims = {name: value if isinstance(value, Dim) else Dim(name, value) for name, value in given.items()}
    sizes = {(dim_name, int(dim)) for name, dim in dims.items() for dim_name in (name, dim.name)}
    clashing = {name for name, size in sizes if any(other == name and value != size for other, value in sizes)}
    for name, dim in dims.items():
        # a name from outside gives way to a parameter's own: an MLP's `embed` may be its caller's `hidden`, and its
        # `hidden` the caller's `4*hidden`
        named = Dim(name, int(dim)) if dim.name in clashing or not dim.name.isidentifier() else dim
        declare_parameter(module, name, named)
        bound.arguments[name] = named
    return bound.args[1:], bound.kwargs


def _finish(module: torch.nn.Module) -> None:
    """After construction: stored Dims become plain ints, and the checks are compiled, so that no trace has to."""
    for name, value in list(module.__dict__.items()):
        if isinstance(value, Dim):
            module.__dict__[name] = int(value)
    settle(module, held_scope(module).claims)
    if _config.mode() != "off":
        for entry in _entries(type(module)):
            _prepare(entry, module)


def _entries(cls: Any) -> tuple[Entry, ...]:
    """The checked methods of a class, looked for once."""
    if _ENTRIES not in vars(cls):
        members = (getattr(member, "__func__", member) for base in cls.__mro__ for member in vars(base).values())
        setattr(cls, _ENTRIES, tuple(entry for entry in map(entry_of, members) if entry is not None))
    return vars(cls)[_ENTRIES]


def _prepare(entry: Entry, module: torch.nn.Module) -> None:
    try:
        entry.prepare(module, replace=True)
        entry.prepare_for(module)
    except DeclarationError:
        return  # it may name what is defined later: the first call says so if it still cannot be resolved
