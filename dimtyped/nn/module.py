"""`Module`: torch's, as a scope of names whose annotated methods are enforced without a decorator."""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Mapping
from typing import Any

import torch

from dimtyped.engine import (
    CheckedFunction,
    has_sizes,
    ignore_tracer_warnings,
    make_scopes,
    naming,
    naming_fields,
    note_unused,
    prepare,
    settle_added,
    settle_sizes,
    typed_member,
    unbound_axis_of,
    unmentioned,
)
from dimtyped.errors import DeclarationError
from dimtyped.names import (
    ATTRIBUTE,
    BUILDING,
    MANAGED,
    SWITCHES,
    Claims,
    Dim,
    ParentLink,
    Scope,
    claims_of,
    held_scope,
    preview,
    read_from,
    remember_deleted,
    set_scope,
    settle,
    settle_with_child,
    switch_scope,
    switches_of,
    tell_holders,
)
from dimtyped.nn.left_out_keys import warn_of_left_out_keys
from dimtyped.nn.methods import checked_functions, enforce, is_complete, methods_with_expressions
from dimtyped.nn.replaced_layers import (
    inherit_names,
    warn_of_fewer_rows,
    warn_of_lost_names,
)
from dimtyped.nn.tying import TiedParametersMixin
from dimtyped.runtime import WithoutInternalFrames, internal_frame, mode

_PARENT = "_dim_parent"
_DECLARING = (Dim, torch.nn.Module)


class Module(TiedParametersMixin):
    """A `torch.nn.Module` that enforces its annotated methods and is a scope of names.

    It declares its `DimSize` parameters, every Dim stored on it and every named Dim of the typed layers that
    are its direct children (`Sequential`, `ModuleList` and `ModuleDict` are transparent). In the annotations of its
    methods a declared name means that size; every other name is bound per call. After `__init__` a stored Dim becomes a
    plain int, because TorchDynamo compares subclasses of int wrongly; its name stays declared. `typing.no_type_check`
    excludes a method.

    Raises:
        DeclarationError: at an assignment that gives a name a second size.
        DimensionError: at a call that does not fit the annotations of the method.

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
        if ATTRIBUTE not in self.__dict__:
            set_scope(self, Scope())
        if type(self).__init__ is Module.__init__:
            _finish(self)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        frame = sys._getframe(1)
        setattr(cls, MANAGED, True)
        enforce(cls, frame, parents=(Module,))
        if isinstance(vars(cls).get("__init__"), types.FunctionType):
            cls.__init__ = _constructor(vars(cls)["__init__"], frame)
        _inherit_constructor(cls, frame)
        if isinstance(vars(cls).get("__post_init__"), types.FunctionType):  # the __init__ of a dataclass is made later
            setattr(cls, "__post_init__", naming_fields(vars(cls)["__post_init__"], _finish))  # noqa: B010  # torch's has none

    @WithoutInternalFrames()
    @internal_frame
    def _slow_forward(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the call while torch.jit traces, without the TracerWarnings that the checks would cause."""
        with warnings.catch_warnings():
            ignore_tracer_warnings()
            return super()._slow_forward(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        if torch.compiler.is_compiling() or not _matters(self, name, value):
            super().__setattr__(name, value)
            return
        inherit_names(self.__dict__.get("_modules", {}).get(name), value)
        with WithoutInternalFrames():
            claims = preview(self, name, value)
        building = self.__dict__.get(BUILDING, False)
        stored: Any = int(value) if isinstance(value, Dim) and not building else value
        is_new = name not in self.__dict__.get("_modules", {})
        old = self.__dict__.get("_modules", {}).get(name)
        super().__setattr__(name, stored)
        _adopt(self, name, value, claims, is_new=is_new)
        warn_of_fewer_rows(self, name, old, value)

    def __delattr__(self, name: str) -> None:
        matters = not torch.compiler.is_compiling() and _matters(self, name, None)
        if matters:
            remember_deleted(self, name)
        super().__delattr__(name)
        if matters:
            _adopt(self, name, None, preview(self, name, None))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if SWITCHES in self.__dict__:
            self.__dict__[SWITCHES] = switches_of(self).lasting
            switch_scope(self)
        for key, child in self._modules.items():
            read_from(self, child)
            if child is not None and parent_of(child)[0] is None:
                link(self, key, child)

    @WithoutInternalFrames()
    @internal_frame
    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As torch's; warns of what `strict=False` leaves out though the checkpoint has it, in another size."""
        result = super().load_state_dict(state_dict, strict, assign)
        if not strict and mode() != "off":
            warn_of_left_out_keys(self, state_dict, result)
        return result

    @WithoutInternalFrames()
    @internal_frame
    def add_module(self, name: str, module: torch.nn.Module | None) -> None:
        """Adds a child, as an assignment does; see `torch.nn.Module.add_module`."""
        is_new, old = name not in self._modules, self._modules.get(name)
        inherit_names(old, module)
        claims = preview(self, name, module)
        super().add_module(name, module)
        _adopt(self, name, module, claims, is_new=is_new)
        warn_of_fewer_rows(self, name, old, module)


def _matters(module: Module, name: str, value: Any) -> bool:
    """True if this assignment may change the names. A model may assign in every `forward`, so this is fast."""
    if isinstance(value, _DECLARING):
        return True
    attributes = module.__dict__
    return name in (attributes.get("_modules") or ()) or (
        ATTRIBUTE in attributes and name in attributes[ATTRIBUTE].owners
    )


def _adopt(module: torch.nn.Module, key: str, value: Any, claims: Claims | None, *, is_new: bool = False) -> None:
    """Stores the claims after a change, and links a container to its scope. A new child is all that changes."""
    if claims is not None or isinstance(value, torch.nn.Module) or value is None:
        read_from(module, value)
        if isinstance(value, torch.nn.Module):
            make_scopes(value)
        before = held_scope(module)
        after = before.claims if claims is None else claims
        if is_new and (value is None or isinstance(value, torch.nn.Module)):
            settle_with_child(module, after, key, value)
        else:
            settle(module, after)
        warn_of_lost_names(module, before)
    link(module, key, value)
    if isinstance(value, torch.nn.Module) and BUILDING not in module.__dict__:
        settle_added(module, value)


def link(parent: torch.nn.Module, key: str, value: Any) -> None:
    """Links a container to the scope that holds it, so that layers added later are declared there."""
    if isinstance(value, torch.nn.Sequential | torch.nn.ModuleList | torch.nn.ModuleDict):
        value.__dict__[_PARENT] = ParentLink(parent, key)
        for child_key, child in value._modules.items():
            link(parent, f"{key}.{child_key}", child)


def parent_of(container: torch.nn.Module) -> tuple[torch.nn.Module | None, str]:
    """The scope that holds a container, and the container's path there."""
    found: ParentLink | None = container.__dict__.get(_PARENT)
    return (found.parent(), found.key) if found is not None else (None, "")


def check_container(container: torch.nn.Module) -> None:
    """Declares a container's current layers in the scope that holds it.

    Raises:
        DeclarationError: a name would get a second size there.
    """
    parent, key = parent_of(container)
    if parent is None:
        list(claims_of("", container))
        return
    claims = preview(parent, key, container)
    _adopt(parent, key, container, claims)
    tell_holders(container)


def check_added(container: torch.nn.Module, key: str) -> None:
    """Declares one more layer of a container, as `check_container` does, but reads no other one again.

    Raises:
        DeclarationError: a name would get a second size there.
    """
    parent, path = parent_of(container)
    child = container._modules[key]
    if parent is None:
        list(claims_of("", child))
        return
    claims = preview(parent, f"{path}.{key}", child, within=container)
    _adopt(parent, f"{path}.{key}", child, claims, is_new=True)
    tell_holders(container, besides=parent)


# Construction ---------------------------------------------------------------------------------------------------------


def _constructor(init: Any, frame: types.FrameType) -> Any:
    """`__init__` with its names; it notes a `DimSize` parameter that it does not read."""
    unused: list[str] | None = None

    def after(module: torch.nn.Module, parameters: list[str]) -> None:
        nonlocal unused
        if unused is None:
            unused = unmentioned(init, parameters)
        if unused and mode() != "off":
            note_unused(module, unused)

    return naming(init, frame, typed_member(init, frame), _finish, after)


def _inherit_constructor(cls: Any, frame: types.FrameType) -> None:
    """Gives the class a constructor with names, if it inherits `DimSize` parameters from a class without them."""
    holder = next((base for base in cls.__mro__ if "__init__" in vars(base)), object)
    init = vars(holder)["__init__"]
    if holder is not cls and not issubclass(holder, Module) and has_sizes(init):
        cls.__init__ = _constructor(init, frame)


def _finish(module: torch.nn.Module) -> None:
    """After construction: stored Dims become plain ints, and the checks are compiled, so that no trace has to.

    Raises:
        DeclarationError: an axis in the annotations can have no size, since nothing declares the names in it.
    """
    settle_sizes(module)
    settle(module, held_scope(module).claims)
    if mode() != "off":
        for entry in checked_functions(type(module)):
            _prepare(entry, module)
        _reject_unbound_axes(module)


def _reject_unbound_axes(module: torch.nn.Module) -> None:
    for entry in methods_with_expressions(type(module)):
        try:
            error = unbound_axis_of(entry, module)
        except DeclarationError:  # it cannot be resolved yet
            continue
        if error is not None and is_complete(module):
            raise error


def _prepare(entry: CheckedFunction, module: torch.nn.Module) -> None:
    try:
        prepare(entry, module)
    except DeclarationError:
        return  # it may name something defined later; if it still cannot be resolved, the first call raises
