"""The rules that differ between a user's function and a typed layer: the sizes of names, and the texts of errors.

`Rules` are those of a user's function; `dimtyped.nn` gives those of its layers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import torch

from dimtyped import diagnosis
from dimtyped.annotations import Signature
from dimtyped.engine.forms import CallForms
from dimtyped.errors import DimensionError
from dimtyped.names import ATTRIBUTE, Scope


class Rules:
    """The rules of a function's checks: on names, forms and errors.

    Attributes:
        annotations: Annotations in place of the function's. None: the function's own.
        attributes: Names, and the attributes of the first argument that hold their sizes.
        weights: The parameters that a layer would hold, such as `weight`: an error blames the others first.
        violations: Finds the sizes that the function itself rejects; takes its arguments by name.
        forms: The forms of a call.
        translated: The kinds of exception of the function that `translate` may replace.
        reads_scope: True if the names that the module of a method declares have its sizes.
        is_users: True for a user's function: names used once cause a warning, and errors list its running calls.
        takes_ragged: True if the function takes nested tensors, which no annotation describes.
    """

    annotations: Mapping[str, Any] | None = None
    attributes: Mapping[str, str] = {}  # no ClassVar: a layer's rules have their own
    weights: Collection[str] = ()
    violations: Callable[..., Iterable[Any]] | None = None
    forms: CallForms = CallForms()
    translated: tuple[type[Exception], ...] = ()
    reads_scope: bool = True
    is_users: bool = True
    takes_ragged: bool = False

    def of_form(self, inputs: Mapping[str, Any], forms: CallForms) -> Rules:
        """The rules of one form of the call, with its annotations."""
        made = copy.copy(self)
        made.annotations, made.forms = inputs, forms
        return made

    def where(self, signature: Signature, owner: Any) -> str:  # noqa: ARG002  # a layer has a path
        """The name of the function in errors."""
        return signature.where

    def labels(self, owner: Any) -> Mapping[str, str]:  # noqa: ARG002  # a layer has labels
        """The user's words for the names in the annotations, if they differ."""
        return {}

    def declared(self, signature: Signature, owner: Any) -> dict[str, diagnosis.Binding]:
        """The names that have a size before the call."""
        scope: Scope | None = owner.__dict__.get(ATTRIBUTE) if isinstance(owner, torch.nn.Module) else None
        return diagnosis.declared_names(signature, owner, "", scope)

    def error_kind(self, mismatch: diagnosis.Mismatch) -> type[DimensionError]:  # noqa: ARG002  # a layer has kinds
        """The exception to raise for a mismatch."""
        return DimensionError

    def translate(self, raised: Raised) -> Exception:
        """The exception to raise in place of a `translated` exception of the function."""
        return raised.error

    def extra_globals(self, function: Callable[..., Any]) -> Mapping[str, Any]:  # noqa: ARG002  # as above
        """Additional globals of the wrapper."""
        return {}


RULES_OF_USERS = Rules()


class Raised(NamedTuple):
    """An exception that a checked function raised.

    `form` is the signature of this call's form.
    """

    rules: Rules
    signature: Signature
    form: Signature
    values: tuple[Any, ...]
    error: Exception
