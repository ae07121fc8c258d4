"""The typed layers and their contracts as a table: `python -m dimtyped layers`.

Everything is read from the layers' declarations. The documentation's page of layers is made from it too.
"""

from __future__ import annotations

import argparse
import inspect
import re
import typing
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from dimtyped import nn
from dimtyped.annotations import ArrayHint, ClassHint, Hint, ItemsHint, TupleHint, UnionHint, read_hint
from dimtyped.engine import Form
from dimtyped.nn.contract import Contract, Inputs, Layer, layer_classes, space_names

_Words: TypeAlias = tuple[str, ...]
_FAMILIES = (
    *("linear", "embedding", "embedding_bag", "tied", "recurrent", "recurrent_cells", "recurrent_state_bridge"),
    *("conv", "pooling", "norm", "attention", "transformer", "shape", "loss", "linear_loss"),
)
"""The files of the layers, in the order of the table."""
_BUFFERS = ("running_mean", "running_var")
_GROUPS = 7
_SPACES = [space_names(count) for count in (1, 2, 3)]
_SAMPLES: dict[str, Any] = {
    "GRU": lambda: nn.GRU(2, 3),
    "LSTM": lambda: nn.LSTM(2, 4, proj_size=3),
    "RNN": lambda: nn.RNN(2, 3),
    "LayerNorm": lambda: nn.LayerNorm(2),
    "RMSNorm": lambda: nn.RMSNorm(2),
    **{
        name: (lambda name=name: getattr(nn, name)(_GROUPS, _GROUPS, 1, groups=_GROUPS))
        for name in (f"Conv{kind}{count}d" for kind in ("", "Transpose") for count in (1, 2, 3))
    },
}
"""A sample of each layer whose parameters' axes depend on its arguments."""


@dataclass(frozen=True)
class Row:
    """Layers with equal contracts: their inputs, their output, and their parameters."""

    layers: tuple[str, ...]
    takes: tuple[str, ...]
    gives: str
    parameters: tuple[str, ...]


def rows() -> list[Row]:
    """The contract of each layer; layers with equal ones, such as Conv1d and Conv2d, share a row."""
    grouped: dict[tuple[Any, ...], list[str]] = {}
    for cls in sorted(layer_classes(), key=_family):
        contract = (_takes(cls), _gives(cls), _parameters(cls))
        grouped.setdefault((_family(cls), *contract), []).append(cls.__name__)
    return [Row(tuple(names), *contract) for (_, *contract), names in grouped.items()]


def run(_: argparse.Namespace) -> int:
    """Prints the table, for the command `layers`."""
    print(*shown(), sep="\n")
    return 0


def shown() -> Iterator[str]:
    """The rows for a terminal."""
    for row in rows():
        yield ", ".join(_ranks_together(row.layers))
        for what, lines in (("takes", row.takes), ("gives", (row.gives,)), ("parameters", row.parameters)):
            yield from (f"    {what if not index else '':<10}  {line}" for index, line in enumerate(lines) if line)
        yield ""


def _ranks_together(names: tuple[str, ...]) -> tuple[str, ...]:
    """`Conv1d`, `Conv2d` and `Conv3d` as `Conv1d, 2d, 3d`."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kind, rank = re.fullmatch(r"(.*?)(\dd)?", name).groups()  # type: ignore[union-attr]  # it matches everything
        kinds.setdefault(kind, []).append(rank or "")
    return tuple(f"{kind}{', '.join(ranks)}" for kind, ranks in kinds.items())


def _family(cls: type[Layer]) -> int:
    return _FAMILIES.index(cls.__module__.rpartition(".")[2])


# A contract as text ---------------------------------------------------------------------------------------------------


def _takes(cls: type[Layer]) -> tuple[str, ...]:
    shown = _shown_form(cls.contract)
    # a form with fewer arguments is a case of the form shown, such as self-attention
    others = [form.inputs or {} for form in cls.contract.calls if form is not shown and _is_other(form, shown)]
    parameters = inspect.signature(inspect.unwrap(cls.forward)).parameters
    inputs = (shown.inputs or {}).items()
    return tuple(_argument(name, hint, others) for name, hint in inputs if name in parameters)


def _is_other(form: Form, shown: Form) -> bool:
    return bool(form.inputs) and (form.rare or len(form.inputs or ()) >= len(shown.inputs or ()))


def _shown_form(contract: Contract) -> Form:
    """The call form with the batch first; most layers have only one form."""
    whens = ((form, form.when) for form in contract.calls if not form.rare and form.inputs)
    first = [
        form for form, when in whens if when is not None and any(path.endswith("batch_first") for path in when.paths)
    ]
    return max(first, key=lambda form: len(form.inputs or ())) if first else contract.last_usual


def _argument(name: str, annotation: Any, others: list[Inputs]) -> str:
    hint = read_hint(annotation)
    options = [option for form in others if name in form for option in _options(read_hint(form[name]))]
    pairs = [option for option in options if isinstance(option, TupleHint)]
    if any(isinstance(option, TupleHint) for option in _options(hint)):
        pairs = []
    known = {shape: 0 for option in options if option not in pairs for shape in _shapes(option)}
    usual = _shapes(hint)
    listed = [each for shape in usual for each in (shape, _without_batch(shape))]
    more = [_shape_text(shape, ()) for shape in known if not any(_is_like(shape, other) for other in listed)]
    text = [] if _is_none(hint) else [_text(hint, known)]
    texts = dict.fromkeys([*text, *more, *(_text(pair, ()) for pair in pairs)])
    return f"{name}{'?' if _is_optional(hint) else ''} {' or '.join(texts)}"


def _is_like(shape: _Words, shown: _Words) -> bool:
    """True if a shape differs from a shown one only in the order of its axes, or in axes of any size or of size 1."""
    if len(shape) != len(shown):
        return False
    is_special = all(word in ("_", "1", other) for word, other in zip(shape, shown, strict=True))
    return is_special or sorted(shape) == sorted(shown)


def _gives(cls: type[Layer]) -> str:
    shown = _shown_form(cls.contract)
    if shown.output is None:
        return ""
    hint = read_hint(shown.output)
    listed = [each for shape in _shapes(hint) for each in (shape, _without_batch(shape))]
    others = [read_hint(form.output) for form in cls.contract.calls if form.rare and form.output is not None]
    more = [other for other in others if not all(any(_is_like(s, t) for t in listed) for s in _shapes(other))]
    is_batched_or_not = any("[batch]" in text for text in _takes(cls)) and not isinstance(hint, UnionHint) and not more
    known = [_without_batch(shape) for shape in _shapes(hint)] if is_batched_or_not else ()
    return " or ".join(dict.fromkeys([_text(hint, known), *(_text(other, ()) for other in more)]))


def _shapes(hint: Hint) -> list[_Words]:
    match hint:
        case ArrayHint(axes=axes):
            return [tuple(axis.text for axis in axes)]
        case UnionHint(options=inner) | TupleHint(items=inner):
            return [shape for each in inner for shape in _shapes(each)]
        case ItemsHint(item=item):
            return _shapes(item)
        case _:
            return []


def _options(hint: Hint) -> tuple[Hint, ...]:
    return tuple(hint.options) if isinstance(hint, UnionHint) else (hint,)


def _without_batch(words: _Words) -> _Words:
    return tuple(word.removeprefix("batch*") for word in words if word != "batch")


def _text(hint: Hint, known: Collection[_Words]) -> str:
    """A hint as text; `known` holds the shapes that it may also have without the batch."""
    match hint:
        case ArrayHint():
            return _shape_text(_shapes(hint)[0], known)
        case UnionHint(options=options):
            kept = [option for option in options if not _is_none(option)]
            all_known = [*known, *(shape for option in kept for shape in _shapes(option))]
            texts = list(dict.fromkeys(_text(option, all_known) for option in kept))
            return " or ".join(text for text in texts if not _is_covered(text, texts))
        case TupleHint(items=items):
            return f"({', '.join(_text(item, known) + ('?' if _is_optional(item) else '') for item in items)})"
        case ItemsHint(cls=cls, item=item):
            return f"{cls.__name__} of {_text(item, known)}"
        case _:
            origin = typing.get_origin(hint.annotation)
            named: Any = origin if isinstance(origin, type) else hint.annotation
            return str(getattr(named, "__name__", named))


def _is_covered(text: str, texts: list[str]) -> bool:
    """True if another text is the same with an optional batch."""
    return any(other != text and other.replace("[batch], ", "").replace("[batch]", "") == text for other in texts)


def _is_none(hint: Hint) -> bool:
    return isinstance(hint, ClassHint) and hint.cls is type(None)


def _is_optional(hint: Hint) -> bool:
    return _is_none(hint) or (isinstance(hint, UnionHint) and any(_is_none(option) for option in hint.options))


def _shape_text(words: _Words, known: Collection[_Words]) -> str:
    if any("batch" in word for word in words) and _without_batch(words) in known:
        words = tuple("[batch]" if word == "batch" else word.replace("batch*", "[batch*]") for word in words)
    return f"({', '.join(_spaced(words))})"


def _spaced(words: _Words) -> _Words:
    """The spatial axes that follow the channels, one to three, as one."""
    place = next((index + 1 for index, word in enumerate(words) if "channels" in word), 0)
    for prefix in ("", "out_"):
        if (
            place
            and "..." not in words
            and words[place:] in [tuple(prefix + name for name in each) for each in _SPACES]
        ):
            return (*words[:place], f"*{prefix}space")
    return words


def _parameters(cls: type[Layer]) -> tuple[str, ...]:
    contract: Contract = cls.contract
    declared = {name: axes for name, axes in contract.parameters.items() if name not in _BUFFERS}
    if cls.__name__ in _SAMPLES:
        layer: Any = _SAMPLES[cls.__name__]()
        found = {name: layer._dim_parameter_axes(name) for name in layer._parameters}
        declared = {name: axes.replace(f"//{_GROUPS}", "//groups") for name, axes in found.items() if axes}
    alike: dict[str, list[str]] = {}
    for name, axes in declared.items():
        shape = _shape_text(tuple(_kernel(axis) for axis in axes.split()), ())
        alike.setdefault(re.sub(r"\*kernel(, \*kernel)+", "*kernel", shape), []).append(name)
    return tuple(f"{', '.join(names)} {shape}" for shape, names in alike.items())


def _kernel(axis: str) -> str:
    return "*kernel" if axis.startswith("kernel_") else axis


__all__ = ["Row", "rows", "run", "shown"]
