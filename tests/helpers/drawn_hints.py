"""Random annotations over jaxtyping's grammar.

An axis is a text in which `<n>` marks a name that one size binds: `#<n>`, `2*<n>`, `min(<n>,<m>)`, `*rest`,
`{self.width}-1`. So a test can also fill in the names that a module or `typed(dims=...)` declares, and raw jaxtyping's
verdict on the filled text does not depend on our engines.
"""

import dataclasses
import inspect
import itertools
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypedDict, TypeVar, Union

import jaxtyping
import torch
from hypothesis import strategies as st
from torch import Tensor

from dimtyped import Packed

NAMES = ("a", "b", "n", "m", "c", "in")  # `in`: a Python keyword is a name like any other
RUNS = ("rest", "n")  # a run of axes and one axis may share a name, and have nothing to do with each other
EXPRESSIONS = (
    "<{0}>+1",
    "2*<{0}>",
    "<{0}>-1",
    "<{0}>//2",
    "<{0}>+<{1}>",
    "min(<{0}>,<{1}>)",
    "<{0}>//<{1}>",
    "(<{0}>+1)*<{1}>",
    "sum((<{0}>,<{1}>))",
)
PLACEHOLDERS = (
    "{{{0}}}",
    "{{{0}}}-1",
    "2*{{{0}}}",
    "{{{0}}}+<{1}>",
    "{{{0}}}*{{{0}}}",
    "#{{{0}}}",
    "x{{{0}}}",
    "{{{0}}}0",
)
SIZES = st.integers(0, 4)
FEW_SIZES = st.lists(SIZES, max_size=2).map(tuple)
NOTHING = inspect.Parameter.empty
_numbers = itertools.count()


class Floating(jaxtyping.AbstractDtype):
    """Dtypes by a pattern, as a user may write them."""

    dtypes = [re.compile(r"b?float\d+")]  # noqa: RUF012


def _makeable(dtype: torch.dtype) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # complex32 is experimental, torch says once
            torch.empty(1, dtype=dtype)
    except (RuntimeError, TypeError, NotImplementedError):
        return False
    return True


_all_dtypes = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}
TORCH_DTYPES = tuple(value for _, value in sorted(_all_dtypes.items()) if _makeable(value))
DTYPES = (
    Floating,
    *(
        value
        for value in vars(jaxtyping).values()
        if isinstance(value, type)
        and issubclass(value, jaxtyping.AbstractDtype)
        and value is not jaxtyping.AbstractDtype
    ),
)
FITTING = {
    wanted: tuple(d for d in TORCH_DTYPES if isinstance(torch.empty((), dtype=d), wanted[Tensor, ""]))
    for wanted in DTYPES
}
dtypes = st.sampled_from([jaxtyping.Float] * 8 + [jaxtyping.Int, jaxtyping.Bool] * 2) | st.sampled_from(DTYPES)


@dataclass(frozen=True)
class Array:
    """`Float[Tensor, "n m"]`; with `inner` axes in an annotation of their own, `Float[Shaped[Tensor, "m"], "n"]`."""

    dtype: Any
    axes: tuple[str, ...]
    array: type = Tensor
    inner: int = 0

    def annotation(self, declared: Mapping[str, int]) -> Any:
        texts = [filled(axis, declared) for axis in self.axes]
        outer = max(len(texts) - self.inner, 0)
        array = jaxtyping.Shaped[self.array, " ".join(texts[outer:])] if self.inner else self.array
        return self.dtype[array, " ".join(texts[:outer])]


@dataclass(frozen=True)
class Padded:
    """`Packed[A]`."""

    item: Array

    def annotation(self, declared: Mapping[str, int]) -> Any:
        return Packed[self.item.annotation(declared)]


@dataclass(frozen=True)
class Alias:
    """Another way to write a hint."""

    kind: str
    item: Any
    name: str = field(default_factory=lambda: f"Alias{next(_numbers)}")

    def annotation(self, declared: Mapping[str, int]) -> Any:
        item = self.item.annotation(declared)
        match self.kind:
            case "new type":
                return NewType(self.name, item)
            case "type variable":
                return TypeVar(self.name, bound=item)
            case "annotated":
                return Annotated[item, "a note"]


@dataclass(frozen=True)
class Plain:
    """A hint without tensors, values that fit it and one that does not."""

    hint: Any
    fitting: tuple[Any, ...]

    def annotation(self, _: Mapping[str, int]) -> Any:
        return self.hint


@dataclass(frozen=True)
class OneOf:
    """A union whose options no value can mistake for another: see `unions`."""

    options: tuple[Any, ...]

    def annotation(self, declared: Mapping[str, int]) -> Any:
        return Union[tuple(option.annotation(declared) for option in self.options)]


@dataclass(frozen=True)
class Row:
    """`tuple[A, B]`."""

    items: tuple[Any, ...]

    def annotation(self, declared: Mapping[str, int]) -> Any:
        return tuple[tuple(item.annotation(declared) for item in self.items)]


@dataclass(frozen=True)
class Items:
    """`list[A]`, `tuple[A, ...]`, `Sequence[A]`."""

    cls: Any
    item: Any

    def annotation(self, declared: Mapping[str, int]) -> Any:
        item = self.item.annotation(declared)
        return tuple[item, ...] if self.cls is tuple else self.cls[item]


@dataclass(frozen=True)
class Table:
    """`dict[str, A]`."""

    cls: Any
    value: Any

    def annotation(self, declared: Mapping[str, int]) -> Any:
        return self.cls[str, self.value.annotation(declared)]


@dataclass(frozen=True)
class Record:
    """A NamedTuple, a dataclass or a TypedDict; its class is made once, without names filled in."""

    fields: tuple[Any, ...]
    cls: Any

    def annotation(self, _: Mapping[str, int]) -> Any:
        return self.cls


RECORDS = ("named tuple", "dataclass", "typed dict", "partial dict")


def record(fields: Sequence[Any], kind: str) -> Record:
    """A record class of a name of its own: beartype takes `list[Pair]` and `list[Pair]` for the same hint."""
    hints = {f"field{index}": hint.annotation({}) for index, hint in enumerate(fields)}
    name = f"Record{next(_numbers)}"
    match kind:
        case "named tuple":
            cls: Any = NamedTuple(name, list(hints.items()))
        case "dataclass":
            cls = dataclasses.make_dataclass(name, list(hints.items()))
        case _:
            cls = TypedDict(name, hints, total=kind == "typed dict")  # type: ignore[misc]  # of hints made here
    return Record(tuple(fields), cls)


def filled(axis: str, declared: Mapping[str, int]) -> str:
    return re.sub("<(.*?)>", lambda match: str(declared.get(match[1], match[1])), axis)


def inside(hint: Any) -> Iterator[Any]:
    """A hint and every hint in it."""
    yield hint
    parts = {OneOf: "options", Row: "items", Record: "fields"}
    for part in getattr(hint, parts.get(type(hint), ""), ()):
        yield from inside(part)
    for part in (
        getattr(hint, name)
        for name in ("item", "value")
        if isinstance(hint, Items | Table | Alias | Padded) and hasattr(hint, name)
    ):
        yield from inside(part)


@st.composite
def axes(draw: Any, paths: Sequence[str]) -> tuple[str, ...]:
    texts = [draw(single_axes(paths)) for _ in range(draw(st.integers(0, 3)))]
    if draw(st.integers(0, 3)) == 0:
        run = draw(st.sampled_from(["...", "*_", *(f"*{name}" for name in RUNS), *(f"*#{name}" for name in RUNS)]))
        texts.insert(draw(st.integers(0, len(texts))), run)
    return tuple(texts)


def single_axes(paths: Sequence[str]) -> st.SearchStrategy[str]:
    name = st.sampled_from([*NAMES, *"nnnnmmm"])  # mostly the same few: so they meet again
    named = name.map("<{}>".format)
    usable = st.sampled_from([*"nnnnmmmab"])  # `in+1` is no Python
    expression = st.builds(str.format, st.sampled_from(EXPRESSIONS), usable, usable)
    kinds = [named] * 12
    kinds += [
        named.map("#{}".format),
        SIZES.map(str),
        st.just("_"),
        st.sampled_from(["_skipped", "rows=3", "#2", "#cols=2"]),
    ]
    kinds += [expression, expression, expression.map("#{}".format)]
    if paths:
        path = st.sampled_from(paths)
        placed = st.builds(str.format, st.sampled_from(PLACEHOLDERS), path, usable)
        kinds += [placed, placed, placed]
    return st.one_of(kinds)


def arrays(paths: Sequence[str] = ()) -> st.SearchStrategy[Array]:
    array = st.sampled_from([Tensor] * 12 + [torch.nn.Parameter])
    return st.builds(Array, dtypes, axes(paths), array, st.sampled_from([0] * 12 + [1, 2]))


def padded(paths: Sequence[str]) -> st.SearchStrategy[Padded]:
    two = st.lists(single_axes(paths), min_size=2, max_size=2).map(tuple)
    whole = st.tuples(two, axes(paths)).map(lambda parts: (*parts[0], *parts[1]))
    return st.builds(Array, dtypes, whole).map(Padded)


plains = st.sampled_from(
    [
        Plain(int, (3, True)),
        Plain(float, (2.5,)),
        Plain(str, ("text",)),
        Plain(bool, (False,)),
        Plain(Any, (None, 3)),
        Plain(object, ("text",)),
        Plain(None, (None,)),
        Plain(int | None, (None, 4)),
        Plain(Optional[str], (None, "text")),
        Plain(list[int], ([], [4])),
        Plain(Literal["mean", "sum"], ("mean",)),
        Plain(Callable[..., Any], (len,)),
        Plain(tuple[int, str], ((3, "text"),)),
        Plain(Tensor, (torch.zeros(2),)),
    ]
)


def unions(paths: Sequence[str]) -> st.SearchStrategy[OneOf]:
    """Unions in which at most one option fits whatever is given.

    beartype may try the options in any order, and jaxtyping keeps what the first items of a refused tuple or list
    have bound. So where two options could fit one value, or begin to, the verdict is beartype's luck.
    """
    kinds = [jaxtyping.Float32, jaxtyping.Int, jaxtyping.Bool, jaxtyping.Complex]
    of_kind = [st.builds(Array, st.just(kind), axes(paths)) for kind in kinds]
    item = arrays(paths)
    apart = [
        *of_kind,
        st.sampled_from([Plain(None, (None,)), Plain(int, (3,)), Plain(str, ("text",))]),
        st.builds(Items, st.just(list), item),
        st.builds(Row, st.lists(item, min_size=1, max_size=2).map(tuple)),
        st.builds(Table, st.just(dict), item),
    ]
    chosen = st.lists(st.sampled_from(range(len(apart))), min_size=2, max_size=3, unique=True)
    return chosen.flatmap(lambda indices: st.tuples(*(apart[index] for index in indices))).map(OneOf)


def hints(paths: Sequence[str] = ()) -> st.SearchStrategy[Any]:
    array = arrays(paths)
    optional = array.map(lambda hint: OneOf((hint, Plain(None, (None,)))))
    flat = st.one_of(array, array, array, optional, plains)
    one_deep, two_deep = containers(flat), containers(containers(flat))
    alias = st.builds(Alias, st.sampled_from(["new type", "type variable", "annotated"]), array | optional)
    usual = [array, array, array, array, array, optional, optional]
    return st.one_of(*usual, unions(paths), one_deep, two_deep, plains, alias, padded(paths))


def containers(item: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(item, min_size=1, max_size=3)
    return st.one_of(
        st.builds(Row, some.map(tuple)),
        st.builds(Items, st.sampled_from([list, tuple, Sequence]), item),
        st.builds(Table, st.sampled_from([dict, Mapping]), item),
        st.builds(record, some, st.sampled_from(RECORDS)),
    )


def annotation_text_of(hint: Any) -> str:
    """An annotation as a failing example shows it, with the fields of a record."""
    if isinstance(hint, Record):
        return f"{hint.cls.__name__}({', '.join(map(annotation_text_of, hint.fields))})"
    inner = list(inside(hint))[1:]
    if isinstance(hint, Alias):
        return f"{hint.kind}[{annotation_text_of(hint.item)}]"
    if any(isinstance(part, Record) for part in inner):
        return f"{type(hint).__name__}[{getattr(hint, 'cls', '')} {', '.join(map(annotation_text_of, inner))}]"
    return str(hint.annotation({}))


def evaluates(hint: Any) -> bool:
    """Whether an expression is in it: what that comes to depends on what was checked before."""
    return any(
        re.search(r"[-+*/({].", axis) for array in inside(hint) if isinstance(array, Array) for axis in array.axes
    )
