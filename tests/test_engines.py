"""Two engines, one meaning: the fast engine, the reference engine and raw jaxtyping give the same verdicts."""

import asyncio
import inspect
import linecache
from collections import Counter
from collections.abc import Callable
from typing import Any

import jaxtyping
import pytest
import torch
from beartype import beartype
from hypothesis import HealthCheck, Phase, event, given, settings
from jaxtyping import AnnotationError, jaxtyped

from dimtyped import DeclarationError, DimensionError
from dimtyped._conditions import Writer
from dimtyped._entry import Entry
from dimtyped._typed import wrap
from strategies import Case, Items, Record, Table, cases, inside

EFFORT = settings(
    max_examples=max(200, settings.default.max_examples),
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(autouse=True)
def _forget_sources():
    """Each example compiles code of its own, and `linecache` would keep the source of all."""
    yield
    for name in [name for name in linecache.cache if name.startswith("<dimtyped f ")]:
        del linecache.cache[name]


def typed_by(case: Case, *, reference: bool) -> Callable[..., Any]:
    entry = Entry(
        case.function({}),
        fixed=case.declared if case.owner is None else None,
        is_method=case.owner is not None,
        reference=reference,
    )
    return wrap(entry)


def driven(result: Any) -> Any:
    """What a call comes to: a coroutine's result, the only item of a generator."""
    if inspect.iscoroutine(result):
        return asyncio.run(result)
    if inspect.isasyncgen(result):
        return asyncio.run(_only(result))
    return next(result) if inspect.isgenerator(result) else result


async def _only(items: Any) -> Any:
    return [item async for item in items][0]


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
        assert not isinstance(error.__cause__, Exception), error  # Python's own, about the arguments' names
        return "TypeError", ""
    assert result is case.result
    return "accepted", ""


def verdicts(case: Case) -> tuple[tuple[str, str], tuple[str, str]]:
    """The fast engine's and the reference engine's."""
    return verdict(case, typed_by(case, reference=False)), verdict(case, typed_by(case, reference=True))


def hints_of(case: Case) -> list[Any]:
    given = [parameter.hint for parameter in case.parameters] + ([case.result_hint] if case.result_hint else [])
    return [hint for whole in given for hint in inside(whole)]


def is_raw_comparable(case: Case) -> bool:
    """Where neither stated difference can show: beartype looks at one random item, and never into a record.

    jaxtyping does not know coroutines, and leaves what a generator yields unchecked.
    """
    hints = hints_of(case)
    return case.flavour == "plain" and not any(isinstance(hint, Record | Items | Table) for hint in hints)


def agree(case: Case) -> None:
    fast, reference = verdicts(case)
    event(fast[0])
    assert fast == reference
    assert "does not fit its annotation" not in fast[1], fast[1]
    if is_raw_comparable(case):
        event(f"{fast[0]} by jaxtyping too")
        raw = jaxtyped(case.function(case.declared), typechecker=beartype)
        assert verdict(case, raw)[0] == fast[0], fast[1]


@EFFORT
@given(cases())
def test_the_engines_and_jaxtyping_agree(case):
    agree(case)
