"""The reference engine's wrappers: jaxtyping and beartype check, and the diagnosis tells what was wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dimtyped.annotations import FunctionKind
from dimtyped.diagnosis import unexplained
from dimtyped.engine.compiler import MISSING, Checked, drive, is_ragged
from dimtyped.engine.recheck import explain, is_violation, translate_error
from dimtyped.engine.wrapper import MARK, scope_key_of
from dimtyped.errors import DimensionError
from dimtyped.runtime import is_tracing

if TYPE_CHECKING:
    from dimtyped.engine.checked_function import CheckedFunction


def _refuse(
    entry: CheckedFunction, arguments: tuple[Any, ...], keywords: Mapping[str, Any], stage: str, result: Any
) -> None:
    """Raises the error for a call that the reference engine has refused, unless it is not wrong after all."""
    values = entry.bound(arguments, keywords)
    if is_violation(entry, values, stage, result):
        raise _explained(entry, arguments, keywords, stage, result)
    other = getattr(entry.other_form(values), MARK, None)
    if other is not None:  # a default that holds in one form may be wrong in another: the fast engine hands it on too
        given = (arguments, keywords) if any(value is MISSING for value in values) else (values, {})
        check_arguments(other, *given)


def _explained(
    entry: CheckedFunction, arguments: tuple[Any, ...], keywords: Mapping[str, Any], stage: str, result: Any
) -> DimensionError:
    error = explain(entry, entry.bound(arguments, keywords), stage, result)
    return error if error.actual is not None else _blamed(entry, arguments, keywords, stage)


def _blamed(
    entry: CheckedFunction, arguments: tuple[Any, ...], keywords: Mapping[str, Any], stage: str
) -> DimensionError:
    """The error for what only jaxtyping can decide: it names the parameter."""
    signature = entry.signature
    if stage == "return":
        return unexplained(signature.where, stage, signature.result.annotation)
    name = entry.reference_check(arguments).blamed(arguments, keywords)
    annotation = next((p.annotation for p in signature.parameters if p.name == name), None)
    return unexplained(signature.where, name, annotation)


def check_arguments(entry: CheckedFunction, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
    """Raises a DimensionError unless jaxtyping and beartype accept the arguments."""
    if _is_unchecked(entry, arguments, keywords):
        return
    if entry.forms:
        form = entry.form_of(entry.bound(arguments, keywords))
        if form is None:
            return
        entry = form
    if not entry.reference_check(arguments).accepts(arguments, keywords):
        _refuse(entry, arguments, keywords, "arguments", None)


def _is_unchecked(entry: CheckedFunction, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> bool:
    """Whether a layer of ours is given a ragged tensor, which torch takes and jaxtyping cannot."""
    return entry.is_layer and any(is_ragged(value) for value in (*arguments, *keywords.values()))


def check_result(
    entry: CheckedFunction,
    arguments: tuple[Any, ...],
    keywords: Mapping[str, Any],
    result: Any,
    shared: Mapping[str, Any] | None = None,
) -> None:
    """Raises a DimensionError unless jaxtyping and beartype accept the result."""
    if entry.is_layer:  # torch sees to what comes out
        return
    accepted = entry.reference_check(arguments).accepts_result(arguments, keywords, result)
    if not accepted or (shared is not None and not entry.fits_shared(shared, result)):
        _refuse(entry, arguments, keywords, "return", result)


def _reference_plain(entry: CheckedFunction) -> Callable[..., Any]:
    def call(*arguments: Any, **keywords: Any) -> Any:
        __tracebackhide__ = True
        if is_tracing():
            entry.prepare_traced(*scope_key_of(entry, arguments))
            if entry.traced is not None:
                return entry.traced(*arguments, **keywords)
        entry.check_arguments(entry, arguments, keywords)
        _dt_shared = entry.shared_names(arguments, keywords)
        translated: tuple[type[Exception], ...] = entry.translate_error[0] if entry.translate_error is not None else ()
        try:
            result = entry.function(*arguments, **keywords)
        except translated as error:
            better = translate_error(entry, entry.bound(arguments, keywords), error)
            if better is error:
                raise
            raise better from None
        entry.check_result(entry, arguments, keywords, result, _dt_shared)
        return result

    return call


def _reference_coroutine(entry: CheckedFunction) -> Callable[..., Any]:
    async def call(*arguments: Any, **keywords: Any) -> Any:
        __tracebackhide__ = True
        check_arguments(entry, arguments, keywords)
        _dt_shared = entry.shared_names(arguments, keywords)
        result = await entry.function(*arguments, **keywords)
        check_result(entry, arguments, keywords, result, _dt_shared)
        return result

    return call


def _reference_generator(entry: CheckedFunction) -> Callable[..., Any]:
    def call(*arguments: Any, **keywords: Any) -> Any:
        __tracebackhide__ = True
        if is_tracing():
            entry.prepare_traced(*scope_key_of(entry, arguments))
            if entry.traced is not None:
                return (yield from entry.traced(*arguments, **keywords))
        entry.check_arguments(entry, arguments, keywords)
        _dt_shared = entry.shared_names(arguments, keywords)
        generator = entry.function(*arguments, **keywords)
        return (yield from drive(generator, lambda it: check_result(entry, arguments, keywords, it, _dt_shared)))

    return call


def _reference_async_generator(entry: CheckedFunction) -> Callable[..., Any]:
    def call(*arguments: Any, **keywords: Any) -> Any:
        __tracebackhide__ = True
        check_arguments(entry, arguments, keywords)
        _dt_shared = entry.shared_names(arguments, keywords)
        generator = entry.function(*arguments, **keywords)
        check: Any = lambda item: check_result(entry, arguments, keywords, item, _dt_shared)  # noqa: E731  # one line
        return Checked(generator, check, _dt_shared)

    return call


REFERENCE_CALLS: dict[FunctionKind, Callable[[CheckedFunction], Callable[..., Any]]] = {
    FunctionKind.PLAIN: _reference_plain,
    FunctionKind.COROUTINE: _reference_coroutine,
    FunctionKind.GENERATOR: _reference_generator,
    FunctionKind.ASYNC_GENERATOR: _reference_async_generator,
}
