"""Two engines, one meaning: the fast engine, the reference engine and raw jaxtyping give the same verdicts."""

import asyncio
import inspect
import linecache
from collections.abc import Callable
from typing import Any

import jaxtyping
import pytest
from beartype import beartype
from hypothesis import HealthCheck, Phase, event, find, given, settings
from jaxtyping import AnnotationError, jaxtyped
from strategies import Case, Items, Record, Table, cases, inside

from dimtyped import DeclarationError, DimensionError
from dimtyped._conditions import Writer
from dimtyped._entry import Entry
from dimtyped._typed import wrap

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
        Entry(
            case.function({}),
            fixed=case.declared if case.owner is None else None,
            is_method=case.owner is not None,
            reference=reference,
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
    return case.flavour == "plain" and not any(isinstance(part, Record | Items | Table) for part in parts)


def agree(case: Case) -> None:
    fast, reference = (verdict(case, typed_by(case, reference=engine)) for engine in (False, True))
    event(fast[0])
    assert fast == reference
    assert "does not fit its annotation" not in fast[1], "refused, and nobody can say why"
    if is_raw_comparable(case):
        event(f"{fast[0]} by jaxtyping too")
        raw = jaxtyped(case.function(case.declared), typechecker=beartype)
        assert verdict(case, raw)[0] == fast[0], fast[1]


@EFFORT
@given(cases())
def test_the_engines_and_jaxtyping_agree(case):
    agree(case)


class TestThatTheTestCanFail:
    """The fast engine broken on purpose: one check left out, and the property above does not hold."""

    @pytest.mark.parametrize("check", ["_name_terms", "_run_terms", "_size_terms"])
    def test_without_the_check_of(self, check, monkeypatch):
        whole = getattr(Writer, check)

        def without_terms(writer, axis, size, names, terms, bindings):
            kept = list(terms)
            whole(writer, axis, size, names, terms, bindings)
            terms[:] = kept

        monkeypatch.setattr(Writer, check, without_terms)
        self.assert_found()

    def test_without_the_checks_of_types_and_dtypes(self, monkeypatch):
        whole = Writer._tensor_terms

        def without_first_terms(writer, *arguments, **keywords):
            terms, bindings = whole(writer, *arguments, **keywords)
            return [term for term in terms if ".dtype in " not in term] or ["True"], bindings

        monkeypatch.setattr(Writer, "_tensor_terms", without_first_terms)
        self.assert_found()

    def test_without_the_check_of_items(self, monkeypatch):
        monkeypatch.setattr(Writer, "_check_each", lambda *_: None)
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
