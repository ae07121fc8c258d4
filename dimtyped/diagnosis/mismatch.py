"""A failed call checked again, slowly: every mismatch, and the size and the origin of each name.

This walks the same hints as the engines, over descriptions of the values. It runs only after an engine has rejected
a call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch.nn.utils.rnn import PackedSequence

from dimtyped.annotations import (
    AnythingHint,
    ArrayHint,
    Axis,
    BeartypeHint,
    ClassHint,
    Hint,
    ItemsHint,
    Kind,
    MappingHint,
    Parameter,
    RecordHint,
    Signature,
    TupleHint,
    UnionHint,
    broadcast_variadic,
    evaluate,
    in_order,
    is_bearable,
    linear,
    packed_shape,
    parts_in_order,
    solve,
    turn,
    unknown_names,
)
from dimtyped.diagnosis.annotated_values import spread_axes
from dimtyped.diagnosis.snapshots import Snapshot, items_of, snapshot
from dimtyped.errors import DeclarationError
from dimtyped.names import shape_text

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A failed call. A fix is tried by checking the call again with some of its values changed.

    Args:
        signature: The signature of the called function.
        declared: The names that have a size before the call.
        values: Each argument that was given, by its parameter's name.
        result: The result, if it is to be checked.
        paths: The values that `{self.width}` in an annotation reads.
        owner: The module whose method was called, if it is one.
        shared: The names as `assert_dims` has left them when the result is checked.
    """

    signature: Signature
    declared: Mapping[str, Binding]
    values: Mapping[str, Snapshot]
    result: Snapshot | None = None
    paths: Mapping[str, Any] = field(default_factory=dict[str, Any])
    owner: Any = None
    shared: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def check(
        self, changed: Mapping[str, Snapshot] | None = None, renamed: Mapping[tuple[str, str], str] | None = None
    ) -> Findings:
        """Checks the call with `changed` values at some places and `renamed` names in some annotations.

        If the weights of a function disagree with its other arguments, the others are wrong, unless the weights also
        disagree among themselves: fewer arguments are wrong then if the first one binds the names.
        """
        findings = self._check(self.signature.parameters, changed or {}, renamed or {})
        weights = self.signature.weights
        if not findings.mismatches or not weights:
            return findings
        weights_first = sorted(self.signature.parameters, key=lambda parameter: parameter.name not in weights)
        others = self._check(weights_first, changed or {}, renamed or {})
        places = [parameter.name for parameter in self.signature.parameters]
        others.mismatches.sort(key=lambda mismatch: places.index(mismatch.place))  # a function's arguments are tensors
        is_better = others.mismatches and not others.undecided and len(others.places) <= len(findings.places)
        return others if is_better else findings

    def _check(
        self,
        parameters: Sequence[Parameter],
        changed: Mapping[str, Snapshot],
        renamed: Mapping[tuple[str, str], str],
    ) -> Findings:
        """Checks the call with its names bound by the parameters in this order."""
        findings = Findings(bindings=dict(self.declared), paths=self.paths, changed=changed, renamed=renamed, call=self)
        for parameter in in_order(parameters, findings.bindings):
            value = self.values.get(parameter.name)
            if value is None:
                continue
            if parameter.kind.name in ("VAR_POSITIONAL", "VAR_KEYWORD"):
                for key, item in value.items or ():
                    findings.check(parameter.hint, item, f"{parameter.name}[{key!r}]")
            else:
                findings.check(parameter.hint, value, parameter.name)
        if self.result is not None:
            findings.learn(self.shared, "bound by assert_dims")
            findings.check(self.signature.result, self.result, "return")
        return findings


@dataclass(frozen=True, slots=True)
class Binding:
    """The size of a name in a call and its origin: a declaration, or a value at a place."""

    size: Any
    place: str = ""
    value: Snapshot | None = None

    @property
    def is_declared(self) -> bool:
        """True if the module or the decorator declares it, False if a value of this call has bound it."""
        return self.value is None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One mismatch. `kind` is `type`, `dtype`, `rank`, `size` or `expression`; `axis` is an index of the shape."""

    place: str
    kind: str
    hint: Hint
    value: Snapshot
    dim: str = ""
    expected: Any = None
    actual: Any = None
    axis: int | None = None


@dataclass(slots=True)
class Findings:
    """The results of a call's check, in order.

    `changed` holds the values that replace those of the call, by place; `renamed`, other names for a place's names.
    `undecided` lists what cannot be checked: expressions over names without a size, changed values that beartype
    would see.
    """

    bindings: dict[str, Binding] = field(default_factory=dict[str, Binding])
    runs: dict[str, Binding] = field(default_factory=dict[str, Binding])
    mismatches: list[Mismatch] = field(default_factory=list[Mismatch])
    paths: Mapping[str, Any] = field(default_factory=dict[str, Any])
    changed: Mapping[str, Snapshot] = field(default_factory=dict[str, Snapshot])
    renamed: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    undecided: list[str] = field(default_factory=list[str])
    call: Call | None = None

    @property
    def names(self) -> dict[str, Any]:
        """The size of each name; `*name` stands for several axes."""
        return {name: binding.size for name, binding in self.bindings.items()} | {
            f"*{name}": binding.size for name, binding in self.runs.items()
        }

    @property
    def places(self) -> list[str]:
        """The places that do not fit, each once."""
        return list(dict.fromkeys(mismatch.place for mismatch in self.mismatches))

    def learn(self, names: Mapping[str, Any], place: str) -> None:
        """Binds names that have no size here yet to sizes known elsewhere."""
        for name, size in names.items():
            known = self.runs if name.startswith("*") else self.bindings
            if size is not None:
                known.setdefault(name.lstrip("*"), Binding(size, place))

    def fork(self) -> Findings:
        """Returns a copy with the names but without the mismatches, to try one option of a union."""
        return dataclasses.replace(self, bindings=dict(self.bindings), runs=dict(self.runs), mismatches=[])

    def check(self, hint: Hint, value: Snapshot, place: str) -> None:
        """Checks one value; records its mismatches and the names it binds."""
        value = self.changed.get(place, value)
        match hint:
            case AnythingHint():
                return
            case ArrayHint():
                self._check_tensor(hint, value, place)
            case ClassHint(cls=cls):
                if not issubclass(value.cls, cls):
                    self._wrong_type(hint, value, place)
            case BeartypeHint(annotation=annotation):
                if not value.is_at_hand and any(is_within(place, changed) for changed in self.changed):
                    self.undecided.append(place)
                elif value.is_at_hand and not is_bearable(value.value, annotation):
                    self._wrong_type(hint, value, place)
            case UnionHint(options=options):
                self._check_union(hint, options, value, place)
            case TupleHint(items=items):
                self._check_tuple(hint, items, value, place)
            case ItemsHint():
                self._check_items(hint, value, place)
            case MappingHint():
                self._check_mapping(hint, value, place)
            case RecordHint():
                self._check_record(hint, value, place)

    def _wrong_type(self, hint: Hint, value: Snapshot, place: str) -> None:
        self.mismatches.append(Mismatch(place, "type", hint, value, expected=hint.annotation, actual=value.cls))

    def _check_union(self, hint: UnionHint, options: tuple[Hint, ...], value: Snapshot, place: str) -> None:
        tried: list[tuple[Hint, Findings]] = []
        for option in options:
            attempt = self.fork()
            attempt.check(option, value, place)
            if not attempt.mismatches:
                self.bindings, self.runs = attempt.bindings, attempt.runs
                return
            tried.append((option, attempt))
        near = [attempt for _, attempt in tried if all(m.kind != "type" for m in attempt.mismatches)]
        if near:
            self.mismatches.extend(_any_rank(hint, near) or min(near, key=_badness).mismatches)
        else:
            self._wrong_type(hint, value, place)

    def _check_tuple(self, hint: TupleHint, items: tuple[Hint, ...], value: Snapshot, place: str) -> None:
        if not issubclass(value.cls, tuple) or len(value.items or ()) != len(items):
            self._wrong_type(hint, value, place)
            return
        parts = tuple(value.items or ())
        for index, item in self._in_order(enumerate(items)):
            self.check(item, parts[index][1], f"{place}[{index}]")

    def _check_items(self, hint: ItemsHint, value: Snapshot, place: str) -> None:
        if not issubclass(value.cls, hint.cls):
            self._wrong_type(hint, value, place)
            return
        for index, (_, item) in enumerate(items_of(value)):
            self.check(hint.item, item, f"{place}[{index}]")

    def _check_mapping(self, hint: MappingHint, value: Snapshot, place: str) -> None:
        if not issubclass(value.cls, hint.cls):
            self._wrong_type(hint, value, place)
            return
        for key, item in items_of(value):
            self.check(hint.key, snapshot(key), f"{place}[key {key!r}]")
            self.check(hint.value, item, f"{place}[{key!r}]")

    def _check_record(self, hint: RecordHint, value: Snapshot, place: str) -> None:
        if not issubclass(value.cls, hint.cls):
            self._wrong_type(hint, value, place)
            return
        items = dict(items_of(value))
        names: tuple[str, ...] = getattr(hint.cls, "_fields", ())
        fields = self._in_order(hint.fields)
        if hint.has_keys:
            for name, inner in fields:
                self.check(inner, items.get(name, snapshot(None)), f"{place}[{name!r}]")
            return
        for name, inner in fields:
            part = items.get(names.index(name) if name in names else name)
            if part is not None:
                self.check(inner, part, f"{place}.{name}")

    def _in_order(self, parts: Iterable[tuple[T, Hint]]) -> list[tuple[T, Hint]]:
        """The parts of a value in the order of checking: those that bind a name before the expressions that use it."""
        return parts_in_order(tuple(parts), self.bindings, self.bindings)

    # Tensors ----------------------------------------------------------------------------------------------------------

    def _check_tensor(self, hint: ArrayHint, value: Snapshot, place: str) -> None:
        value = unpacked(value) if hint.packed else value
        if value.shape is None or not issubclass(value.cls, hint.array_type):
            is_tensor = value.shape is not None
            expected = hint.array_type if is_tensor else hint.annotation
            self.mismatches.append(Mismatch(place, "type", hint, value, expected=expected, actual=value.cls))
            return
        if hint.dtypes is not None and value.dtype not in hint.dtypes:
            self.mismatches.append(
                Mismatch(place, "dtype", hint, value, expected=hint.annotation.dtype.__name__, actual=value.dtype)
            )
        many, count, rank = hint.variadic, len(hint.axes), len(value.shape)
        if rank != count if many is None else rank < count - 1:
            self._reject_several_sizes(hint)
            least = count if many is None else count - 1
            self.mismatches.append(Mismatch(place, "rank", hint, value, expected=least, actual=rank))
            return
        for axis, index in sorted(placed(hint.axes, rank), key=lambda item: self._turn(item[0])):
            self._check_axis(axis, index, hint, value, place)
        if many is not None:
            self._check_run(hint.axes[many], many, rank - (count - many - 1), hint, value, place)

    def _reject_several_sizes(self, hint: ArrayHint) -> None:
        """Raises a DeclarationError for an axis that is a tuple: with it no number of axes fits."""
        for axis in hint.axes:
            if axis.kind is Kind.EXPRESSION and axis.name.startswith("{"):
                try:
                    self._expected(axis)
                except DeclarationError:
                    raise
                except (NameError, ArithmeticError, AttributeError, TypeError, ValueError, LookupError, SyntaxError):
                    continue  # what else is wrong with it is reported where the number of axes fits

    def _check_axis(self, axis: Axis, index: int, hint: ArrayHint, value: Snapshot, place: str) -> None:
        size = (value.shape or ())[index]
        if size == UNKNOWN:
            return
        if axis.kind is Kind.ANY or (axis.broadcast and size == 1):
            return
        if (place, axis.name) in self.renamed:
            axis = dataclasses.replace(axis, name=self.renamed[place, axis.name])
        if axis.kind is Kind.NAME and axis.name not in self.bindings:
            self.bindings[axis.name] = Binding(size, place, value)
            return
        try:
            expected = self._expected(axis)
        except NameError:
            self._solve(axis, index, hint, value, place)
            return
        except DeclarationError:
            raise
        except Exception as error:  # noqa: BLE001
            why = f"{type(error).__name__}: {error}"
            self.mismatches.append(Mismatch(place, "expression", hint, value, axis_name(axis), why, size, index))
            return
        if expected != size:
            self.mismatches.append(Mismatch(place, "size", hint, value, axis_name(axis), expected, size, index))

    def _turn(self, axis: Axis) -> int:
        """The order of checking an axis: another axis of the same tensor may bind the name that an expression lacks."""
        return turn(axis.name, self.bindings) if axis.kind is Kind.EXPRESSION else 0

    def _solve(self, axis: Axis, index: int, hint: ArrayHint, value: Snapshot, place: str) -> None:
        """Binds the one name of an expression that has no size yet, or records a mismatch if no size of it fits."""
        size = (value.shape or ())[index]
        sizes = {name: binding.size for name, binding in self.bindings.items()}
        unknown = unknown_names(axis.name, sizes)
        parts = [part.partition("}") for part in axis.name.split("{")[1:]]
        try:
            read = "".join(f"{_follow(self.paths, path.strip())}{rest}" for path, _, rest in parts)
            text = axis.name.split("{")[0] + read
            solved = solve(text, unknown[0], size, sizes) if len(unknown) == 1 else None
            found = linear(text, unknown[0]) if len(unknown) == 1 else None
        except (NameError, TypeError):  # a TypeError: what `{...}` reads is no number
            found, solved = None, None
        if found is None:  # if nothing else is wrong, the engine has already raised
            self.undecided.append(axis.text)
        elif solved is not None:
            self.bindings[unknown[0]] = Binding(solved, place, value)
        elif found[0] not in sizes or sizes[found[0]] != 0 or size != 0:
            wanted = _solvable_text(*found)
            self.mismatches.append(Mismatch(place, "extent", hint, value, axis_name(axis), wanted, size, index))

    def _expected(self, axis: Axis) -> Any:
        """The size an axis must have.

        Raises:
            Exception: its expression raises one: a NameError if a name in it has no size yet.
        """
        if axis.kind is Kind.SIZE:
            return axis.size
        if axis.kind is Kind.NAME:
            return self.bindings[axis.name].size
        sizes = {name: binding.size for name, binding in self.bindings.items()}
        paths = [part.partition("}")[0].strip() for part in axis.name.split("{")[1:]]
        return evaluate(axis.name, tuple(_follow(self.paths, path) for path in paths), sizes)

    def _check_run(self, axis: Axis, start: int, stop: int, hint: ArrayHint, value: Snapshot, place: str) -> None:
        if axis.kind is Kind.ANY:
            return
        run = (value.shape or ())[start:stop]
        known = self.runs.get(axis.name)
        joined = broadcast_variadic(known.size if known is not None else None, axis.broadcast, run)
        if joined is None and known is not None:
            index = next((start + i for i, (a, b) in enumerate(zip(run, known.size[1], strict=False)) if a != b), None)
            self.mismatches.append(Mismatch(place, "size", hint, value, f"*{axis.name}", known.size[1], run, index))
        elif known is None:
            self.runs[axis.name] = Binding(joined, place, value)
        else:
            self.runs[axis.name] = Binding(joined, known.place, known.value)


def placed(axes: tuple[Axis, ...], rank: int) -> list[tuple[Axis, int]]:
    """Each axis that is not variadic, with its index in a shape of this rank, in the order of checking; none if it does not fit."""
    return [(axis, index) for index, axis in spread_axes(axes, rank) or ()]


def _solvable_text(factor: str, rest: str) -> str:
    """The sizes that an expression of this factor and rest can have."""
    if factor in ("1", "-1"):
        return f"at {'least' if factor == '1' else 'most'} {rest}"
    if rest == "0":
        return f"a multiple of {factor}"
    if factor.startswith("-"):
        return f"{rest} minus a multiple of {factor[1:]}"
    return (
        f"{rest[1:]} less than a multiple of {factor}"
        if rest.startswith("-")
        else f"{rest} more than a multiple of {factor}"
    )


def axis_name(axis: Axis) -> str:
    """The text that stands for an axis in errors."""
    return axis.label or axis.name or axis.text


def is_within(place: str, outer: str) -> bool:
    """True if one place is the same as another, or a part of it: `hx[0]` of `hx`."""
    return place == outer or place.startswith((f"{outer}[", f"{outer}."))


def size_text(size: Any) -> str:
    """A size, or the sizes of a `*name`."""
    return shape_text(tuple(size)) if isinstance(size, tuple | torch.Size) else str(size)


def unpacked(value: Snapshot) -> Snapshot:
    """A PackedSequence with the shape of the padded tensor; any other value as it is."""
    if not issubclass(value.cls, PackedSequence) or value.items is None:
        return value
    (_, data), (_, batch_sizes), (_, order), _ = value.items
    batch: Any = order.shape[0] if order.shape is not None else UNKNOWN
    if isinstance(value.value, PackedSequence):
        known = packed_shape(value.value)[0]
        batch = UNKNOWN if known is None else known
    longest = (batch_sizes.shape or (0,))[0]
    return dataclasses.replace(value, dtype=data.dtype, shape=(batch, longest, *(data.shape or ())[1:]))


UNKNOWN = "?"
"""The batch of a PackedSequence inside a trace, where only the values of a tensor hold it."""


def _any_rank(hint: UnionHint, tried: list[Findings]) -> list[Mismatch]:
    """One rank mismatch that lists the ranks of all options, if no option has the rank of the value; else nothing."""
    first = [findings.mismatches[0] for findings in tried]
    if len(first) == 1 or any(mismatch.kind != "rank" for mismatch in first):
        return []
    ranks = " or ".join(str(rank) for rank in sorted({mismatch.expected for mismatch in first}))
    return [dataclasses.replace(first[0], hint=hint, expected=ranks)]


def _badness(findings: Findings) -> tuple[bool, int]:
    return any(mismatch.kind == "rank" for mismatch in findings.mismatches), len(findings.mismatches)


def _follow(values: Mapping[str, Any], path: str) -> Any:
    first, *rest = path.split(".")
    value = values[first]
    for name in rest:
        value = getattr(value, name)
    return value
