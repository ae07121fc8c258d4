"""Fixes of recurrent layers' states and inputs, if the layer or the model around it shows the cause."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from dimtyped.diagnosis.fixes.fix import Fix, FixContext, reshaped, sizes_of, subject
from dimtyped.diagnosis.snapshots import Snapshot


def pair(context: FixContext) -> Iterator[Fix]:
    """`(h, c)` given to a layer that takes only h, and the reverse."""
    layer, place = context.owner, context.places[0]
    if not isinstance(layer, torch.nn.RNNBase) or place != "hx":
        return
    value = context.argument(place)
    if value is None:
        return
    if layer.mode != "LSTM" and value.items is not None and len(value.items) == 2:
        text = f"It is the (h, c) of an LSTM; {_article(layer)} takes h alone: `hx[0]` fits."
        yield Fix(text, {place: "hx[0]"}, {place: value.items[0][1]})
    if layer.mode == "LSTM" and value.shape is not None:
        zeros = Snapshot(value.cls, dtype=value.dtype, shape=value.shape)
        both = Snapshot(tuple, items=((0, value), (1, zeros)))
        text = "An LSTM's state is a pair (h, c): `(hx, torch.zeros_like(hx))` starts c from zeros."
        yield Fix(text, {place: "(hx, torch.zeros_like(hx))"}, {place: both})


def batch_first(context: FixContext) -> Iterator[Fix]:
    """An input whose axes contradict `batch_first`."""
    layer = context.owner
    value = context.argument("input")
    if not isinstance(layer, torch.nn.RNNBase) or value is None or len(sizes_of(value) or ()) != 3:
        return
    first, second, width = sizes_of(value) or (0, 0, 0)
    given, flag = ("batch first", "True") if not layer.batch_first else ("sequence first", "False")
    text = (
        f"Is `input` {given}? Then make this {type(layer).__name__}(..., batch_first={flag}), "
        "or `input.permute(1, 0, 2)` fits."
    )
    changed = reshaped(value, (second, first, width))
    yield Fix(text, {"input": "input.permute(1, 0, 2)"}, {"input": changed})


def batch_first_of_outer_calls(context: FixContext) -> Iterator[Fix]:
    """The same fix, if the enclosing calls agree with the batch of the state."""
    if context.outer_calls_disagree and context.places[0].partition("[")[0] == "hx":
        yield from batch_first(context)


def one_step(context: FixContext) -> Iterator[Fix]:
    """One step of a batch, (batch, embed), which looks like an unbatched sequence; the state shows that it is a batch."""
    layer, value = context.owner, context.argument("input")
    parts = _parts(context.argument("hx"))
    shape = sizes_of(value) if value is not None else None
    if not isinstance(layer, torch.nn.RNNBase) or value is None or shape is None or len(shape) != 2:
        return
    if [sizes_of(part) for part in parts] == _state_shapes(layer, shape[0]) and shape[1] == layer.input_size:
        axis = 1 if layer.batch_first else 0
        code = f"input.unsqueeze({axis})"
        changed = reshaped(value, (shape[0], 1, shape[1]) if axis else (1, *shape))
        text = f"Without an axis `seq` it is one unbatched sequence: `{code}` makes it one step of a batch."
        yield Fix(text, {"input": code}, {"input": changed}, is_other_form=True)


def unbatched_state(context: FixContext) -> Iterator[Fix]:
    """A state with a batch axis for an input without one."""
    value = context.argument("input")
    if isinstance(context.owner, torch.nn.RNNBase) and value is not None and len(sizes_of(value) or ()) == 2:
        rule = "`input` has no batch axis, so the state has none either: `{}` fits."
        yield from _state_fixes(context, _without_batch, "squeeze(1)", rule)


def both_directions(context: FixContext) -> Iterator[Fix]:
    """The final state of a bidirectional layer for a layer that is as wide as both directions."""
    wrong, shape = context.mismatches[0], sizes_of(context.mismatches[0].value) or ()
    if wrong.kind != "size" or len(shape) != 3 or wrong.axis != 2 or isinstance(context.owner, torch.nn.RNNBase):
        return
    found = _source_of(context, (wrong.value,), is_part=True)
    if found is None or not found[1].bidirectional or wrong.expected != 2 * shape[2]:
        return
    code = f"torch.cat([{wrong.place}[-2], {wrong.place}[-1]], -1)"
    text = (
        f"It is the final state of the bidirectional `{found[0]}`: `{code}` joins the two directions of its last layer; "
        "its first result is the outputs of all steps."
    )
    changed = Snapshot(wrong.value.cls, dtype=wrong.value.dtype, shape=(shape[1], 2 * shape[2]))
    yield Fix(text, {wrong.place: code}, {wrong.place: changed})


def state_order(context: FixContext) -> Iterator[Fix]:
    """A state in batch-first order: `batch_first` does not move it."""
    layer = context.owner
    if not isinstance(layer, torch.nn.RNNBase):
        return
    rule = "A state is (layers, batch, hidden) whatever batch_first says: `{}` fits."
    yield from _state_fixes(context, _swap_front, "permute(1, 0, 2)", rule)


def smaller_batch(context: FixContext) -> Iterator[Fix]:
    """A state kept from a batch of another size, such as the one before a smaller last batch."""
    wrong = context.mismatches[0]
    have, want = wrong.actual, wrong.expected
    if wrong.kind != "size" or wrong.axis != 1 or not isinstance(have, int) or not isinstance(want, int):
        return
    argument = wrong.place.partition("[")[0]
    if context.outer_calls_disagree or not _is_state(context, wrong.value, want):
        return
    if have > want:
        rule = "Is this a smaller last batch? `{}` cuts the state; DataLoader(..., drop_last=True) skips such a batch."
        yield from _state_fixes(context, lambda part: _cut(part, want), f"[:, :{want}].contiguous()", rule, argument)
    elif isinstance(context.owner, torch.nn.RNNBase):
        text = f"The state belongs to another batch: without `{argument}` this one starts from zeros."
        yield Fix(text, {argument: "None"}, {argument: Snapshot(type(None), text="None")})


def bridge(context: FixContext) -> Iterator[Fix]:
    """A state with another number of layers or directions, or another width: StateBridge maps it."""
    argument = context.places[0].partition("[")[0]
    value = context.argument(argument)
    parts = _parts(value)
    is_input = isinstance(context.owner, torch.nn.RNNBase) and argument != "hx"
    if value is None or not parts or is_input:
        return
    if any(part.dtype is None or not part.dtype.is_floating_point for part in parts):
        return
    for path, target in _layers_in(context.owner):
        made = _first_state(target, parts)
        if made is None:
            continue
        source = _source_of(context, parts)
        own = _path_in(context.root, target) or path
        if source is None:
            root = type(context.root).__name__.lower()
            code = f"nn.StateBridge(source, {own if '.' in own else f'{root}.{own}'.rstrip('.')})"
            text = f"If it is the final state of another layer, `{code}` learns the map."
        else:
            code = f"nn.StateBridge({source[0]}, {own})"
            text = f"It is {_difference(source, parts[0], made)}: `{code}` learns the map between the two."
        yield Fix(text, {argument: f"{code}({argument})"}, {argument: made})


def _state_fixes(context: FixContext, change: Any, code: str, rule: str, argument: str = "hx") -> Iterator[Fix]:
    """Applies one change to a state, or to both parts of an LSTM's state."""
    value = context.argument(argument)
    joint = code if code.startswith("[") else f".{code}"
    if value is None:
        return
    if value.items is None:
        changed = change(value)
        if changed is not None:
            yield Fix(rule.format(f"{subject(argument)}{joint}"), {argument: f"{argument}{joint}"}, {argument: changed})
        return
    parts = [change(item) for _, item in value.items]
    if all(part is not None for part in parts):
        written = f"tuple(part{joint} for part in {argument})"
        yield Fix(rule.format(written), {argument: written}, {argument: Snapshot(tuple, items=tuple(enumerate(parts)))})


def _swap_front(value: Snapshot) -> Snapshot | None:
    shape = sizes_of(value)
    return reshaped(value, (shape[1], shape[0], shape[2])) if shape is not None and len(shape) == 3 else None


def _without_batch(value: Snapshot) -> Snapshot | None:
    shape = sizes_of(value) or ()
    return reshaped(value, (shape[0], shape[2])) if len(shape) == 3 and shape[1] == 1 else None


def _cut(value: Snapshot, size: int) -> Snapshot | None:
    shape = sizes_of(value)
    return reshaped(value, (shape[0], size, *shape[2:])) if shape is not None and len(shape) == 3 else None


# Layers with such a state ---------------------------------------------------------------------------------------------


def _parts(value: Snapshot | None) -> tuple[Snapshot, ...]:
    """The tensors of a state: h, or h and c."""
    if value is None:
        return ()
    if value.items is not None:
        parts = tuple(item for _, item in value.items)
        return parts if len(parts) == 2 and all(sizes_of(part) for part in parts) else ()
    return (value,) if sizes_of(value) is not None else ()


def _is_state(context: FixContext, value: Snapshot, batch: int) -> bool:
    """True if a tensor with this batch would be the state of a recurrent layer of the called module."""
    shape = sizes_of(value) or ()
    if len(shape) != 3:
        return False
    wanted = (shape[0], batch, shape[2])
    return any(wanted in _state_shapes(layer, batch) for _, layer in _layers_in(context.owner))


def _layers_in(owner: Any) -> list[tuple[str, torch.nn.RNNBase]]:
    """The recurrent layers of a module, with their paths; the layer itself has none."""
    if not isinstance(owner, torch.nn.Module):
        return []
    return [(name, module) for name, module in owner.named_modules() if isinstance(module, torch.nn.RNNBase)]


def _state_shapes(layer: torch.nn.RNNBase, *batch: int) -> list[tuple[int, ...]]:
    """The shapes of h and, for an LSTM, of c."""
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    shapes = [(count, *batch, layer.proj_size or layer.hidden_size)]
    return [*shapes, (count, *batch, layer.hidden_size)] if layer.mode == "LSTM" else shapes


def _first_state(target: torch.nn.RNNBase, parts: tuple[Snapshot, ...]) -> Snapshot | None:
    """The state that a bridge would make for this layer; None if the value does not have the rank of a state."""
    shape = sizes_of(parts[0]) or ()
    if len(shape) not in (2, 3):
        return None
    made = [reshaped(parts[0], wanted) for wanted in _state_shapes(target, *shape[1:-1])]
    return made[0] if len(made) == 1 else Snapshot(tuple, items=tuple(enumerate(made)))


def _source_of(
    context: FixContext, parts: tuple[Snapshot, ...], *, is_part: bool = False
) -> tuple[str, torch.nn.RNNBase] | None:
    """The one layer of the running model whose final state, or first part of it, has these shapes; else None."""
    shapes = [sizes_of(part) or () for part in parts]
    batch = shapes[0][1:-1]
    states = [(path, layer, _state_shapes(layer, *batch)) for path, layer in _layers_in(context.root)]
    found = [(path, layer) for path, layer, of in states if (of[: len(shapes)] if is_part else of) == shapes]
    return found[0] if len(found) == 1 else None


def _path_in(root: Any, layer: torch.nn.Module) -> str:
    return next((name for name, module in _layers_in(root) if module is layer), "")


def _difference(source: tuple[str, torch.nn.RNNBase], given: Snapshot, made: Snapshot) -> str:
    """The difference between the source's state and the wanted one, in words."""
    path, layer = source
    have: tuple[int, ...] = sizes_of(given) or (0,)
    want: tuple[int, ...] = sizes_of(made if made.items is None else made.items[0][1]) or (0,)
    if have[0] != want[0]:
        kind = "bidirectional" if layer.bidirectional else f"{layer.num_layers}-layer"
        return f"the final state of the {kind} `{path}`"
    if have[-1] != want[-1]:
        return f"the final state of `{path}`, which is {'narrower' if have[-1] < want[-1] else 'wider'}"
    return f"the final state of `{path}`, of another kind"


def _article(layer: torch.nn.RNNBase) -> str:
    name = type(layer).__name__
    return f"{'an' if name[0] in 'AEIORL' else 'a'} {name}"
