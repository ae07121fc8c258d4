"""The declaration of a decorated function: the data of the function before its first call."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from dimtyped import diagnosis
from dimtyped.annotations import Signature, arrays_in, names_tensors, read_signature
from dimtyped.engine.call_names import code_objects_of
from dimtyped.engine.missing import Missing, value_left_out
from dimtyped.engine.rules import RULES_OF_USERS, Rules


@dataclass(frozen=True, eq=False)
class Declaration:
    """A function and the settings of its check.

    Args:
        function: The function as its user wrote it.
        names: Names that its string annotations may use beside its globals.
        fixed: The sizes of `typed(dims=...)`.
        is_method: True if the first argument may be a module whose names count.
        only_if_tensors: True to leave the function alone if none of its annotations is jaxtyping's, as for an undecorated
            `forward`, where `x: Tensor = None` is not a mistake.
        on_import: True for a function that the import hook decorated: of its annotations those that cannot be resolved
            and do not look like jaxtyping's are not checked.
        by_reference: True if the reference engine checks.
        rules: The rules of the function. Default: those of a user's function.
    """

    function: Callable[..., Any]
    names: Mapping[str, Any] = field(default_factory=dict[str, Any])
    fixed: Mapping[str, int] = field(default_factory=dict[str, int])
    is_method: bool = False
    only_if_tensors: bool = False
    on_import: bool = False
    by_reference: bool = False
    rules: Rules = RULES_OF_USERS

    def __getstate__(self) -> dict[str, Any]:
        read = ("signature", "code_objects")  # read again after unpickling: code cannot be pickled
        return {key: value for key, value in self.__dict__.items() if key not in read}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @functools.cached_property
    def signature(self) -> Signature:
        """The signature, read at the first call.

        Raises:
            DeclarationError: an annotation cannot be resolved.
        """
        is_unchecked = self.only_if_tensors and not names_tensors(self.function, self.names)
        return read_signature(
            self.function,
            names=self.names,
            fixed=self.fixed,
            attributes=self.rules.attributes,
            annotations={} if is_unchecked else self.rules.annotations,
            weights=self.rules.weights,
            violations=self.rules.violations,
            only_tensors_must_resolve=self.on_import,
        )

    @functools.cached_property
    def code_objects(self) -> tuple[types.CodeType, ...]:
        """The function's code objects, if it calls `assert_dims`."""
        return code_objects_of(self.function)

    @property
    def checks_tensors(self) -> bool:
        """True if the signature has any jaxtyping annotation."""
        return not self.signature.expressible or any(arrays_in(hint) for hint in self.signature.hints)

    @property
    def reads_scope(self) -> bool:
        """True if the names that a module declares count in the annotations."""
        return self.is_method and self.rules.reads_scope

    @property
    def is_users(self) -> bool:
        """True for a user's function, False for a layer's."""
        return self.rules.is_users

    @property
    def method(self) -> str:
        """The name by which a module has this function as a method."""
        return getattr(self.function, "__name__", "")

    def is_method_of(self, cls: type) -> bool:
        """Returns True if the function is a method of the class, and not a static one."""
        held = inspect.getattr_static(cls, self.method, None)
        return self.is_method and not isinstance(held, staticmethod)

    # Of one call ------------------------------------------------------------------------------------------------------

    def owner(self, values: tuple[Any, ...]) -> Any:
        """The module whose method was called, if it is one."""
        first = values[0] if values else None
        return first if self.is_method and isinstance(first, torch.nn.Module) else None

    def where(self, owner: Any) -> str:
        """The function's name, or for a layer its path in the running model."""
        return self.rules.where(self.signature, owner)

    def declared(self, owner: Any) -> dict[str, diagnosis.Binding]:
        """The names that have a size before the call."""
        return self.rules.declared(self.signature, owner)

    def values_of(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> tuple[Any, ...]:
        """The value of each parameter, as a compiled check finds it."""
        bound = inspect.signature(self.function).bind(*arguments, **keywords)
        return tuple(bound.arguments.get(p.name, value_left_out(p)) for p in self.signature.parameters)

    def paths(self, values: tuple[Any, ...]) -> dict[str, Any]:
        """The values of the parameters with the defaults of those left out, for the `{...}` of an annotation."""
        named = zip(self.signature.parameters, values, strict=False)
        return {p.name: p.default if isinstance(value, Missing) else value for p, value in named}

    def call_unchecked(self, *arguments: Any, **keywords: Any) -> Any:
        """Calls the function, with its defaults for arguments that were left out."""
        bound = inspect.signature(self.function).bind(*arguments, **keywords)
        for parameter in self.signature.parameters:
            if isinstance(bound.arguments.get(parameter.name), Missing):
                bound.arguments[parameter.name] = parameter.default
        return self.function(*bound.args, **bound.kwargs)
