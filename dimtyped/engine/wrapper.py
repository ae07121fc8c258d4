"""The plain function that stands for a user's: what it runs until its first call, and how it becomes its check."""

from __future__ import annotations

import functools
import gc
import inspect
import sys
import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from dimtyped.annotations import FunctionKind, function_kind_of
from dimtyped.engine.call_names import EXPORTER
from dimtyped.engine.compiler import HELPERS, PREFIX, Compiled
from dimtyped.engine.recheck import (
    ambiguous,
    explain,
    is_ambiguous,
    is_violation,
    retry_target,
    strip_internal_frames,
    translate_error,
    unevaluable,
)
from dimtyped.engine.reloading import install, make_wrapper
from dimtyped.errors import DeclarationError, DimensionError
from dimtyped.names import Scope, scope_of
from dimtyped.runtime import at_trace_time, is_tracing, restart_trace, running_modules

if TYPE_CHECKING:
    from dimtyped.engine.checked_function import CheckedFunction

MARK = "__dimtyped__"
"""The attribute of a wrapper that holds its entry."""
_COPIED = ("__module__", "__name__", "__qualname__", "__doc__")


def wrap(entry: CheckedFunction) -> types.FunctionType:
    """The wrapper of an entry: a plain function that compiles the check at its first call and becomes it."""
    function = entry.function
    wrapper = make_wrapper(_stub_code(function), wrapper_globals(entry), function)
    entry.wrapper = wrapper
    for attribute in _COPIED:
        setattr(wrapper, attribute, getattr(function, attribute, None))
    # TorchDynamo's marks on the inner function would let a caller go around this one
    kept = {key: value for key, value in vars(function).items() if not key.startswith("_torchdynamo")}
    wrapper.__dict__.update(kept, __wrapped__=function, **{MARK: entry})
    _copy_annotations(function, wrapper)
    return wrapper


def _stub_code(function: Any) -> types.CodeType:
    """Code of its own: TorchDynamo keeps what it compiled by code object, and would take one wrapper for another."""
    name: str = getattr(function, "__name__", "call")
    template = _STUBS[function_kind_of(function)]
    return template.__code__.replace(co_name=name, co_qualname=getattr(function, "__qualname__", name))


def reset(entry: CheckedFunction) -> None:
    """Forgets the check of a function that has changed: the next call compiles it anew."""
    state = entry.__getstate__()
    entry.__dict__.clear()
    entry.__dict__.update(state)
    install(entry.wrapper, _stub_code(entry.function), wrapper_globals(entry), (None, None))
    for attribute in ("__doc__", "__annotations__"):
        setattr(entry.wrapper, attribute, getattr(entry.function, attribute))


def _copy_annotations(function: Any, wrapper: types.FunctionType) -> None:
    try:
        wrapper.__annotations__ = function.__annotations__
    except NameError:
        wrapper.__annotate__ = function.__annotate__  # type: ignore[attr-defined]  # from Python 3.14 on


def wrapper_globals(entry: CheckedFunction) -> dict[str, Any]:
    """What the code of an entry's wrapper finds under global names."""

    @at_trace_time
    def prepare(scope_key: str | None, cls: type, replace: bool) -> None:
        entry.prepare_scope_key(scope_key, cls, replace=replace)

    @at_trace_time
    def prepare_specialization(scope_key: str) -> str:
        return entry.prepare_specialization(scope_key)

    return {
        **(_torchs_globals(inspect.unwrap(entry.function).__module__) if entry.is_layer else {}),
        "__builtins__": __builtins__,
        f"{PREFIX}entry": entry,
        f"{PREFIX}function": entry.function,
        f"{PREFIX}prepare": prepare,
        f"{PREFIX}prepare_specialization": prepare_specialization,
        **_HELPERS,
    }


@functools.cache
def _torchs_globals(module: str) -> Mapping[str, Any]:
    """What the module of torch's `forward` knows.

    TorchScript compiles the source of that `forward`, found through `__wrapped__`, with the wrapper's globals.
    """
    return {key: value for key, value in vars(sys.modules[module]).items() if not key.startswith("__")}


def scope_key_of(entry: CheckedFunction, arguments: tuple[Any, ...]) -> tuple[str | None, type]:
    """Of a first call: the names that the module whose method it is declares, if it is one, and the owner's class."""
    if len(arguments) == 0:
        return None, object
    module = arguments[0]
    if not (entry.reads_scope and isinstance(module, torch.nn.Module)):
        return None, type(module)
    try:
        scope: Any = module._dim_scope  # ATTRIBUTE, in words that a trace follows
    except AttributeError:
        scope = missing_scope(module)
    return scope.scope_key, type(module)


def missing_scope(module: torch.nn.Module) -> Scope:
    """The scope of a module that has none yet; a trace then begins anew, for it has seen that there is none."""
    if not isinstance(module, torch.nn.Module):  # a class that shares the method with a module
        return Scope()
    return _make_scopes(module) if is_tracing() else scope_of(module)


def specialization_for(entry: CheckedFunction, owner: torch.nn.Module) -> str | None:
    """The attribute of `specializations` for the first module among owners that were none."""
    return entry.specialization_of(*scope_key_of(entry, (owner,)))


@at_trace_time
def _make_scopes(module: torch.nn.Module) -> Scope:
    """Reads the names of every module that this trace may come to, and of every other instance of their classes.

    A model compiled block by block thus needs one trace for all its blocks. Finding the instances takes 20 ms, once
    a compilation that meets a module without a scope.
    """
    classes = {type(member) for root in (*running_modules(), module) for member in root.modules()}
    reading = {type(module), *(cls for cls in classes if _reads_scope(cls))}
    for member in gc.get_referrers(*reading):
        if type(member) in reading:
            scope_of(member)
    scope = scope_of(module)
    restart_trace(f"the names that {type(module).__name__} declares are read")
    return scope


def _reads_scope(cls: type[torch.nn.Module]) -> bool:
    entry: CheckedFunction | None = getattr(cls.forward, MARK, None)
    return entry is not None and entry.reads_scope


_HELPERS: dict[str, Any] = {
    **HELPERS,
    f"{PREFIX}Module": torch.nn.Module,
    f"{PREFIX}ours": (DimensionError, DeclarationError),
    **{
        f"{PREFIX}{helper.__name__}": helper
        for helper in (
            scope_key_of,
            missing_scope,
            specialization_for,
            is_violation,
            explain,
            retry_target,
            is_ambiguous,
            ambiguous,
            translate_error,
            unevaluable,
            strip_internal_frames,
        )
    },
}


def install_code(function: types.FunctionType, compiled: Compiled) -> None:
    """Gives a function the compiled check's code. Defaults go first: a call between the two finds them."""
    names = dict(compiled.constants)
    if compiled.exporter is not None:
        names[EXPORTER] = types.FunctionType(compiled.exporter, function.__globals__, EXPORTER)
    install(function, compiled.code, names, (compiled.defaults, compiled.keyword_defaults))


# The code that a wrapper has until its first call ---------------------------------------------------------------------
# Each name that begins with _dt_ is a global of the wrapper, not of this file.


def _stub(*args: Any, **kwargs: Any) -> Any:
    if _dt_is_tracing():  # type: ignore[name-defined]
        _dt_prepare(*_dt_scope_key_of(_dt_entry, args), False)  # type: ignore[name-defined]
        return _dt_entry.call(*args, **kwargs)  # type: ignore[name-defined]
    try:
        _dt_prepare(*_dt_scope_key_of(_dt_entry, args), True)  # type: ignore[name-defined]
        return _dt_entry.call(*args, **kwargs)  # type: ignore[name-defined]
    except _dt_ours as error:  # type: ignore[name-defined]  # so that this is the only frame of ours below the user's
        raise error.with_traceback(_dt_strip_internal_frames(error))  # type: ignore[name-defined]  # noqa: B904  # the same error


async def _coroutine_stub(*args: Any, **kwargs: Any) -> Any:
    try:
        _dt_prepare(*_dt_scope_key_of(_dt_entry, args), not _dt_is_tracing())  # type: ignore[name-defined]
        return await _dt_entry.call(*args, **kwargs)  # type: ignore[name-defined]
    except _dt_ours as error:  # type: ignore[name-defined]
        raise error.with_traceback(_dt_strip_internal_frames(error))  # type: ignore[name-defined]  # noqa: B904  # the same error


def _generator_stub(*args: Any, **kwargs: Any) -> Any:
    try:
        _dt_prepare(*_dt_scope_key_of(_dt_entry, args), not _dt_is_tracing())  # type: ignore[name-defined]
        return (yield from _dt_entry.call(*args, **kwargs))  # type: ignore[name-defined]
    except _dt_ours as error:  # type: ignore[name-defined]
        raise error.with_traceback(_dt_strip_internal_frames(error))  # type: ignore[name-defined]  # noqa: B904  # the same error


async def _async_generator_stub(*args: Any, **kwargs: Any) -> Any:
    generator: Any = None
    try:
        _dt_prepare(*_dt_scope_key_of(_dt_entry, args), not _dt_is_tracing())  # type: ignore[name-defined]
        generator = _dt_entry.call(*args, **kwargs)  # type: ignore[name-defined]
        item = await generator.asend(None)
        while True:
            try:
                sent = yield item
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001  # goes where the user threw it: into the generator
                item = await generator.athrow(error)
            else:
                item = await generator.asend(sent)
    except StopAsyncIteration:
        pass
    except _dt_ours as error:  # type: ignore[name-defined]
        raise error.with_traceback(_dt_strip_internal_frames(error))  # type: ignore[name-defined]  # noqa: B904  # the same error
    finally:
        if generator is not None:
            await generator.aclose()


_STUBS: dict[FunctionKind, Callable[..., Any]] = {
    FunctionKind.PLAIN: _stub,
    FunctionKind.COROUTINE: _coroutine_stub,
    FunctionKind.GENERATOR: _generator_stub,
    FunctionKind.ASYNC_GENERATOR: _async_generator_stub,
}
