"""Where a name that no layer declares, such as `seq`, is in the tensors between layers: from a run on fake tensors."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dimtyped.annotations import Kind, Signature, arrays_in
from dimtyped.engine import entry_of
from dimtyped.errors import declaration_error
from dimtyped.flow import Axes, Axis, target_of
from dimtyped.flow.summaries import ModuleCall, module_calls
from dimtyped.names import is_scope
from dimtyped.nn.contract import Layer


@dataclass(frozen=True, slots=True)
class Positions:
    """The axis of a name in each tensor of a module's calls; None where a tensor has no such axis, or not in each call.

    Attributes:
        inputs: Of its arguments.
        outputs: Of its result.
        rank: The number of axes of its first argument; 0 if that differs between calls.
        names: The names in the axes of its first argument; an axis without one has "".
        takers: The paths of the modules that take what it gives.
    """

    inputs: tuple[int | None, ...] = ()
    outputs: tuple[int | None, ...] = ()
    rank: int = 0
    names: frozenset[str] = frozenset()
    takers: frozenset[str] = frozenset()

    @property
    def input(self) -> int | None:
        """The axis in the first argument."""
        return self.inputs[0] if self.inputs else None

    @property
    def output(self) -> int | None:
        """The axis in the first tensor of the result."""
        return self.outputs[0] if self.outputs else None


def positions_of(model: torch.nn.Module, name: str, inputs: Sequence[Any]) -> dict[str, Positions]:
    """The axis of a name in what each module takes and gives, by the module's path. Modules that do not run are left out.

    Raises:
        DeclarationError: The model does not run on inputs that are made from its annotations.
    """
    try:
        calls = module_calls(model, *inputs)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise declaration_error(
            "sharding_plan",
            f"`{name}` is an axis of activations, and {type(model).__name__} does not run on fake inputs: {reason}",
            f"give inputs that it takes, inputs=(tokens,), or leave `{name}` out",
            dim=name,
            argument="names",
        ) from error
    takers: dict[str, set[str]] = {}
    for path, each in calls.items():
        for source in {source for call in each for source in call.sources if source is not None}:
            takers.setdefault(source, set()).add(path)
    return {path: _common(each, name, frozenset(takers.get(path, ()))) for path, each in calls.items()}


def names_of_activations(model: torch.nn.Module) -> set[str]:
    """The names in the annotations of the model's and its modules' `forward`."""
    return set(_names(model))


def signature_of(module: torch.nn.Module) -> Signature | None:
    """The annotations of a user's `forward` that are checked, or would be with the checks on; None where there are none."""
    if isinstance(module, Layer) or not (is_scope(module) or entry_of(type(module).forward) is not None):
        return None
    return target_of(module).signature


def _names(model: torch.nn.Module) -> Iterator[str]:
    for module in model.modules():
        signature = signature_of(module)
        for hint in signature.hints if signature is not None else ():
            for array in arrays_in(hint):
                yield from (axis.name for axis in array.axes if axis.kind is Kind.NAME)


def _common(calls: Sequence[ModuleCall], name: str, takers: frozenset[str]) -> Positions:
    inputs = [tuple(_axis_of(axes, name) for axes in call.inputs) for call in calls]
    outputs = [tuple(_axis_of(axes, name) for axes in call.outputs) for call in calls]
    first = [call.inputs[0] for call in calls if call.inputs]
    ranks = {len(axes) for axes in first}
    names = {name for axes in first for axis in axes for name in _names_of(axis)}
    return Positions(_same(inputs), _same(outputs), ranks.pop() if len(ranks) == 1 else 0, frozenset(names), takers)


def _same(found: Collection[tuple[int | None, ...]]) -> tuple[int | None, ...]:
    """What all calls have; None where they differ."""
    shortest = min(map(len, found), default=0)
    columns = [{each[index] for each in found} for index in range(shortest)]
    return tuple(column.pop() if len(column) == 1 else None for column in columns)


def _names_of(axis: Axis) -> Iterator[str]:
    for factor in axis.factors:
        yield from factor.dimension.root.names or ("",)


def _axis_of(axes: Axes, name: str) -> int | None:
    """The only axis that is a dimension of this name."""
    found = [index for index, axis in enumerate(axes) if axis.dimension is not None and name in axis.dimension.names]
    return found[0] if len(found) == 1 else None
