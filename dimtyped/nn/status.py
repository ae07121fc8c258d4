"""The table of a model's modules: checked, or not checked and why. Nothing is silently unchecked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn.utils.parametrize import is_parametrized

from dimtyped.annotations import unchecked_classes
from dimtyped.engine import entry_of
from dimtyped.names import short_text
from dimtyped.nn.contract import (
    Layer,
    changed_hint,
    changed_in_place,
    changed_text,
    has_own_forward,
    reason_of,
    typed_class_of,
)
from dimtyped.nn.contract.lazy_layer import LazyLayer, is_plain_lazy
from dimtyped.nn.methods import checked_methods, switched_off_methods, unchecked_forward, unchecked_methods
from dimtyped.nn.retype import must_be_module, reason_left_plain
from dimtyped.nn.tying import tie_problem
from dimtyped.runtime import WithoutInternalFrames, mode, static_class


@dataclass(frozen=True)
class Row:
    """The row of one module.

    `state` is `checked`, `skipped`, `off` or `free`, if nothing in it depends on a shape. `methods` are the checked
    methods of a user's module, `forward` first.
    """

    path: str
    module: str
    state: str
    why: str = ""
    methods: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The state with the methods, if there are others than `forward`, and the reason."""
        listed = ", ".join(self.methods) if self.methods != ("forward",) else ""
        details = "; ".join(filter(None, (listed, self.why)))
        return f"{self.state}: {details}" if details else self.state


@dataclass(frozen=True)
class Status:
    """Every module of a model; `str` is the table."""

    rows: tuple[Row, ...]

    @property
    def totals(self) -> dict[str, int]:
        """The number of modules in each state."""
        return dict(Counter(row.state for row in self.rows))

    def __str__(self) -> str:
        width = max(len(row.path) for row in self.rows)
        names = max(min(len(row.module), 48) for row in self.rows)
        lines = [f"{row.path:<{width}}  {row.module[:48]:<{names}}  {row.text}" for row in self.rows]
        return "\n".join([*lines, self._summary()])

    def __repr__(self) -> str:
        return f"<Status: {self._summary()}>"

    def _summary(self) -> str:
        return ", ".join(f"{count} {state}" for state, count in sorted(self.totals.items()))


@WithoutInternalFrames()
def status(model: torch.nn.Module) -> Status:
    """Prints every module of a model as checked, skipped (why), off or free of shapes, and the totals.

    For your own modules it lists the checked methods, if there are others than `forward`, and each method that is
    annotated but not checked, with the reason.

    Args:
        model: Any module.

    Returns:
        The table as data: `rows` and `totals`.

    Raises:
        DeclarationError: `model` is not a module.

    Example:
        >>> import torch, dimtyped
        >>> found = dimtyped.status(dimtyped.nn.Sequential(dimtyped.nn.Linear(8, 4), torch.nn.Linear(4, 2)))
        (model)  Sequential                               free: passes its layers through
        0        Linear(in_features=8 -> out_features=4)  checked
        1        Linear                                   skipped: a plain torch layer; dimtyped.retype(model) types it
        1 checked, 1 free, 1 skipped
        >>> found.totals["checked"]
        1
    """
    must_be_module("status", model)
    found = Status(tuple(_rows(model)))
    print(found)  # noqa: T201  # printing is its purpose
    return found


def _rows(model: torch.nn.Module) -> Iterator[Row]:
    for path, module in model.named_modules():
        state, why = _state_of(module)
        methods = _checked_methods(module)
        if methods and state != "checked":
            state, why = "checked", why if state == "skipped" else ""
        why = "; ".join(
            filter(None, (why, _changed_text(module), _unchecked_text(module, methods), tie_problem(module, model)))
        )
        name = short_text(module) if isinstance(module, Layer) else type(module).__name__
        yield Row(path or "(model)", name, state, why, methods)


def _checked_methods(module: torch.nn.Module) -> tuple[str, ...]:
    """The methods that are checked; for a typed layer, only those that a user added."""
    if isinstance(module, torch.jit.ScriptModule):
        return ()
    off = switched_off_methods(module)
    return tuple(name for name in _methods_with_checks(module) if name not in off)


def _methods_with_checks(module: torch.nn.Module) -> tuple[str, ...]:
    is_own = not isinstance(module, Layer) or not has_own_forward(module)
    is_users = is_own and "forward" not in module.__dict__ and _is_checked(module)
    return (*(["forward"] if is_users else []), *checked_methods(module))


def _changed_text(module: torch.nn.Module) -> str:
    """Describes a parameter whose data has other sizes than the layer declares and checks; empty if there is none."""
    changed = changed_in_place(module) if isinstance(module, Layer) else None
    if changed is None:
        return ""
    name, shape, _ = changed
    return f"{changed_text(module, name, shape)}: {changed_hint(module, name, shape)}"


def _unchecked_text(module: torch.nn.Module, checked: tuple[str, ...]) -> str:
    if isinstance(module, torch.jit.ScriptModule):
        return ""
    reasons = [f"{name} (unchecked)" for name in switched_off_methods(module) if name != "forward" or checked]
    reasons += [f"{name} ({why})" if why else name for name, why in unchecked_methods(module)]
    reasons += [f"the annotations in {name} (make it a dataclass)" for name in _plain_classes(module)]
    return f"not checked: {', '.join(reasons)}" if reasons else ""


def _plain_classes(module: torch.nn.Module) -> list[str]:
    """The classes in the annotations of a user's `forward` whose own annotated tensors are not checked."""
    entry = entry_of(static_class(type(module)).forward) if not isinstance(module, Layer) else None
    if entry is None or mode() == "off":
        return []
    signature = entry.signature
    annotations = (*(parameter.annotation for parameter in signature.parameters), signature.result.annotation)
    return sorted({cls.__name__ for annotation in annotations for cls in unchecked_classes(annotation)})


def _state_of(module: torch.nn.Module) -> tuple[str, str]:
    if isinstance(module, torch.jit.ScriptModule):
        return "skipped", "TorchScript runs torch's own code of it, without checks"
    if type(module).__module__.startswith("torch._dynamo."):
        return "free", "compiles its module and passes it through"
    if "forward" in module.__dict__ and entry_of(getattr(module.__dict__["forward"], "__func__", None)) is None:
        return "skipped", "its forward was replaced on the instance, so its checks are unknown"
    if _is_checked(module):
        return ("off", "unchecked") if _is_switched_off(module) else ("checked", "")
    if isinstance(module, Layer):
        if mode() == "off":
            return "off", "DIMTYPED is off"
        return "skipped", unchecked_forward(module) or "its own forward is not annotated"
    if isinstance(module, LazyLayer):
        return "skipped", "its sizes are not known yet; it is typed at its first call"
    if typed_class_of(type(module)) is not None or is_plain_lazy(module):
        return "skipped", reason_left_plain(module) or "a plain torch layer; dimtyped.retype(model) types it"
    return _state_of_other(module)


def _is_checked(module: torch.nn.Module) -> bool:
    forward = static_class(type(module)).forward
    entry = entry_of(forward)
    return (entry is not None and entry.declaration.checks_tensors) or hasattr(forward, "_dim_entries")


def _is_switched_off(module: torch.nn.Module) -> bool:
    """True if `unchecked` has switched the check of a module's `forward` off."""
    return getattr(module, "_dim_unchecked", False) or "forward" in switched_off_methods(module)


def _state_of_other(module: torch.nn.Module) -> tuple[str, str]:
    cls = type(module)
    known = reason_of(cls) or _reason_of_container(module)
    if known is not None:
        return known
    annotated = unchecked_forward(module)
    if annotated:
        return ("off" if mode() == "off" else "skipped"), annotated
    base = next((base for base in cls.__mro__[1:] if typed_class_of(base) is not None), None)
    if base is None:
        return "skipped", "forward is not annotated"
    if is_parametrized(module):
        return (
            "skipped",
            f"a {base.__name__} whose parameters are computed; dimtyped.retype(model) types it before that",
        )
    return "skipped", f"a subclass of {base.__name__}, whose contract is not known"


def _reason_of_container(module: torch.nn.Module) -> tuple[str, str] | None:
    """The state of a container that calls its layers as torch's does, with the reason; None for other modules."""
    base = next(
        (base for base in (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict) if isinstance(module, base)),
        None,
    )
    return reason_of(base) if base is not None and type(module).forward is base.forward else None
