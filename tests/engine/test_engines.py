"""Two engines, one meaning: the fast engine, the reference engine and raw jaxtyping give the same verdicts."""

import asyncio
import inspect
import linecache
from collections.abc import Callable
from typing import Any

import jaxtyping
import pytest
import torch
from beartype import beartype
from hypothesis import HealthCheck, Phase, event, example, find, given, settings
from jaxtyping import AnnotationError, Float, Int, jaxtyped

from dimtyped import DeclarationError, DimensionError
from dimtyped.engine import CheckCodegen, Conditions, Declaration, entry_of, wrap
from dimtyped.engine.redefinitions import definition_of, forget_compiled
from dimtyped.engine.unbound_axes import reject_unbound
from tests.helpers.drawn_hints import Array, Items, OneOf, Padded, Plain, Record, Row, Table, inside, record
from tests.helpers.drawn_signatures import Case, Owner, Parameter, cases

pytestmark = pytest.mark.any_engine  # each test runs both
EFFORT = settings(
    max_examples=max(200, settings.default.max_examples),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ENGINES = pytest.mark.parametrize("reference", [False, True], ids=["fast", "reference"])


@pytest.fixture(autouse=True)
def _forget_sources():
    """Each example compiles code of its own, and `linecache` would keep the source of all."""
    yield
    forget_sources()


def forget_sources() -> None:
    for name in [name for name in linecache.cache if name.startswith("<dimtyped f ")]:
        del linecache.cache[name]


def typed_by(case: Case, *, reference: bool) -> Callable[..., Any]:
    return wrap(
        Declaration(
            case.function({}),
            fixed=case.declared if case.owner is None else {},
            is_method=case.owner is not None,
            by_reference=reference,
        )
    )


def driven(result: Any) -> Any:
    """What a call comes to: a coroutine's result, the only item of a generator."""
    if inspect.iscoroutine(result):
        return asyncio.run(result)
    if inspect.isasyncgen(result):
        return asyncio.run(anext(result))
    return next(result) if inspect.isgenerator(result) else result


def verdict(case: Case, function: Callable[..., Any]) -> tuple[str, str]:
    """Accepted or the kind of refusal, and the text of the error."""
    arguments = case.arguments if case.owner is None else [case.owner, *case.arguments]
    try:
        result = driven(function(*arguments, **case.keywords))
    except DimensionError as error:
        return "DimensionError", str(error)
    except (DeclarationError, AnnotationError):
        return "DeclarationError", ""
    except jaxtyping.TypeCheckError:
        return "DimensionError", ""
    except TypeError as error:
        if "argument" not in str(error):  # Python's own: one is missing, or one too many
            raise
        return "TypeError", ""
    assert result is case.result
    return "accepted", ""


def is_raw_comparable(case: Case) -> bool:
    """Where neither stated difference can show: beartype looks at one random item, and never into a record.

    jaxtyping does not know coroutines, and leaves what a generator yields unchecked.
    """
    given = [parameter.hint for parameter in case.parameters] + ([case.result_hint] if case.result_hint else [])
    parts = [part for hint in given for part in inside(hint)]
    unseen = Record | Items | Table | Padded
    return case.function_kind == "plain" and not any(isinstance(part, unseen) for part in parts)


def is_refused_at_decoration(case: Case) -> bool:
    """An axis can have no size, whatever the call: `typed` refuses the function, and no engine sees a call of it."""
    entry = entry_of(typed_by(case, reference=False)) if case.owner is None else None
    try:
        if entry is not None:
            forget_compiled(
                definition_of(entry.declaration, None)
            )  # of the engines' calls, which no decoration preceded
            reject_unbound(entry)
    except DeclarationError:
        return True
    return False


def agree(case: Case) -> None:
    fast, reference = (verdict(case, typed_by(case, reference=engine)) for engine in (False, True))
    if fast != reference and is_refused_at_decoration(case):
        event("refused at decoration")
        return
    event(fast[0])
    if {fast[0], reference[0]} == {"DimensionError", "DeclarationError"}:
        return  # both refuse: a call that does not fit, with an axis that nothing can bind; they come to one of them first
    assert fast == reference
    assert "does not fit its annotation" not in fast[1], "refused, and nobody can say why"
    if is_raw_comparable(case):
        event(f"{fast[0]} by jaxtyping too")
        raw = jaxtyped(case.function(case.declared), typechecker=beartype)
        told = verdict(case, raw)[0]
        assert told in (fast[0], "DeclarationError"), fast[1]  # jaxtyping solves no expression: the third difference


def method(hints: list[Any], arguments: list[Any], **attributes: Any) -> Case:
    """A call of a method of a module with these attributes."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [Parameter(f"x{index}", kind, hint) for index, hint in enumerate(hints)]
    owner = Owner({}, {"width": 0, "depth": 0, **attributes})
    return Case(parameters, None, None, arguments, {}, owner=owner)


# a text that `{...}` reads needs a name that only one option of a union bound, and no annotation uses
READS_A_NAME = method(
    [OneOf((Array(Float, ("c",)), Array(Int, ("...",)))), Array(Float, ("{self.width}",))],
    [torch.zeros(2), torch.zeros(3)],
    width="c+1",
)


def of_a_sum(n: torch.Tensor, b: torch.Tensor, total: int, axis: str = "n+b") -> Case:
    """A sum of two names, either of which a union may leave unbound."""
    hints = [*(OneOf((Array(Float, (name,)), Array(Int, ("...",)))) for name in "nb"), Array(Float, (axis,))]
    return method(hints, [n, b, torch.zeros(total)])


UNBOUND = torch.zeros(1, dtype=torch.int64)


def floats(text: str) -> Array:
    return Array(Float, tuple(text.split()))


def call(hints: list[Any], arguments: list[Any], result_hint: Any = None, result: Any = None) -> Case:
    """A call of a function."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [Parameter(f"x{index}", kind, hint) for index, hint in enumerate(hints)]
    return Case(parameters, result_hint, result, arguments, {})


def of_parts(total: int, kind: str) -> Case:
    """A record whose first field has a sum of two names that its later fields bind."""
    hint = record([floats("n+b"), floats("n"), floats("b")], kind)
    values = dict(zip(hint.cls.__annotations__, map(torch.zeros, (total, 2, 3)), strict=True))
    return call([hint], [hint.cls(**values)])


SUM_BEFORE_ITS_NAMES = Row((floats("n+b"), floats("n"), Items(list, floats("b"))))
QUOTIENT_BEFORE_ITS_NAME = Row((Items(list, floats("m//m")), Table(dict, OneOf((floats("m 0"), Plain(None, (None,)))))))
READS_NO_NUMBER = method([Array(Float, ("{self.width}+n",))], [torch.zeros(2)], width=None)
KIND = inspect.Parameter.POSITIONAL_OR_KEYWORD
SOLVED_BY_A_NAME_THAT_MAY_BE_LEFT_OUT = Case(
    [
        Parameter("x", KIND, floats("b"), None),
        Parameter("y", KIND, floats("4 (m+1)*n #(b+1)*n"), None),
        Parameter("args", inspect.Parameter.VAR_POSITIONAL, floats("#(b+1)*n n")),
    ],
    None,
    None,
    [torch.zeros(3), torch.zeros(4, 2, 8)],
    {},
)
# the second item binds `n`, which the first needs; the names of both may be bound elsewhere too
WAITS_FOR_THE_NEXT_ITEM = call(
    [
        OneOf((floats("n"), Plain(None, (None,)))),
        OneOf((Array(Int, ("...",)), Items(list, floats("_ m _")))),
        Row((Row((floats("a (n+1)*m"),)), Row((floats("n b//2"),)))),
        OneOf((floats("3 #b+b _"), Plain(None, (None,)))),
    ],
    [None, UNBOUND, ((torch.zeros(0, 0),), (torch.zeros(0, 0),)), torch.zeros(3, 0, 0)],
)
PARTIAL = record([OneOf((floats("n"), Plain(None, (None,))))], "partial dict")
READS_WHAT_IS_NO_EXPRESSION = method([Array(Float, ("{self.width}",))], [torch.zeros(())], width="in")


@EFFORT
@given(cases())
@example(READS_A_NAME)
@example(of_a_sum(UNBOUND, torch.zeros(2), 5))
@example(of_a_sum(torch.zeros(2), UNBOUND, 5))
@example(of_a_sum(torch.zeros(2), UNBOUND, 5, "n+2*b"))
@example(of_a_sum(torch.zeros(3), UNBOUND, 5, "n+2*b"))
@example(of_a_sum(torch.zeros(2), UNBOUND, 1))
@example(of_a_sum(torch.zeros(2), torch.zeros(3), 5))
@example(of_a_sum(torch.zeros(2), torch.zeros(3), 6))
@example(of_a_sum(UNBOUND, UNBOUND, 6))
@example(of_parts(5, "dataclass"))
@example(of_parts(5, "named tuple"))
@example(of_parts(6, "named tuple"))
@example(of_parts(5, "typed dict"))
@example(of_parts(6, "partial dict"))
@example(call([SUM_BEFORE_ITS_NAMES], [(torch.zeros(5), torch.zeros(2), [torch.zeros(3)])]))
@example(call([SUM_BEFORE_ITS_NAMES], [(torch.zeros(5), torch.zeros(2), [])]))
@example(call([], [], SUM_BEFORE_ITS_NAMES, (torch.zeros(5), torch.zeros(2), [torch.zeros(3)])))
@example(call([QUOTIENT_BEFORE_ITS_NAME], [([torch.zeros(1)], {"x": None, "y": torch.zeros(3, 0)})]))
@example(call([QUOTIENT_BEFORE_ITS_NAME], [([torch.zeros(1)], {"x": None})]))
@example(call([floats("#n"), floats("n//2"), floats("n")], [torch.zeros(1), torch.zeros(2), torch.zeros(5)]))
@example(READS_WHAT_IS_NO_EXPRESSION)
@example(READS_NO_NUMBER)
@example(SOLVED_BY_A_NAME_THAT_MAY_BE_LEFT_OUT)
@example(call([floats("#n sum((n,n))"), floats("n")], [torch.zeros(1, 2), torch.zeros(1)]))
@example(WAITS_FOR_THE_NEXT_ITEM)
@example(call([PARTIAL], [{3: torch.zeros(2)}]))
@example(call([Items(list, floats("#n+m #n"))], [[torch.zeros(4, 0), torch.zeros(1, 1), torch.zeros(4, 1)]]))
@example(call([Items(list, floats("#n+m #n"))], [[torch.zeros(4, 0), torch.zeros(1, 1), torch.zeros(1, 3)]]))
def test_the_engines_and_jaxtyping_agree(case):
    agree(case)


class TestThatTheTestCanFail:
    """The fast engine broken on purpose: one check left out, and the property above does not hold."""

    @pytest.mark.parametrize("check", ["_name_terms", "_variadic_terms", "_size_terms"])
    def test_without_the_check_of(self, check, monkeypatch):
        whole = getattr(Conditions, check)

        def without_terms(writer, axis, size, names, terms, bindings):
            kept = list(terms)
            whole(writer, axis, size, names, terms, bindings)
            terms[:] = kept

        monkeypatch.setattr(Conditions, check, without_terms)
        self.assert_found()

    def test_without_the_checks_of_types_and_dtypes(self, monkeypatch):
        whole = Conditions._tensor_terms

        def without_first_terms(writer, *arguments, **keywords):
            terms, bindings = whole(writer, *arguments, **keywords)
            return [term for term in terms if ".dtype in " not in term] or ["True"], bindings

        monkeypatch.setattr(Conditions, "_tensor_terms", without_first_terms)
        self.assert_found()

    def test_without_the_check_of_items(self, monkeypatch):
        monkeypatch.setattr(CheckCodegen, "_check_each", lambda *_: None)
        self.assert_found()

    def assert_found(self) -> None:
        quick = settings(EFFORT, max_examples=2_000, database=None, derandomize=True, phases=[Phase.generate])
        assert find(cases(), disagree, settings=quick)


def disagree(case: Case) -> bool:
    try:
        agree(case)
    except Exception:  # noqa: BLE001
        return True
    return False


# jaxtyping's own page on array annotations, a sentence a row: the axes of the arguments, the shapes given, and whether
# they fit; None where the annotation itself is wrong. https://docs.kidger.site/jaxtyping/api/array/
DOCUMENTED = [
    pytest.param(["batch channels"], [(2, 3)], True, id="names"),
    pytest.param(["batch channels"], [(2,)], False, id="names: rank"),
    pytest.param(["dim1 dim2", "dim2 dim3", "dim1 dim3"], [(2, 3), (3, 4), (2, 4)], True, id="matmul"),
    pytest.param(["dim1 dim2", "dim2 dim3", "dim1 dim3"], [(2, 3), (4, 4), (2, 4)], False, id="matmul: inner"),
    pytest.param(["dim1 dim2", "dim2 dim3", "dim1 dim3"], [(2, 3), (3, 4), (2, 5)], False, id="matmul: outer"),
    pytest.param(["3 4"], [(3, 4)], True, id="an int is a fixed size"),
    pytest.param(["3 4"], [(3, 5)], False, id="an int is a fixed size: another"),
    pytest.param(["foo bar", "foo"], [(2, 3), (2,)], True, id="a name matches across arguments"),
    pytest.param(["foo bar", "foo"], [(2, 3), (3,)], False, id="a name matches across arguments: not"),
    pytest.param(["one*two"], [(4,)], None, id="an expression before its names"),
    pytest.param(["dim", "dim-1"], [(3,), (2,)], True, id="an expression"),
    pytest.param(["dim", "dim-1"], [(3,), (3,)], False, id="an expression: another size"),
    pytest.param(["*batch", "*batch"], [(2, 3), (2, 3)], True, id="a star is several axes"),
    pytest.param(["*batch", "*batch"], [(), ()], True, id="a star may be no axis"),
    pytest.param(["*batch", "*batch"], [(2, 3), (2, 4)], False, id="a star must match"),
    pytest.param(["*batch c", "*batch"], [(2, 3, 4), (2, 3)], True, id="a star beside an axis"),
    pytest.param(["#foo", "#foo"], [(1,), (5,)], True, id="a hash takes 1"),
    pytest.param(["#foo", "#foo"], [(4,), (5,)], False, id="a hash takes nothing else"),
    pytest.param(["#foo", "foo"], [(1,), (5,)], True, id="a hash of 1 binds nothing"),
    pytest.param(["foo", "#foo"], [(5,), (1,)], True, id="a hash after its name"),
    pytest.param(["*#batch", "*#batch"], [(3, 1), (2, 1, 4)], True, id="hash and star broadcast"),
    pytest.param(["*#batch", "*#batch"], [(3, 2), (4,)], False, id="hash and star: not together"),
    pytest.param(["#*batch", "#*batch"], [(3, 1), (4,)], True, id="the modifiers in any order"),
    pytest.param(["_ _"], [(2, 3)], True, id="an underscore takes any size"),
    pytest.param(["_foo _foo"], [(2, 3)], True, id="an underscore disables the name after it"),
    pytest.param(["_"], [(2, 3)], False, id="an underscore is one axis"),
    pytest.param(["*_ c", "*_ c"], [(2, 3, 4), (4,)], True, id="underscore and star"),
    pytest.param(["..."], [(2, 3, 4)], True, id="three dots take any axes"),
    pytest.param(["... c", "c"], [(2, 3, 4), (4,)], True, id="three dots and an axis"),
    pytest.param(["... c", "c"], [(), (4,)], False, id="three dots and an axis: none there"),
    pytest.param(["rows=4 cols=3"], [(4, 3)], True, id="a size with a label"),
    pytest.param(["rows=4 cols=3"], [(3, 3)], False, id="a size with a label: another"),
    pytest.param(["rows=4 cols=3", "rows"], [(4, 3), (7,)], True, id="a label binds no name"),
    pytest.param([""], [()], True, id="no axis is a scalar"),
    pytest.param([""], [(1,)], False, id="no axis is no vector of one"),
    pytest.param(["a b min(a,b)"], [(2, 3, 2)], True, id="a function of names"),
    pytest.param(["a b min(a,b)"], [(2, 3, 3)], False, id="a function of names: another size"),
    pytest.param(["?foo"], [(2,)], None, id="a question mark outside a tree"),
]


@ENGINES
@pytest.mark.parametrize(("annotations", "shapes", "fits"), DOCUMENTED)
def test_what_jaxtyping_documents(annotations, shapes, fits, reference):
    given = [Array(Float, tuple(text.split())) for text in annotations]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [Parameter(f"x{index}", kind, hint) for index, hint in enumerate(given)]
    case = Case(parameters, None, None, [torch.zeros(shape) for shape in shapes], {})
    expected = {True: "accepted", False: "DimensionError", None: "DeclarationError"}[fits]
    assert verdict(case, typed_by(case, reference=reference))[0] == expected
    assert verdict(case, jaxtyped(case.function({}), typechecker=beartype))[0] == expected
