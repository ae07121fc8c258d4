"""Compiles the checks of a decorated function, and puts them where its calls find them.

The first call compiles. Outside a trace the wrapper's own code is replaced by the check; inside one, where that would
make TorchDynamo trace it twice, the check is a function beside it.
"""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import torch

from dimtyped.annotations import AnythingHint, Inexpressible, warn_of
from dimtyped.engine.call_names import EXPORTER, register
from dimtyped.engine.check_plan import CheckPlan
from dimtyped.engine.checked_function import CheckedFunction
from dimtyped.engine.common_names import COMMON
from dimtyped.engine.compiler import Compiled, compile_check, compile_reference
from dimtyped.engine.declaration import Declaration
from dimtyped.engine.redefinitions import definition_of, find_compiled, forget_compiled, keep_compiled
from dimtyped.engine.reference_engine import ReferenceEngine
from dimtyped.engine.reloading import has_name, install, is_inner, make_beside
from dimtyped.names import is_off_by, scope_key_names, scope_of
from dimtyped.runtime import CHECKED_NAME, PREFIX, at_trace_time, untraced

_one_at_a_time = threading.RLock()  # two threads with simultaneous first calls compile one after the other


def prepare(checked: CheckedFunction, module: torch.nn.Module | None) -> None:
    """Compiles the check for the names that `module` declares, if this is its method, before a call or a trace needs it.

    Raises:
        DeclarationError: an annotation cannot be resolved.
    """
    if checked.call is None:
        prepare_scope_key(
            checked, scope_of(module).scope_key if module is not None else None, type(module), replace=True
        )
    if module is not None and checked.scope_keys and checked.declaration.is_method_of(type(module)):
        prepare_specialization(checked, scope_of(module).scope_key)


def prepare_scope_key(checked: CheckedFunction, scope_key: str | None, cls: type, *, replace: bool) -> None:
    """Compiles the check for the names that a module of class `cls` declares; None for a function that is not a method.

    `replace` makes it the wrapper's own code.
    """
    with _one_at_a_time:
        if checked.call is None:
            is_method = scope_key is not None and checked.declaration.is_method_of(cls)
            _prepare_first(checked, scope_key if is_method else None, replace=replace)


def prepare_specialization(checked: CheckedFunction, scope_key: str) -> str:
    """The attribute of `specializations` that checks modules with other names than the first one had."""
    with _one_at_a_time:
        if scope_key not in checked.scope_keys:
            code = _find_compiled(checked, scope_key) or _compile(checked, scope_key)
            call = _function_of(checked, code) if code is not None else _by_reference(checked)
            _keep_specialization(checked, scope_key, call)
    return checked.scope_keys[scope_key]


def prepare_traced(checked: CheckedFunction, scope_key: str | None, cls: type) -> None:
    """With the reference engine, which no trace can follow: compiles the check to trace in its place.

    If there is none, the reference engine checks behind a graph break.
    """
    if checked.traced is not None or checked.is_untraced:
        return
    scope_key = scope_key if checked.declaration.is_method_of(cls) else None
    code = _find_compiled(checked, scope_key) or _compile(checked, scope_key)
    if code is not None:
        checked.traced = _function_of(checked, code)
        if scope_key is not None:
            _keep_specialization(checked, scope_key, checked.traced)
        return
    checked.is_untraced = True
    reason = f"{checked.signature.where}: jaxtyping and beartype check its annotations, which no trace can follow"
    engine: Any = checked.engine
    engine.check_arguments = untraced(engine.check_arguments, reason)
    engine.check_result = untraced(engine.check_result, reason)


def _prepare_first(checked: CheckedFunction, scope_key: str | None, *, replace: bool) -> None:
    by_reference = checked.declaration.by_reference
    shared = None if by_reference else _find_compiled(checked, scope_key)
    code = shared or (None if by_reference else _compile(checked, scope_key))
    if code is None:
        checked.call = _by_reference(checked)
    elif replace and isinstance(checked.wrapper, types.FunctionType):
        has_all = has_name(checked.wrapper, f"{PREFIX}function")  # it was reset
        install_code(checked.wrapper, code, {} if has_all else wrapper_globals(checked))
        checked.call = checked.wrapper
    else:
        checked.call = _function_of(checked, code)
    if scope_key is not None and code is not None:
        _keep_specialization(checked, scope_key, checked.call)
    declaration = checked.declaration
    # `assert_dims` may use names that are missing here; a definition that shares its check has none to warn of
    warns = declaration.rules.is_users and not declaration.code_objects and shared is None
    if warns and warn_of(checked.signature, {*declaration.fixed, *scope_key_names(scope_key or "")}):
        forget_compiled(definition_of(declaration, scope_key))


def _keep_specialization(checked: CheckedFunction, scope_key: str, call: Callable[..., Any]) -> None:
    name = f"specialization_{len(checked.scope_keys)}"
    setattr(checked.specializations, name, call)
    checked.scope_keys[scope_key] = name


def _find_compiled(checked: CheckedFunction, scope_key: str | None) -> Compiled | None:
    """The check of an earlier definition of the function that this one shares."""
    compiled = find_compiled(definition_of(checked.declaration, scope_key)) if not checked.is_off else None
    if compiled is not None:
        register(compiled.code, checked.declaration.code_objects)
    return compiled


def defined_again(checked: CheckedFunction) -> types.FunctionType | None:
    """A wrapper with the check of an earlier, equal definition, for a closure that a step defines anew; None without one.

    A method is left to its first call, which knows the names of its module.
    """
    declaration = checked.declaration
    function = declaration.function
    if declaration.is_method or declaration.by_reference or not is_inner(function):
        return None
    compiled = _find_compiled(checked, None)
    if compiled is None:
        return None
    names = {**_globals_for(checked, compiled), **compiled.constants}
    if compiled.exporter is not None:
        names[EXPORTER] = types.FunctionType(compiled.exporter, names, EXPORTER)
    made = types.FunctionType(compiled.code, names)
    made.__defaults__, made.__kwdefaults__ = compiled.defaults, compiled.keyword_defaults
    return made


def _compile(checked: CheckedFunction, scope_key: str | None) -> Compiled | None:
    """The compiled check, or None if only the reference engine can decide."""
    _compile_conditions(checked)
    declaration, signature = checked.declaration, checked.signature
    if not signature.expressible:
        return None
    try:
        compiled = compile_check(plan_of(checked, scope_key))
    except Inexpressible:
        return None
    register(compiled.code, declaration.code_objects)
    if not checked.is_off:
        keep_compiled(definition_of(declaration, scope_key), compiled)
    return compiled


def plan_of(checked: CheckedFunction, scope_key: str | None) -> CheckPlan:
    """The data that the check for these names is written from."""
    declaration = checked.declaration
    return CheckPlan(
        checked.signature,
        scope_key,
        exports_names=bool(declaration.code_objects),
        translated=(Exception,) if checked.forms.after_error is not None else declaration.rules.translated,
        may_be_method=_may_be_method(declaration),
        after_error=checked.forms.after_error,
        forms=tuple((when, check, check and check.signature) for when, check in checked.forms.usual),
        is_off=checked.is_off or is_off_by(scope_key, declaration.method),
    )


def _may_be_method(declaration: Declaration) -> bool:
    """True if the first argument may be a module in another call: `self` of a mixin, so far without a module."""
    parameters = declaration.signature.parameters
    return declaration.reads_scope and bool(parameters) and isinstance(parameters[0].hint, AnythingHint)


def _compile_conditions(checked: CheckedFunction) -> None:
    for each in (checked, *checked.forms.checks):
        each.forms.compile_conditions()


def _function_of(checked: CheckedFunction, code: Compiled) -> Callable[..., Any]:
    function = checked.declaration.function
    made = make_beside(checked.wrapper, code.code, wrapper_globals(checked))
    install_code(made, code)
    made.__module__ = function.__module__
    made.__qualname__ = getattr(function, "__qualname__", code.code.co_name)
    return made


def _by_reference(checked: CheckedFunction) -> Callable[..., Any]:
    _compile_conditions(checked)
    checked.engine = checked.engine or ReferenceEngine(checked)
    declaration = checked.declaration
    exports = bool(declaration.code_objects)
    code = compile_reference(checked.signature, declaration.rules.translated, exports_names=exports)
    register(code.code, declaration.code_objects)
    return _function_of(checked, code)


def install_code(
    function: types.FunctionType, compiled: Compiled, further: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Gives a function the compiled check's code, with its constants and `further` globals."""
    names = {**further, **compiled.constants}
    if compiled.exporter is not None:
        names[EXPORTER] = types.FunctionType(compiled.exporter, function.__globals__, EXPORTER)
    install(function, compiled.code, names, (compiled.defaults, compiled.keyword_defaults))


# The globals of a wrapper ---------------------------------------------------------------------------------------------


def first_globals(checked: CheckedFunction, code: types.CodeType) -> dict[str, Any]:
    """The globals that a wrapper needs until its first call, which adds the others. There may be thousands of them."""
    return {CHECKED_NAME: checked, f"{PREFIX}prepare": _prepare_of(checked), **_common(code.co_names)}


def wrapper_globals(checked: CheckedFunction) -> dict[str, Any]:
    """The globals that the code of a wrapper uses, under names that begin with `PREFIX`."""
    declaration = checked.declaration
    return {
        **declaration.rules.extra_globals(declaration.function),
        CHECKED_NAME: checked,
        f"{PREFIX}function": declaration.function,
        f"{PREFIX}prepare": _prepare_of(checked),
        **_preparing(checked),
        **COMMON,
    }


def _globals_for(checked: CheckedFunction, compiled: Compiled) -> dict[str, Any]:
    """The globals that this code uses. Functions that prepare other checks are made for each wrapper, but few codes use them."""
    if not compiled.names.isdisjoint(_PREPARING):
        return wrapper_globals(checked)
    return {CHECKED_NAME: checked, f"{PREFIX}function": checked.declaration.function, **_common(compiled.names)}


def _common(names: Iterable[str]) -> dict[str, Any]:
    return {name: COMMON[name] for name in ("__builtins__", *names) if name in COMMON}


_PREPARING = {
    f"{PREFIX}{name}" for name in ("prepare", "prepare_specialization", "specialization_for", "prepare_traced")
}


def _prepare_of(checked: CheckedFunction) -> Callable[..., Any]:
    """What the first call asks for, inside a trace too: there all its arguments must be constants."""

    @at_trace_time
    def prepare(scope_key: str | None, cls: type, replace: bool) -> None:
        prepare_scope_key(checked, scope_key, cls, replace=replace)

    return prepare


def _preparing(checked: CheckedFunction) -> dict[str, Callable[..., Any]]:
    """The other functions that prepare checks, with constants too."""

    @at_trace_time
    def specialize(scope_key: str) -> str:
        return prepare_specialization(checked, scope_key)

    @at_trace_time
    def specialize_for(scope_key: str | None, cls: type) -> str | None:
        if scope_key is None or not checked.declaration.is_method_of(cls):
            return None
        return prepare_specialization(checked, scope_key)

    @at_trace_time
    def prepare_trace(scope_key: str | None, cls: type) -> None:
        prepare_traced(checked, scope_key, cls)

    return {
        f"{PREFIX}prepare_specialization": specialize,
        f"{PREFIX}specialization_for": specialize_for,
        f"{PREFIX}prepare_traced": prepare_trace,
    }
