"""Layers that may be called in several forms, batched or not: which annotations hold is read off the call."""

from __future__ import annotations

import types
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from torch import Tensor

from dimtyped._entry import Entry
from dimtyped._fast import PREFIX
from dimtyped._typed import entry_of

UNCHECKED = None
"""The form of a call that torch alone judges: one of ragged tensors, which have no shape."""


Form = Callable[[Any, Any, Mapping[str, Any]], Hashable]
"""Tells the form of a call from the layer, its first argument and the keywords."""


def axes(layer: torch.nn.Module, first: Any, keywords: Mapping[str, Any]) -> Hashable:  # noqa: ARG001  # a Form
    """The form by the first argument's number of axes."""
    return first.dim() if isinstance(first, Tensor) else 0


def dispatch(
    torch_forward: Callable[..., Any],
    checks: Mapping[Hashable, Callable[..., Any]],
    form: Form,
) -> types.FunctionType:
    """A `forward` that hands each call to the check of its form; one of no known form to the first, which refuses it.

    Like a check, it is code of its own, and has the globals that TorchScript needs to compile torch's.
    """
    name, first = torch_forward.__name__, torch_forward.__code__.co_varnames[1]
    code = _by_form.__code__.replace(co_name=name, co_qualname=torch_forward.__qualname__)
    known = {key: value for key, value in torch_forward.__globals__.items() if not key.startswith("__")}
    known.update(__builtins__=__builtins__)
    known |= {
        f"{PREFIX}checks": {**checks, UNCHECKED: torch_forward},
        f"{PREFIX}otherwise": next(iter(checks.values())),
        f"{PREFIX}form": form,
        f"{PREFIX}first": first,
    }
    made = types.FunctionType(code, known, name)
    for attribute in ("__module__", "__qualname__", "__doc__", "__annotations__"):
        setattr(made, attribute, getattr(torch_forward, attribute))
    made.__dict__.update(__wrapped__=torch_forward, _dim_entries=entries_of(checks.values()))
    return made


def entries_of(checks: Any) -> tuple[Entry, ...]:
    """What is known of each check, so that all can be compiled before the first call."""
    return tuple(entry for entry in map(entry_of, checks) if entry is not None)


# Each name that begins with _dt_ is a global of the function made from this one, not of this file.


def _by_form(self: Any, *args: Any, **kwargs: Any) -> Any:
    __tracebackhide__ = True
    form = _dt_form(self, args[0] if args else kwargs.get(_dt_first), kwargs)  # type: ignore[name-defined]
    return _dt_checks.get(form, _dt_otherwise)(self, *args, **kwargs)  # type: ignore[name-defined]
