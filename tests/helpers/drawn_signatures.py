"""Random signatures over jaxtyping's grammar, and calls of them: right, and wrong in one or more ways."""

import inspect
import types
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import strategies as st

from dimtyped import Dim
from tests.helpers.drawn_hints import (
    FEW_SIZES,
    NAMES,
    NOTHING,
    RUNS,
    SIZES,
    Plain,
    annotation_text_of,
    arrays,
    evaluates,
    hints,
    inside,
)
from tests.helpers.drawn_values import World, shown, value_of


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
        annotations = ", ".join(f"{p.name}: {annotation_text_of(p.hint)}" for p in self.parameters)
        result = f" -> {annotation_text_of(self.result_hint)}" if self.result_hint is not None else ""
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
