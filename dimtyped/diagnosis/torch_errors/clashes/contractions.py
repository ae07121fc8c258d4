"""Products: the axes that are summed must have one size, and so must the axes of batches."""

from __future__ import annotations

import string
from collections.abc import Iterator

from dimtyped.diagnosis.torch_errors.failure import (
    Clash,
    Failure,
    Mark,
    Operand,
    broadcast_clashes,
    count,
    joined,
    meeting,
    phrase,
    ranks,
)
from dimtyped.diagnosis.torch_errors.stand_ins import Label

_RANKS = {"bmm": (3, 3), "mm": (2, 2), "mv": (2, 1), "dot": (1, 1), "vdot": (1, 1), "outer": (1, 1), "ger": (1, 1)}
_RANKS_ADDED = {"addmm": (2, 2), "baddbmm": (3, 3), "addmv": (2, 1), "addbmm": (3, 3), "addr": (1, 1)}


def product(failure: Failure) -> Clash | None:
    """`a @ b` and its like; the two factors come last."""
    adds = failure.name in _RANKS_ADDED
    first, second = failure.operand(adds, "input", "self"), failure.operand(adds + 1, "other", "mat2", "vec", "tensor")
    if first is None or second is None:
        return None
    wanted = (_RANKS_ADDED if adds else _RANKS).get(failure.name)
    if (wanted and wanted != (first.rank, second.rank)) or not (first.rank and second.rank):
        need = "" if not wanted else f"; {failure.name} takes {wanted[0]} and {wanted[1]}"
        return Clash(ranks(first, second) + need)
    added = failure.operand(0, "input") if adds else None
    if failure.name in ("outer", "ger", "addr"):
        return None
    found = [*_summed(first, second, is_inner=failure.name == "inner"), *_batches(first, second)]
    return joined(found or list(_added(added, first, second)))


def _summed(first: Operand, second: Operand, *, is_inner: bool) -> Iterator[Clash]:
    axis = -2 if second.rank > 1 and not is_inner else -1
    if first.sizes[-1] != second.sizes[axis]:
        yield meeting(first, -1, second, axis)


def _batches(first: Operand, second: Operand) -> Iterator[Clash]:
    for axis in range(-3, -min(first.rank, second.rank) - 1, -1):
        sizes = first.sizes[axis], second.sizes[axis]
        if sizes[0] != sizes[1] and 1 not in sizes:
            yield meeting(first, axis, second, axis)


def _added(added: Operand | None, first: Operand, second: Operand) -> Iterator[Clash]:
    if added is None:
        return
    made = [*first.labels[:-1], *second.labels[-1:]] if second.rank > 1 else [*first.labels[:-1]]
    for axis in range(-1, -min(added.rank, len(made)) - 1, -1):
        if added.sizes[axis] not in (1, made[axis].size):
            mark = Mark(added, axis % added.rank, f"must be {made[axis].size}")
            yield Clash(f"{phrase(added.labels[axis])} meets {phrase(made[axis])}", (mark,), (added.labels[axis],))


def linear(failure: Failure) -> Clash | None:
    """`linear(x, weight, bias)`: the weight is (out, in)."""
    x, weight, bias = failure.operand(0, "input"), failure.operand(1, "weight"), failure.operand(2, "bias")
    if x is None or weight is None or not x.rank or not weight.rank:
        return None
    found: list[Clash] = []
    if x.sizes[-1] != weight.sizes[-1]:
        found.append(meeting(x, -1, weight, -1, is_second_wrong=False))
    if bias is not None and bias.rank == 1 and weight.rank == 2 and bias.sizes[0] != weight.sizes[0]:
        found.append(meeting(weight, 0, bias, 0))
    return joined(found)


def bilinear(failure: Failure) -> Clash | None:
    """`bilinear(x, y, weight)`: the weight is (out, in of x, in of y)."""
    x, y, weight = failure.operand(0), failure.operand(1), failure.operand(2, "weight")
    if x is None or y is None or weight is None or weight.rank != 3:
        return None
    pairs = ((x, 1), (y, 2))
    return joined(
        [
            meeting(operand, -1, weight, axis, is_second_wrong=False)
            for operand, axis in pairs
            if operand.rank and operand.sizes[-1] != weight.sizes[axis]
        ]
    )


def einsum(failure: Failure) -> Clash | None:
    """`einsum("bqd,bkd->bqk", q, k)`: a letter has one size, and an operand an axis for each of its letters."""
    equation = failure.arg(0, "equation")
    if not isinstance(equation, str):
        return None
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    if len(terms) != len(failure.operands):
        given = count(len(failure.operands), "operand", "operands")
        return Clash(f"{count(len(terms), 'term', 'terms')} for {given}")
    seen: dict[str, tuple[Operand, int]] = {}
    found: list[Clash] = []
    for term, operand in zip(terms, failure.operands, strict=True):
        places = letters_of(term, operand.rank)
        if places is None:
            return Clash(f"`{term}` names {len(term.replace('...', ''))} axes, {ranks(operand)}")
        for letter, axis in places:
            other = seen.setdefault(letter, (operand, axis))
            if other[0].sizes[other[1]] != operand.sizes[axis] and 1 not in (
                other[0].sizes[other[1]],
                operand.sizes[axis],
            ):
                clash = meeting(other[0], other[1], operand, axis)
                found.append(Clash(f"`{letter}` is {_both(clash.labels)}", clash.marks, clash.labels))
    return joined(found)


def letters_of(term: str, rank: int) -> list[tuple[str, int]] | None:
    """Each letter of a term of einsum with the index of its axis; None if they do not fit the rank."""
    before, dots, behind = term.partition("...")
    letters = [letter for letter in before + behind if letter in string.ascii_letters]
    if len(letters) != len(before + behind) or (len(letters) > rank if dots else len(letters) != rank):
        return None
    return [*zip(before, range(rank), strict=False), *zip(behind, range(rank - len(behind), rank), strict=True)]


def _both(labels: tuple[Label, ...]) -> str:
    return " and ".join(phrase(label) for label in labels)


def attention(failure: Failure) -> Clash | None:
    """`scaled_dot_product_attention(query, key, value, mask)`."""
    query, key, value = (failure.operand(i, name) for i, name in enumerate(("query", "key", "value")))
    mask = failure.operand(3, "attn_mask")
    if query is None or key is None or value is None or min(query.rank, key.rank, value.rank) < 2:
        return None
    found: list[Clash] = []
    if query.sizes[-1] != key.sizes[-1]:
        found.append(meeting(query, -1, key, -1))
    if key.sizes[-2] != value.sizes[-2]:
        found.append(meeting(key, -2, value, -2))
    found += [*_batches(query, key), *_batches(key, value)]
    if mask is not None and mask.rank >= 2:
        for axis, (operand, place) in {-1: (key, -2), -2: (query, -2)}.items():
            if mask.sizes[axis] not in (1, operand.sizes[place]):
                found.append(meeting(operand, place, mask, axis))
        for axis in range(-3, -min(mask.rank, query.rank) - 1, -1):
            found += [c for c in (meeting(query, axis, mask, axis),) if mask.sizes[axis] not in (1, query.sizes[axis])]
    return joined(found) or joined(list(broadcast_clashes([query, key])))
