"""The report of `fuzz`: what was tested, and what was not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dimtyped.annotations import Kind, arrays_in
from dimtyped.testing.properties.independence import has_name
from dimtyped.testing.strategies.target import InputOptions, Target


@dataclass(frozen=True)
class FuzzReport:
    """The tests that a module has passed.

    Attributes:
        name: The module or function.
        calls: The number of calls of each kind: `right`, `compiled`, `broken`.
        tested: The axes along which samples were found to be independent.
        untested: The other axes of its inputs that no module declares.
        inputs: What was learned about its inputs, in the form that `fuzz` takes.
        proposed: An axis that all tensors share, if none was tested.
        padding: What was learned about a mask or lengths that `padding` does not name, or about padding in front.
    """

    __module__ = "dimtyped.testing"

    name: str
    calls: Mapping[str, int]
    tested: tuple[str, ...]
    untested: tuple[str, ...]
    inputs: InputOptions = field(default_factory=InputOptions)
    proposed: str = ""
    padding: str = ""

    def __str__(self) -> str:
        made = ", ".join(f"{count} {kind}" for kind, count in self.calls.items())
        lines = [f"{self.name}: {made} calls", f"  independent: {', '.join(self.tested) or 'nothing was tested'}"]
        if self.untested:
            lines.append(f"  not tested: {', '.join(self.untested)}")
        if self.proposed:
            lines.append(f"  Every tensor has `{self.proposed}`: independent=[{self.proposed!r}] tests it.")
        elif not self.tested and "batch" in self.untested:
            lines.append('  The result has no axis like `batch`: reduction="mean" or separable="batch" tests it.')
        lines += [f"  learned: {self.padding}"] if self.padding else []
        lines += [f"  learned: {text}" for text in _found(self.inputs)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<{str(self).partition(chr(10))[0]}>"


def untested(targets: Sequence[Target], tested: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the inputs' axes that no module declares and that were not tested."""
    axes = [axis for target in targets for array in target.arrays for axis in array.axes]
    declared = {name for target in targets for name in target.sizes}
    names = dict.fromkeys(axis.name for axis in axes if axis.kind is Kind.NAME and not axis.many)
    return tuple(name for name in names if name not in declared and name not in tested)


def shared(target: Target) -> str:
    """The first axis that every tensor of the parameters and the result has; empty if there is none."""
    results = arrays_in(target.signature.result)
    arrays = (*target.arrays, *results)
    first = [axis.name for axis in arrays[0].axes if axis.kind is Kind.NAME and not axis.many] if results else []
    return next((n for n in first if n not in target.sizes and all(has_name(n, (array,)) for array in arrays)), "")


def _found(options: InputOptions) -> list[str]:
    sizes = [f"`{name}` is {size}" for name, size in options.sizes.items()]
    return [*sizes, *(f"`{name}` is below {bound}" for name, bound in options.values.items())]
