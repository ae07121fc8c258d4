"""What a fix is, and how one is tried: on the shapes of the failed call."""

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
    """A sentence for the user, and the same as data.

    Args:
        text: The sentence; code in it stands in backticks.
        code: What to write at each place, over the names of the parameters: `{"state": "state.permute(1, 0, 2)"}`.
        changes: What stands at each place then.
        renamed: Other names for names in the annotation of a place.
        is_general: Whether it would do for any wrong size, and so says nothing of where this one came from.
        is_other_form: Whether it makes the call one of another form, whose sizes its proposer has compared.
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
        findings: What does not fit.
        labels: What the user calls a layer's names.
        root: The outermost module that is running, if any.
        outer: The names that the typed calls around this one have bound, with their sizes.
        meaning: What the first wrong size is the size of in the module around, such as `2*embed`; empty if unknown.
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
        """What does not fit, in the order of checking."""
        return self.findings.mismatches

    @property
    def places(self) -> list[str]:
        """The places that do not fit, each once."""
        return list(dict.fromkeys(mismatch.place for mismatch in self.mismatches))

    def at(self, place: str) -> list[Mismatch]:
        """What does not fit at one place."""
        return [mismatch for mismatch in self.mismatches if mismatch.place == place]

    def fits(self, fix: Fix) -> bool:
        """Whether the whole call fits once the fix is applied, and torch too would take these sizes."""
        if fix.is_other_form:
            return True
        found = self.call.check(fix.changes, fix.renamed)
        return not found.mismatches and not found.undecided and not self._is_refused(fix)

    def _is_refused(self, fix: Fix) -> bool:
        """Whether a layer of ours knows why torch refuses the fixed sizes, or cannot tell without their values."""
        rule = getattr(getattr(self.owner, "contract", None), "refuses", None)
        if rule is None or not fix.changes:
            return False
        given = {name: _as_tensor(value) for name, value in self.call.values.items()}
        given.update({name: _as_tensor(value) for name, value in fix.changes.items() if name in given})
        values = [given.get(p.name, p.default) for p in self.call.signature.parameters]
        try:
            return any(True for _ in rule(self.owner, *values[1:]))
        except (RuntimeError, NotImplementedError, IndexError, AttributeError, TypeError):
            return True  # the rule reads what only a real tensor has

    def fits_at(self, place: str, value: Snapshot) -> bool:
        """Whether a place fits once this value stands there."""
        found = self.call.check({place: value}).mismatches
        return not any(is_within(mismatch.place, place) for mismatch in found)

    def argument(self, name: str) -> Snapshot | None:
        """What was given for a parameter."""
        return self.call.values.get(name)

    def hint(self, name: str) -> Hint | None:
        """The hint of a parameter."""
        return next((p.hint for p in self.call.signature.parameters if p.name == name), None)

    @property
    def outer_calls_disagree(self) -> bool:
        """Whether the calls around agree with the size that does not fit: then what has bound the name is wrong."""
        wrong = self.mismatches[0]
        return wrong.kind == "size" and self.outer.get(self.label(wrong.dim)) == wrong.actual

    def label(self, name: str) -> str:
        """What the user calls a name."""
        return self.labels.get(name, name)

    def known(self, name: str) -> Binding | None:
        """What a name has been bound to."""
        return self.findings.bindings.get(name)


def subject(place: str) -> str:
    """How code speaks of a place: a result has no name of its own."""
    return f"result{place[len('return') :]}" if re.match(r"return\b", place) else place


def sizes_of(value: Snapshot) -> tuple[int, ...] | None:
    """The shape of a tensor whose sizes are all numbers; those of ragged ones are not. A PackedSequence has no such shape."""
    shape = value.shape if value.items is None else None
    return shape if shape is not None and all(isinstance(size, int) for size in shape) else None  # type: ignore[return-value]  # checked here


def reshaped(value: Snapshot, shape: tuple[int, ...]) -> Snapshot:
    """The same tensor in another shape."""
    return Snapshot(computed(value), dtype=value.dtype, shape=shape)


def computed(value: Snapshot) -> type:
    """The class of what is computed from a tensor: of a parameter, no parameter."""
    return torch.Tensor if issubclass(value.cls, torch.nn.Parameter) else value.cls


def _as_tensor(value: Snapshot) -> Any:
    """What a value would be, without its numbers where these are not at hand."""
    if value.is_at_hand or sizes_of(value) is None:
        return value.value
    return torch.empty(sizes_of(value) or (), dtype=value.dtype, device="meta")


def wanted_array(trial: FixContext, place: str) -> ArrayHint | None:
    """The annotation that a place comes nearest to, where it is a tensor's."""
    hint = trial.at(place)[0].hint if trial.at(place) else trial.hint(place)
    return hint if isinstance(hint, ArrayHint) else None
