"""Random signatures over jaxtyping's grammar, and calls of them: right, and wrong in one or more ways.

An axis is a text in which `<n>` marks a name that one size binds: `#<n>`, `2*<n>`, `min(<n>,<m>)`, `*rest`,
`{self.width}-1`. So the names that a module or `typed(dims=...)` declares can be filled in here too, and what raw
jaxtyping makes of the filled text is a verdict that owes nothing to our engines.
"""

import dataclasses
import inspect
import itertools
import re
import types
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Optional, Union

import jaxtyping
import torch
from hypothesis import strategies as st
from torch import Tensor

from dimtyped import Dim

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


# What is annotated ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Array:
    """`Float[Tensor, "n m"]`."""

    dtype: Any
    axes: tuple[str, ...]
    array: type = Tensor

    def annotation(self, declared: Mapping[str, int]) -> Any:
        return self.dtype[self.array, " ".join(filled(axis, declared) for axis in self.axes)]


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
    """A NamedTuple or a dataclass; its class is made once, without names filled in."""

    fields: tuple[Any, ...]
    cls: Any

    def annotation(self, _: Mapping[str, int]) -> Any:
        return self.cls


def record(fields: Sequence[Any], *, named_tuple: bool) -> Record:
    """A record class of a name of its own: beartype takes `list[Pair]` and `list[Pair]` for the same hint."""
    typed_fields = [(f"field{index}", hint.annotation({})) for index, hint in enumerate(fields)]
    name = f"Record{next(_numbers)}"
    cls = NamedTuple(name, typed_fields) if named_tuple else dataclasses.make_dataclass(name, typed_fields)
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
        getattr(hint, name) for name in ("item", "value") if isinstance(hint, Items | Table) and hasattr(hint, name)
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
    return st.builds(Array, dtypes, axes(paths), array)


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
    return st.one_of(array, array, array, array, array, optional, optional, unions(paths), one_deep, two_deep, plains)


def containers(item: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(item, min_size=1, max_size=3)
    return st.one_of(
        st.builds(Row, some.map(tuple)),
        st.builds(Items, st.sampled_from([list, tuple, Sequence]), item),
        st.builds(Table, st.sampled_from([dict, Mapping]), item),
        st.builds(lambda fields, named: record(fields, named_tuple=named), some, st.booleans()),
    )


# What is given --------------------------------------------------------------------------------------------------------


@dataclass
class World:
    """What each name is in one call, and which of its values have a flaw, by the order in which they are made."""

    sizes: Mapping[str, int]
    runs: Mapping[str, tuple[int, ...]]
    values: dict[str, Any]
    flaws: Sequence[int] = ()
    made: int = 0


def value_of(draw: Any, hint: Any, world: World) -> Any:
    """A value that fits, unless one of the flaws falls here."""
    world.made += 1
    if world.made - 1 in world.flaws:
        return flawed(draw, hint, world)
    match hint:
        case Array():
            return tensor(draw, hint, shape_of(draw, hint, world))
        case Plain(fitting=fitting):
            return draw(st.sampled_from(fitting))
        case OneOf(options=options):
            return value_of(draw, draw(st.sampled_from(options)), world)
        case Row(items=items):
            return tuple(value_of(draw, item, world) for item in items)
        case Items(cls=cls, item=item):
            values = [value_of(draw, item, world) for _ in range(draw(st.integers(0, most_items(hint))))]
            return tuple(values) if cls is tuple or (cls is Sequence and draw(st.booleans())) else values
        case Table(value=inner):
            return {key: value_of(draw, inner, world) for key in "xyz"[: draw(st.integers(0, most_items(hint)))]}
        case Record(fields=fields, cls=cls):
            return cls(*(value_of(draw, inner, world) for inner in fields))


def most_items(hint: Any) -> int:
    """Without tensors in it a container is beartype's, which looks at one item and picks it by chance."""
    return 3 if any(isinstance(part, Array) for part in inside(hint)) else 1


def flawed(draw: Any, hint: Any, world: World) -> Any:
    """A value with a flaw, somewhere in it or as a whole; now and then it fits all the same."""
    if isinstance(hint, Array) and draw(st.integers(0, 3)):
        shape = list(shape_of(draw, hint, world))
        change = draw(st.sampled_from(["size", "size", "size", "longer", "shorter", "dtype", "dtype"]))
        index = draw(st.integers(0, max(len(shape) - 1, 0)))
        if change == "size" and shape:
            shape[index] = (shape[index] + draw(st.integers(1, 4))) % 5
        elif change == "longer":
            shape.insert(index, draw(SIZES))
        elif change == "shorter" and shape:
            del shape[index]
        dtype = draw(st.sampled_from(TORCH_DTYPES)) if change == "dtype" else None
        return tensor(draw, hint, tuple(shape), dtype)
    if isinstance(hint, Row) and draw(st.booleans()):
        return tuple(value_of(draw, item, world) for item in hint.items[:-1])
    one = torch.zeros(draw(FEW_SIZES))
    return draw(st.sampled_from([None, 3, "text", one, [one], (one,), {"x": one}, {3: one}, one.numpy()]))


def shape_of(draw: Any, hint: Array, world: World) -> tuple[int, ...]:
    shape: list[int] = []
    for axis in hint.axes:
        shape += sizes_of(draw, axis, world)
    return tuple(shape)


def sizes_of(draw: Any, axis: str, world: World) -> tuple[int, ...]:
    if axis in ("...", "*_"):
        return draw(FEW_SIZES)
    if axis.startswith("*"):
        run = world.runs[axis.lstrip("*#")]
        if "#" not in axis or draw(st.booleans()):
            return run
        start = draw(st.integers(0, len(run)))
        return tuple(1 if draw(st.booleans()) else size for size in run[start:])
    if axis.startswith("_") or (axis.startswith("#") and draw(st.booleans())):
        return (1,) if axis.startswith("#") else (draw(SIZES),)
    size = size_of(axis.lstrip("#").rpartition("=")[2], world)
    return (size if size is not None else draw(SIZES),)


def size_of(expression: str, world: World) -> int | None:
    """The size an axis must have, if it can have one."""
    text = re.sub(r"\{(.*?)\}", lambda match: str(follow(world.values, match[1])), filled(expression, world.sizes))
    try:
        size = eval(text, dict(world.sizes))
    except (ArithmeticError, NameError, SyntaxError, TypeError):
        return None
    return int(size) if isinstance(size, int) and 0 <= size < 20 else None


def follow(values: Mapping[str, Any], path: str) -> Any:
    first, *rest = path.split(".")
    value = values.get(first)
    for name in rest:
        value = getattr(value, name, None)
    return value


def tensor(draw: Any, hint: Array, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> Tensor:
    fitting = FITTING[hint.dtype] or TORCH_DTYPES
    usual = torch.float32 if torch.float32 in fitting else fitting[0]
    chosen = dtype or (usual if draw(st.integers(0, 3)) else draw(st.sampled_from(fitting)))
    made = torch.empty(shape, dtype=chosen)
    if hint.array is Tensor or draw(st.integers(0, 9)) == 0:
        return made
    return hint.array(made, requires_grad=False)


# Signatures and calls -------------------------------------------------------------------------------------------------


@dataclass
class Parameter:
    name: str
    kind: Any
    hint: Any
    default: Any = NOTHING


@dataclass
class Case:
    """A signature and one call of it. `declared` are the sizes of `typed(dims=...)`, or of the module's Dims."""

    parameters: list[Parameter]
    result_hint: Any
    result: Any
    arguments: list[Any]
    keywords: dict[str, Any]
    declared: dict[str, int] = field(default_factory=dict)
    owner: Any = None
    function_kind: str = "plain"

    def function(self, declared: Mapping[str, int]) -> types.FunctionType:
        """The function; its annotations with these names filled in."""
        names = {f"_default_{p.name}": p.default for p in self.parameters} | {"_result": self.result}
        exec(self.source(), names)
        made = names["f"]
        made.__annotations__ = {p.name: p.hint.annotation(declared) for p in self.parameters}
        if self.result_hint is not None:
            made.__annotations__["return"] = self._result_annotation(declared)
        made.__module__ = __name__
        return made

    def _result_annotation(self, declared: Mapping[str, int]) -> Any:
        annotation = self.result_hint.annotation(declared)
        yields = {"generator": Iterator, "async generator": AsyncIterator}.get(self.function_kind)
        return annotation if yields is None else yields[annotation]

    def source(self) -> str:
        body = {"generator": "yield _result", "async generator": "yield _result"}.get(
            self.function_kind, "return _result"
        )
        head = "async def" if self.function_kind in ("coroutine", "async generator") else "def"
        return f"{head} f({', '.join(self._parameter_texts())}): {body}"

    def _parameter_texts(self) -> Iterator[str]:
        if self.owner is not None:
            yield "self"
        kinds = [parameter.kind for parameter in self.parameters]
        for index, parameter in enumerate(self.parameters):
            if (
                parameter.kind is inspect.Parameter.KEYWORD_ONLY
                and inspect.Parameter.VAR_POSITIONAL not in kinds
                and parameter.kind not in kinds[:index]
            ):
                yield "*"
            stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
            yield f"{stars}{parameter.name}{'' if parameter.default is NOTHING else f'=_default_{parameter.name}'}"
            if parameter.kind is inspect.Parameter.POSITIONAL_ONLY and kinds[index + 1 : index + 2] != [parameter.kind]:
                yield "/"

    def __repr__(self) -> str:
        annotations = ", ".join(f"{p.name}: {told(p.hint)}" for p in self.parameters)
        result = f" -> {told(self.result_hint)}" if self.result_hint is not None else ""
        owner = f"\n  self has {self.owner.extra_repr()}" if self.owner is not None else ""
        return (
            f"\n  {self.source()}\n  {annotations}{result}\n  declared {self.declared}{owner}"
            f"\n  called with {shown(self.arguments)} {shown(self.keywords)}, gives {shown(self.result)}"
        )

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        printer.text(repr(self))


class Owner(torch.nn.Module):
    """A plain torch module: its Dims are the names that it declares."""

    def __init__(self, declared: Mapping[str, int], attributes: Mapping[str, Any]) -> None:
        super().__init__()
        for name, size in declared.items():
            setattr(self, f"size_of_{name}", Dim(name, size))
        for name, value in attributes.items():
            setattr(self, name, value)

    def extra_repr(self) -> str:
        return f"width={self.width!r}, depth={self.depth!r}"


# What a `{...}` may read: mostly sizes, and what else a user's attribute may hold.
# A text may use a name only if nobody declares it: jaxtyping, which puts the text in, knows no declared names.
readable = st.one_of(SIZES, SIZES, SIZES, st.sampled_from([-1, True, 1.5, None, "in", "c+1", "2*2", Dim("width", 3)]))


@st.composite
def cases(draw: Any) -> Case:
    sizes = {name: draw(SIZES) for name in NAMES}
    runs = {name: draw(FEW_SIZES) for name in RUNS}
    scope = draw(st.sampled_from(["free", "free", "free", "dims", "method", "method"]))
    declared = (
        {name: sizes[name] for name in draw(st.sets(st.sampled_from(NAMES[:-2]), max_size=2))}
        if scope != "free"
        else {}
    )
    owner = Owner(declared, {"width": draw(readable), "depth": draw(SIZES)}) if scope == "method" else None
    given = draw(st.booleans()) if owner is None else False
    paths = ("self.width", "self.depth") if owner is not None else ("obj.width", "k") if given else ()
    hint = draw(st.sampled_from([arrays, hints]))(paths)  # half of all: tensors only, as most functions have it
    parameters = draw(signatures(hint, ("obj", "k") if given else ()))
    result_hint = draw(st.none() | hint)
    world = World(sizes, runs, {"self": owner, "obj": types.SimpleNamespace(width=draw(readable)), "k": draw(SIZES)})
    values = sum(len(list(inside(hint))) for hint in [p.hint for p in parameters] + [result_hint] if hint is not None)
    world.flaws = draw(st.lists(st.integers(0, values), max_size=2))
    for parameter in parameters:
        if parameter.default is not NOTHING:
            parameter.default = draw(defaults(parameter, world))
    arguments, keywords = call_of(draw, parameters, world)
    result = value_of(draw, result_hint, world) if result_hint is not None else object()
    function_kind = draw(st.sampled_from(["plain"] * 6 + ["coroutine", "generator", "async generator"]))
    return Case(parameters, result_hint, result, arguments, keywords, declared, owner, function_kind)


@st.composite
def signatures(draw: Any, hint: st.SearchStrategy[Any], extra: Sequence[str]) -> list[Parameter]:
    """Parameters in Python's order: positional ones, `*args`, keyword-only ones, `**kwargs`."""
    names = draw(st.permutations(["x", "y", "min", "z"][: draw(st.integers(1, 4))] + list(extra)))
    kinds = sorted(draw(st.sampled_from([0, 1, 1, 1, 3])) for _ in names)
    made = [
        Parameter(name, inspect._ParameterKind(kind), _hint(draw, name, hint))
        for name, kind in zip(names, kinds, strict=True)
    ]
    optional = False
    for parameter in made:
        optional = draw(st.integers(0, 3)) == 0 or (optional and parameter.kind is not inspect.Parameter.KEYWORD_ONLY)
        parameter.default = None if optional else NOTHING
    if draw(st.integers(0, 4)) == 0:
        first = next((i for i, p in enumerate(made) if p.kind is inspect.Parameter.KEYWORD_ONLY), len(made))
        made.insert(first, Parameter("args", inspect.Parameter.VAR_POSITIONAL, draw(hint)))
    if draw(st.integers(0, 4)) == 0:
        made.append(Parameter("kwargs", inspect.Parameter.VAR_KEYWORD, draw(hint)))
    return made


def _hint(draw: Any, name: str, hint: st.SearchStrategy[Any]) -> Any:
    plain = {"obj": Plain(Any, ()), "k": draw(st.sampled_from([Plain(int, ()), Plain(Any, ()), Plain(int | None, ())]))}
    return plain.get(name) or draw(hint)


def defaults(parameter: Parameter, world: World) -> st.SearchStrategy[Any]:
    """A default, which nobody checks: what an axis reads from it must be there all the same."""
    if parameter.name in world.values:
        return st.just(world.values[parameter.name])
    return st.sampled_from([None, "wrong on purpose", torch.zeros(2, 3)])


def call_of(draw: Any, parameters: Sequence[Parameter], world: World) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call; now and then one is missing, or one too many."""
    arguments: list[Any] = []
    keywords: dict[str, Any] = {}
    by_position = True
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            more = [value_of(draw, parameter.hint, world) for _ in range(draw(st.integers(0, 3)))]
            arguments += more if by_position else []
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            most = 1 if evaluates(parameter.hint) else 3  # beartype checks them in the order of a set
            keywords |= {f"k{i}": value_of(draw, parameter.hint, world) for i in range(draw(st.integers(0, most)))}
        elif not by_position and parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            continue  # by keyword it would be an error, or end up in **kwargs: there inspect and Python disagree
        elif draw(st.integers(0, 40)) == 17 or (parameter.default is not NOTHING and draw(st.booleans())):
            by_position = False  # left out: what follows goes by keyword
        else:
            value = (
                world.values[parameter.name]
                if parameter.name in world.values
                else value_of(draw, parameter.hint, world)
            )
            by_keyword = parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and draw(st.integers(0, 3)) == 0
            by_position = by_position and not by_keyword and parameter.kind is not inspect.Parameter.KEYWORD_ONLY
            if by_position:
                arguments.append(value)
            else:
                keywords[parameter.name] = value
    return arguments, keywords


def told(hint: Any) -> str:
    """An annotation as a failing example shows it, with the fields of a record."""
    if isinstance(hint, Record):
        return f"{hint.cls.__name__}({', '.join(map(told, hint.fields))})"
    inner = list(inside(hint))[1:]
    if any(isinstance(part, Record) for part in inner):
        return f"{type(hint).__name__}[{getattr(hint, 'cls', '')} {', '.join(map(told, inner))}]"
    return str(hint.annotation({}))


def evaluates(hint: Any) -> bool:
    """Whether an expression is in it: what that comes to depends on what was checked before."""
    return any(
        re.search(r"[-+*/({].", axis) for array in inside(hint) if isinstance(array, Array) for axis in array.axes
    )


def shown(value: Any) -> str:
    """A value as a failing example shows it."""
    if isinstance(value, Tensor):
        return f"<{type(value).__name__} {str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}>"
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return f"{type(value).__name__}({', '.join(shown(item) for item in value)})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {shown(item)}' for key, item in value.items())}}}"
    if hasattr(value, "_fields") or dataclasses.is_dataclass(value):
        names = getattr(value, "_fields", None) or [f.name for f in dataclasses.fields(value)]
        return f"{type(value).__name__}({', '.join(shown(getattr(value, name)) for name in names)})"
    return repr(value)
