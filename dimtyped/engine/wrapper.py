"""The wrapper of a user's function, and the code that it runs until its first call compiles its check."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

from dimtyped.annotations import FunctionKind, function_kind_of
from dimtyped.engine import call_text
from dimtyped.engine.checked_function import MARK, CheckedFunction
from dimtyped.engine.compiler import run_source
from dimtyped.engine.declaration import Declaration
from dimtyped.engine.preparation import defined_again, first_globals, wrapper_globals
from dimtyped.engine.reloading import install, make_wrapper
from dimtyped.engine.source import SourceWriter
from dimtyped.names import SWITCHES, Switches, one_at_a_time, switches_of
from dimtyped.runtime import CHECKED_NAME, FIRST_CALL, PREFIX

_COPIED = ("__module__", "__name__", "__qualname__", "__doc__")


def wrap(declaration: Declaration) -> types.FunctionType:
    """The wrapper of a declared function: a plain function that compiles the check at its first call and takes its code."""
    checked = CheckedFunction(declaration)
    for other in checked.forms.fallback:
        if other is not None:
            _wrap(other)
    return _wrap(checked)


def _wrap(checked: CheckedFunction) -> types.FunctionType:
    function, rules = checked.declaration.function, checked.declaration.rules
    again = defined_again(checked)
    if again is not None:
        wrapper = checked.call = again
    else:
        code = _first_call_of(function)
        names = {**rules.extra_globals(function), **first_globals(checked, code)}
        wrapper = make_wrapper(code, names, function, is_users=rules.is_users)
    checked.wrapper = wrapper
    for attribute in _COPIED:
        setattr(wrapper, attribute, getattr(function, attribute, None))
    # TorchDynamo's marks on the inner function would let a caller bypass this one
    kept = {key: value for key, value in vars(function).items() if not key.startswith("_torchdynamo")}
    wrapper.__dict__.update(kept, __wrapped__=function, **{MARK: checked})
    _copy_annotations(function, wrapper)
    return wrapper


def reset(checked: CheckedFunction, declaration: Declaration) -> None:
    """Forgets the check of a function that has changed; the next call compiles it again."""
    wrapper: Any = checked.wrapper
    checked.__dict__.update(CheckedFunction(declaration).__dict__, wrapper=wrapper)
    function = declaration.function
    install(wrapper, _first_call_of(function), wrapper_globals(checked), (None, None))
    for attribute in ("__doc__", "__annotations__"):
        setattr(wrapper, attribute, getattr(function, attribute))


def switch(checked: CheckedFunction, change: Callable[[Switches], Switches]) -> None:
    """Changes the switches of a function; where that turns its checks off or on, the next call compiles them again."""
    with one_at_a_time:
        was_off, switches = checked.is_off, change(switches_of(checked))
        setattr(checked, SWITCHES, switches)
        if checked.is_off is not was_off:
            reset(checked, checked.declaration)
            setattr(checked, SWITCHES, switches)


def _copy_annotations(function: Any, wrapper: types.FunctionType) -> None:
    try:
        wrapper.__annotations__ = function.__annotations__
    except NameError:
        wrapper.__annotate__ = function.__annotate__  # type: ignore[attr-defined]  # from Python 3.14 on


def _first_call_of(function: Any) -> types.CodeType:
    """A new code object, because TorchDynamo caches by code object and would confuse two wrappers."""
    name: str = getattr(function, "__name__", "call")
    code = _first_call(function_kind_of(function))
    return code.replace(co_name=name, co_qualname=getattr(function, "__qualname__", name))


@functools.cache
def _first_call(kind: FunctionKind) -> types.CodeType:
    """The code that a wrapper has until its first call has compiled its check."""
    prepare = f"{PREFIX}prepare(*{PREFIX}scope_key_of({CHECKED_NAME}, args), {{}})"
    call = call_text.leave(kind, f"{CHECKED_NAME}.call(*args, **kwargs)")
    is_async = kind in (FunctionKind.COROUTINE, FunctionKind.ASYNC_GENERATOR)
    source = SourceWriter()
    if kind is FunctionKind.PLAIN:
        with source.block(f"if {PREFIX}is_tracing():"):
            source.write(prepare.format(False), *call)
        before = len(source.lines)
        # there is a call if the first one was in a trace; the reference engine's reads the names of the module each time
        with source.block(f"if {CHECKED_NAME}.call is None or {CHECKED_NAME}.engine is not None:"):
            source.write(prepare.format(True))
        source.write(*call)
    else:
        before = len(source.lines)
        source.write(prepare.format(f"not {PREFIX}is_tracing()"), *call)
    head = f"{'async ' if is_async else ''}def {PREFIX}first_call(*args, **kwargs):"
    file = FIRST_CALL.format(kind.name.lower())
    namespace = run_source(
        "\n".join((head, *source.lines[:before], *call_text.stripped(source.lines[before:]), "")), file, {}
    )
    return namespace[f"{PREFIX}first_call"].__code__
