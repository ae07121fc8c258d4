"""Fixes, and the context that tries them on the shapes of the failed call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from dimtyped.annotations import ArrayHint, Hint
from dimtyped.diagnosis.mismatch import Binding, Call, Findings, Mismatch, is_within
from dimtyped.diagnosis.snapshots import Snapshot


@dataclass(frozen=True, slots=True)
class Fix:
    """A fix: a sentence for the user, and the same as data.

    Args:
        text: The sentence, with code in backticks.
        code: The code to write at each place, in terms of the parameters: `{"state": "state.permute(1, 0, 2)"}`.
        changes: The value at each place after the fix.
        renamed: Other names for names in the annotation of a place.
        is_general: True if it suits any size mismatch, so it says nothing about the cause.
        is_other_form: True if it changes the call form; its proposer has compared the sizes.
    """

    text: str
    code: Mapping[str, str]
    changes: Mapping[str, Snapshot]
    renamed: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    is_general: bool = False
    is_other_form: bool = False


@dataclass(frozen=True, slots=True)
class FixContext:
    """One failed call, to try fixes on.

    Args:
        call: The call.
        findings: The mismatches and the names of the call.
        labels: The user's words for a layer's names.
        root: The outermost module that is running, if any.
        outer: The names that the typed calls around this one have bound, with their sizes.
        meaning: The name or product in the module around that has the first wrong size, `2*embed`; empty if unknown.
    """

    call: Call
    findings: Findings
    labels: Mapping[str, str]
    root: Any = None
    outer: Mapping[str, Any] = field(default_factory=dict[str, Any])
    meaning: str = ""

    @property
    def owner(self) -> Any:
        """The module whose method was called, if it is one."""
        return self.call.owner

    @property
    def mismatches(self) -> list[Mismatch]:
        """The mismatches, in the order of checking."""
        return self.findings.mismatches

    @property
    def places(self) -> list[str]:
        """The places that do not fit, each once."""
        return self.findings.places

    def at(self, place: str) -> list[Mismatch]:
        """The mismatches at one place."""
        return [mismatch for mismatch in self.mismatches if mismatch.place == place]

    def fits(self, fix: Fix) -> bool:
        """True if the whole call fits with the fix, and torch accepts the sizes too."""
        if fix.is_other_form:
            return True
        found = self.call.check(fix.changes, fix.renamed)
        return not found.mismatches and not found.undecided and not self._is_refused(fix)

    def _is_refused(self, fix: Fix) -> bool:
        """True if a rule of the layer or function says that torch rejects the fixed sizes, or cannot decide without values."""
        of_layer = getattr(getattr(self.owner, "contract", None), "violations", None)
        of_function = self.call.signature.violations
        if (of_layer is None and of_function is None) or not fix.changes:
            return False
        given = {p.name: p.default for p in self.call.signature.parameters}
        given.update({name: _as_tensor(value) for name, value in self.call.values.items()})
        given.update({name: _as_tensor(value) for name, value in fix.changes.items() if name in given})
        try:
            if of_function is not None:
                return any(True for _ in of_function(**given))
            return of_layer is not None and any(True for _ in of_layer(self.owner, *list(given.values())[1:]))
        except (RuntimeError, NotImplementedError, IndexError, AttributeError, TypeError):
            return True  # the rule reads something that only a real tensor has

    def fits_at(self, place: str, value: Snapshot) -> bool:
        """True if a place fits with this value."""
        found = self.call.check({place: value}).mismatches
        return not any(is_within(mismatch.place, place) for mismatch in found)

    def argument(self, name: str) -> Snapshot | None:
        """The value given for a parameter."""
        return self.call.values.get(name)

    def hint(self, name: str) -> Hint | None:
        """The hint of a parameter."""
        return next((p.hint for p in self.call.signature.parameters if p.name == name), None)

    @property
    def outer_calls_disagree(self) -> bool:
        """True if the enclosing calls agree with the size that does not fit, so the value that bound the name is wrong."""
        wrong = self.mismatches[0]
        return wrong.kind == "size" and self.outer.get(self.label(wrong.dim)) == wrong.actual

    def label(self, name: str) -> str:
        """The user's word for a name."""
        return self.labels.get(name, name)

    def known(self, name: str) -> Binding | None:
        """The binding of a name, if it has one."""
        return self.findings.bindings.get(name)


def subject(place: str) -> str:
    """The code for a place; a result has no name of its own and is called `result`."""
    return f"result{place[len('return') :]}" if re.match(r"return\b", place) else place


def sizes_of(value: Snapshot) -> tuple[int, ...] | None:
    """The shape of a tensor if all its sizes are numbers; None for ragged tensors and for a PackedSequence."""
    shape = value.shape if value.items is None else None
    return shape if shape is not None and all(isinstance(size, int) for size in shape) else None  # type: ignore[return-value]  # checked here


def reshaped(value: Snapshot, shape: tuple[int, ...]) -> Snapshot:
    """The tensor in another shape."""
    return Snapshot(computed(value), dtype=value.dtype, shape=shape)


def computed(value: Snapshot) -> type:
    """The class of a tensor computed from this one: Tensor for a Parameter, else the same class."""
    return torch.Tensor if issubclass(value.cls, torch.nn.Parameter) else value.cls


def _as_tensor(value: Snapshot) -> Any:
    """The value itself if it is available, else a meta tensor of its shape and dtype."""
    if value.is_at_hand or sizes_of(value) is None:
        return value.value
    return torch.empty(sizes_of(value) or (), dtype=value.dtype, device="meta")


def wanted_array(context: FixContext, place: str) -> ArrayHint | None:
    """The annotation of a place if it is a tensor's; for a union, the closest option."""
    hint = context.at(place)[0].hint if context.at(place) else context.hint(place)
    return hint if isinstance(hint, ArrayHint) else None
