"""One decorated function: its signature, its compiled checks, and what happens when one refuses.

An entry is what the wrapper, the engines and the diagnosis share. The first call compiles: outside a trace the
wrapper's own code is replaced by the check; inside one, where that would make TorchDynamo trace it twice, the
check is made beside it.
"""

from __future__ import annotations

import functools
import inspect
import threading
import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from dimtyped.annotations import (
    AnythingHint,
    Inexpressible,
    Signature,
    arrays_in,
    function_kind_of,
    names_tensors,
    read_signature,
    size_at,
    warn_of,
)
from dimtyped.diagnosis import (
    Binding,
    Findings,
    Snapshot,
    arguments_of,
    build_error,
    declared_names,
    find_mismatches,
    from_description,
    names_of,
    snapshot,
    unexplained,
)
from dimtyped.engine.call_names import AMBIGUOUS, ENTRY, VALUES, code_objects_of, names_of_call, register, sizes_in
from dimtyped.engine.compiler import MISSING, PREFIX, Compiled, Missing, compile_check, is_marked
from dimtyped.engine.recheck import ambiguous, is_ambiguous
from dimtyped.engine.reference_calls import REFERENCE_CALLS, check_arguments, check_result
from dimtyped.engine.reloading import has_name
from dimtyped.engine.wrapper import install_code, wrapper_globals
from dimtyped.errors import DimensionError
from dimtyped.names import ATTRIBUTE, Scope, resync, scope_key_names, scope_of, twin_of
from dimtyped.runtime import at_trace_time, end_trace, layer_path, untraced

if TYPE_CHECKING:
    from dimtyped.engine.reference import ReferenceCheck

_one_at_a_time = threading.RLock()  # two threads whose first calls meet compile one after the other


class CheckedFunction:
    """What is known of one decorated function.

    Args:
        function: The function as its user wrote it.
        names: What its string annotations may name beside its globals.
        fixed: The sizes of `typed(dims=...)`.
        attributes: For our own layers: names, and the attributes of the layer that hold their sizes. Default: no layer.
        annotations: For our own layers: the annotations, in place of the function's.
        translate_error: For our own layers: the kinds of exception of the function that mean a wrong argument, and what
            makes our error of one: it is given the entry, the values and the exception.
        is_method: Whether the first argument may be a module whose names count.
        only_if_tensors: Whether to leave the function alone where no annotation of it is jaxtyping's, as for a
            `forward` that its user did not decorate: `x: Tensor = None` there is no mistake.
        reference: Whether the reference engine checks.
        error: The exception to raise; a kind of DimensionError.
        rank_error: The one for too few or too many axes. Default: the same.
        check_after_error: For our own layers: a condition in Python over the function's parameters. Where it is true the function
            raises by itself for all that is refused, so that outside traces the check may wait for that.
        forms: For our own layers: what holds in each form of the call, by a condition in Python over the function's
            parameters. The first that is true decides; the last one is empty and always is. None: torch alone decides.
        otherwise: For our own layers: what holds in forms that are rarer, by conditions that are looked at only once
            the check has failed. None: torch alone decides.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        names: Mapping[str, Any] | None = None,
        fixed: Mapping[str, int] | None = None,
        attributes: Mapping[str, str] | None = None,
        annotations: Mapping[str, Any] | None = None,
        translate_error: tuple[tuple[type[Exception], ...], Callable[..., Exception]] | None = None,
        is_method: bool = False,
        only_if_tensors: bool = False,
        reference: bool = False,
        error: type[DimensionError] = DimensionError,
        rank_error: type[DimensionError] | None = None,
        check_after_error: str = "",
        forms: Mapping[str, CheckedFunction | None] | None = None,
        otherwise: Mapping[str, CheckedFunction | None] | None = None,
    ) -> None:
        self.function = function
        self.names = dict(names or {})
        self.fixed = dict(fixed or {})
        self.attributes = dict(attributes or {})
        self.is_layer = attributes is not None
        self.annotations = annotations
        self.translate_error = translate_error
        self.is_method = is_method
        self.only_if_tensors = only_if_tensors
        self.reference = reference
        self.error = error
        self.rank_error = rank_error or error
        self.check_after_error = check_after_error
        self.forms = dict(forms or {})
        self.otherwise = dict(otherwise or {})
        self.rarer: tuple[tuple[Callable[..., bool], CheckedFunction | None], ...] = ()
        self.reads_scope = is_method and not self.is_layer
        self.call: Callable[..., Any] | None = None
        self.traced: Callable[..., Any] | None = None
        self.is_untraced = False
        self.check_arguments: Callable[..., None] = check_arguments
        self.check_result: Callable[..., None] = check_result
        self.scope_keys: dict[str, str] = {}
        self.specializations = types.SimpleNamespace()
        self.wrapper: Callable[..., Any] = function
        self._signature: Signature | None = None
        self._references: dict[tuple[Any, ...], ReferenceCheck] = {}

    def __getstate__(self) -> dict[str, Any]:
        state = {key: value for key, value in self.__dict__.items() if key != "code_objects"}  # code does not pickle
        state.update(call=None, traced=None, is_untraced=False, _signature=None, _references={})
        state.update(scope_keys={}, specializations=types.SimpleNamespace())
        state.update(check_arguments=check_arguments, check_result=check_result)
        return state

    @property
    def signature(self) -> Signature:
        """The signature, read at the first call.

        Raises:
            DeclarationError: an annotation cannot be resolved.
        """
        if self._signature is None:
            self._signature = self._read_signature()
        return self._signature

    @property
    def checks_tensors(self) -> bool:
        """Whether an annotation of jaxtyping's stands in the signature at all."""
        return not self.signature.expressible or any(arrays_in(hint) for hint in self.signature.hints)

    def _read_signature(self) -> Signature:
        if self.only_if_tensors and not names_tensors(self.function, self.names):
            return self._read_annotations({})
        return self._read_annotations(self.annotations)

    def _read_annotations(self, annotations: Mapping[str, Any] | None) -> Signature:
        return read_signature(
            self.function,
            names=self.names,
            fixed=self.fixed,
            attributes=self.attributes,
            annotations=annotations,
        )

    # Compiling --------------------------------------------------------------------------------------------------------

    def prepare(self, module: torch.nn.Module | None, *, replace: bool) -> None:
        """Compiles the check, for the names that `module` declares where this is its method."""
        if self.call is None:
            self.prepare_scope_key(
                scope_of(module).scope_key if module is not None else None, type(module), replace=replace
            )

    def prepare_scope_key(self, scope_key: str | None, cls: type, *, replace: bool) -> None:
        """The same for the names that a module of class `cls` declares; None for a function that is no method."""
        with _one_at_a_time:
            if self.call is None:
                self._prepare_scope_key(scope_key if self._is_method_of(cls) else None, replace=replace)

    def _prepare_scope_key(self, scope_key: str | None, *, replace: bool) -> None:
        code = None if self.reference else self._compile(scope_key)
        if code is None:
            self.call = self._by_reference()
        elif replace and isinstance(self.wrapper, types.FunctionType):
            if not has_name(self.wrapper, f"{PREFIX}function"):  # cloudpickle leaves out what the stub does not name
                self.wrapper.__globals__.update(wrapper_globals(self))
            install_code(self.wrapper, code)
            self.call = self.wrapper
        else:
            self.call = self._function_of(code)
        if scope_key is not None and code is not None:
            self._keep_specialization(scope_key, self.call)
        if (
            not self.is_layer and not self.code_objects
        ):  # a body that calls `assert_dims` may use the names that we miss
            warn_of(self.signature, {*self.fixed, *scope_key_names(scope_key or "")})

    def prepare_for(self, module: torch.nn.Module) -> None:
        """Compiles the check for one more module's names, before a trace would need it."""
        if self.scope_keys and self._is_method_of(type(module)):
            self.prepare_specialization(scope_of(module).scope_key)

    def prepare_specialization(self, scope_key: str) -> str:
        """The attribute of `specializations` that checks modules with other names than the first one had.

        An attribute, since a trace looks at a dictionary once: it would not see what is added while it runs.
        """
        with _one_at_a_time:
            if scope_key not in self.scope_keys:
                code = self._compile(scope_key)
                self._keep_specialization(
                    scope_key, self._function_of(code) if code is not None else self._by_reference()
                )
        return self.scope_keys[scope_key]

    @at_trace_time
    def specialization_of(self, scope_key: str | None, cls: type) -> str | None:
        """The same for the first module among owners that were none; None where this is not the module's method."""
        return self.prepare_specialization(scope_key) if scope_key is not None and self._is_method_of(cls) else None

    @property
    def may_be_method(self) -> bool:
        """Whether the first argument, so far no module, may be one at another call: `self` of a class that both have."""
        parameters = self.signature.parameters
        return self.reads_scope and bool(parameters) and isinstance(parameters[0].hint, AnythingHint)

    def _keep_specialization(self, scope_key: str, call: Callable[..., Any]) -> None:
        name = f"specialization_{len(self.scope_keys)}"
        setattr(self.specializations, name, call)
        self.scope_keys[scope_key] = name

    @at_trace_time
    def prepare_traced(self, scope_key: str | None, cls: type) -> None:
        """For the reference engine, which no trace can follow: the fast check to trace in its place.

        Where there is none, the checks stay what they are, behind a graph break.
        """
        if self.traced is not None or self.is_untraced:
            return
        scope_key = scope_key if self._is_method_of(cls) else None
        code = self._compile(scope_key)
        if code is None:
            self.is_untraced = True
            reason = f"{self.signature.where}: jaxtyping and beartype check its annotations, which no trace can follow"
            self.check_arguments = untraced(check_arguments, reason)
            self.check_result = untraced(check_result, reason)
        else:
            self.traced = self._function_of(code)
            if scope_key is not None:
                self._keep_specialization(scope_key, self.traced)

    def _compile(self, scope_key: str | None) -> Compiled | None:
        """The fast check, or None where only the reference engine can decide."""
        self._read_conditions()
        signature = self.signature
        if not signature.expressible:
            return None
        try:
            translated = (
                (Exception,) if self.check_after_error else self.translate_error[0] if self.translate_error else ()
            )
            forms = {text: (entry, entry and entry.signature) for text, entry in self.forms.items()}
            compiled = compile_check(
                signature,
                scope_key,
                bool(self.code_objects),
                translated,
                may_be_method=self.may_be_method,
                check_after_error=self.check_after_error,
                forms=forms,
            )
        except Inexpressible:
            return None
        register(compiled.code, self.code_objects)
        return compiled

    @functools.cached_property
    def code_objects(self) -> tuple[types.CodeType, ...]:
        """The function's code, where it calls `assert_dims`."""
        return code_objects_of(self.function)

    def _is_method_of(self, cls: type) -> bool:
        """Whether the class really holds this function as a method, not as a static one."""
        name = getattr(self.function, "__name__", "")
        held = inspect.getattr_static(cls, name, None)
        return self.is_method and not isinstance(held, staticmethod)

    def _function_of(self, code: Compiled) -> Callable[..., Any]:
        made = types.FunctionType(code.code, wrapper_globals(self), code.code.co_name, code.defaults)
        install_code(made, code)
        made.__module__ = self.function.__module__
        made.__qualname__ = getattr(self.function, "__qualname__", code.code.co_name)
        return made

    def _by_reference(self) -> Callable[..., Any]:
        self._read_conditions()
        made = REFERENCE_CALLS[function_kind_of(self.function)](self)
        register(made.__code__, self.code_objects)
        return made

    # Forms ------------------------------------------------------------------------------------------------------------

    def _read_conditions(self) -> None:
        """Compiles the conditions of the rarer forms: here, since no trace can, and at import it would cost all layers."""
        for entry in (self, *filter(None, self.forms.values())):
            entry.rarer = tuple((_predicate(entry.function, text), other) for text, other in entry.otherwise.items())

    def form_of(self, values: tuple[Any, ...]) -> CheckedFunction | None:
        """What holds in this form of the call; None where torch alone decides."""
        chosen = (entry for text, entry in self.forms.items() if not text or _predicate(self.function, text)(*values))
        return next(chosen, self)

    def other_form(self, values: tuple[Any, ...]) -> Callable[..., Any] | None:
        """What decides instead of this check, which has failed."""
        for holds, entry in self.rarer:
            if holds(*values):
                return entry.wrapper if entry is not None else self.call_unchecked
        return None

    # Refusing ---------------------------------------------------------------------------------------------------------

    def owner(self, values: tuple[Any, ...]) -> Any:
        """The module whose method was called, if it is one."""
        first = values[0] if values else None
        return first if self.is_method and isinstance(first, torch.nn.Module) else None

    def declared(self, owner: Any) -> dict[str, Binding]:
        """The names that have a size before the call."""
        scope: Scope | None = owner.__dict__.get(ATTRIBUTE) if isinstance(owner, torch.nn.Module) else None
        where = self.where(owner) if self.is_layer else ""
        return declared_names(self.signature, owner, where, None if self.is_layer else scope)

    def where(self, owner: Any) -> str:
        """The function's name, or for one of our layers its path in the running model."""
        if self.is_layer and isinstance(owner, torch.nn.Module):
            return layer_path(owner)
        return self.signature.where

    def labels(self, owner: Any) -> dict[str, str]:
        """What the user calls the names of one of our layers."""
        return owner._dim_labels if self.is_layer and owner is not None else {}

    def explain_snapshots(
        self, owner: Any, values: tuple[Snapshot, ...], paths: Mapping[str, Any], stage: str, result: Snapshot | None
    ) -> DimensionError | None:
        """The error for described values, or None where everything fits. What a call left out is not checked."""
        signature = self.signature
        named = zip(signature.parameters, values, strict=True)
        given = {parameter.name: value for parameter, value in named if value.cls is not Missing}
        is_result = stage == "return"
        shared = names_of_call(self) if is_result and self.code_objects else {}
        findings = find_mismatches(
            signature, self.declared(owner), given, result if is_result else None, paths, owner, shared
        )
        if not findings.mismatches:
            return None
        kind = self.rank_error if findings.mismatches[0].kind == "rank" else self.error
        return build_error(findings, self.where(owner), self.labels(owner), kind)

    def misfit(self, values: tuple[Any, ...], stage: str = "arguments", result: Any = None) -> DimensionError | None:
        """The error for a call's arguments, or at the stage `return` for its result; None where they fit."""
        given = tuple(snapshot(value) for value in values)
        return self.explain_snapshots(self.owner(values), given, self._paths(values), stage, snapshot(result))

    def mismatch_after_error(self, values: tuple[Any, ...]) -> DimensionError | None:
        """The error for a call that the function has refused before any check; None where that came first, or all fits."""
        if not self.check_after_error or not _predicate(self.function, self.check_after_error)(*values):
            return None
        form = self.form_of(values)
        if form is None or form.misfit(values) is None:
            return None
        deciding = next((rarer for holds, rarer in form.rarer if holds(*values)), form)
        return deciding.misfit(values) if deciding is not None else None

    def explain(self, values: tuple[Any, ...], stage: str, result: Any) -> DimensionError:
        """The error for a call that an engine has refused."""
        found = self.misfit(values, stage, result)
        return found if found is not None else self._unexplained(self.owner(values), stage)

    @at_trace_time
    def twin_of(self, name: str) -> str:
        """What a name in the annotations looks like a misspelling of, where it looks like one."""
        used = [other for hint in self.signature.hints for other in names_of(hint)]
        declared = [other for scope_key in self.scope_keys for other in scope_key_names(scope_key)]
        return twin_of(name, (*declared, *self.fixed, *used)) or ""

    @at_trace_time
    def place_of(self, axis: str) -> str:
        """The first parameter whose annotation has this axis, or `return`."""
        hints = [(parameter.name, parameter.hint) for parameter in self.signature.parameters]
        places = [
            (name, array) for name, hint in (*hints, ("return", self.signature.result)) for array in arrays_in(hint)
        ]
        return next((name for name, array in places if any(axis == other.text for other in array.axes)), "")

    def _unexplained(self, owner: Any, stage: str) -> DimensionError:
        return unexplained(self.where(owner), "return" if stage == "return" else "")

    @at_trace_time
    def explain_traced(
        self, owner: torch.nn.Module | None, described: tuple[Any, ...], stage: str, result: tuple[Any, ...]
    ) -> DimensionError:
        """The same inside a trace, over descriptions of the values, or what the trace has in their place; ends it."""
        module = owner if self.is_method else None
        known = arguments_of(self)
        values = tuple(
            snapshot(known[parameter.name]) if known.get(parameter.name) is not None else from_description(description)
            for parameter, description in zip(self.signature.parameters, described, strict=True)
        )
        paths = self._paths(tuple(value.value for value in values))
        if owner is not None:
            paths[self.signature.parameters[0].name] = owner
        found = self.explain_snapshots(module, values, paths, stage, from_description(result))
        return end_trace(found if found is not None else self._unexplained(module, stage))

    def is_stale(self, values: tuple[Any, ...], stage: str, result: Any) -> bool:
        """Whether the module changed unseen since its names were read, and the call fits after all."""
        owner = self.owner(values)
        if owner is None or self.is_layer or not resync(owner):
            return False
        return self.misfit(values, stage, result) is None

    def _paths(self, values: tuple[Any, ...]) -> dict[str, Any]:
        """What the `{...}` of an annotation may read."""
        named = zip(self.signature.parameters, values, strict=False)
        return {p.name: p.default if isinstance(value, Missing) else value for p, value in named}

    def bound(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> tuple[Any, ...]:
        """What each parameter was given."""
        bound = inspect.signature(self.function).bind(*arguments, **keywords)
        return tuple(bound.arguments.get(p.name, _absent(p)) for p in self.signature.parameters)

    def call_unchecked(self, *arguments: Any, **keywords: Any) -> Any:
        """Calls the function, with its defaults for what was left out."""
        bound = inspect.signature(self.function).bind(*arguments, **keywords)
        for parameter in self.signature.parameters:
            if isinstance(bound.arguments.get(parameter.name), Missing):
                bound.arguments[parameter.name] = parameter.default
        return self.function(*bound.args, **bound.kwargs)

    # The reference engine ---------------------------------------------------------------------------------------------

    def shared_names(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> dict[str, Any] | None:
        """The names of a call that this engine has accepted, for `assert_dims` in the function's body."""
        if not self.code_objects:
            return None
        values = self.bound(arguments, keywords)
        given = {parameter.name: value for parameter, value in zip(self.signature.parameters, values, strict=True)}
        owner = self.owner(values)
        scope = scope_of(owner) if owner is not None and self.reads_scope else Scope()
        ambiguous = [name for name in scope_key_names(scope.scope_key) if scope.is_ambiguous(name)]
        return {
            ENTRY: self,
            VALUES: given,
            **dict.fromkeys(ambiguous, AMBIGUOUS),
            **self.findings_of(given).names,
        }

    def findings_of(self, values: Mapping[str, Any]) -> Findings:
        """The names of a call whose arguments an engine has accepted, with their origins."""
        owner = self.owner(tuple(values.values()))
        given = {name: snapshot(value) for name, value in values.items() if not isinstance(value, Missing)}
        paths = self.given(values)
        found = find_mismatches(self.signature, self.declared(owner), given, None, paths, owner)
        return Findings(bindings=found.bindings, runs=found.runs, paths=paths)

    def read_again(self, values: Mapping[str, Any], names: dict[str, Any]) -> bool:
        """Takes what the module declares into `names` anew, where it has changed unseen."""
        owner = self.owner(tuple(values.values()))
        if owner is None or not self.reads_scope or not resync(owner):
            return False
        names.update(scope_of(owner).names)
        return True

    def given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a call's parameters, with the defaults of those that were left out."""
        return self._paths(tuple(values[parameter.name] for parameter in self.signature.parameters))

    def fits_shared(self, shared: Mapping[str, Any], result: Any) -> bool:
        """Whether the result fits the names that `assert_dims` has bound too."""
        findings = Findings()
        findings.learn(sizes_in(shared), "")
        findings.check(self.signature.result, snapshot(result), "return")
        return all(mismatch.kind != "size" for mismatch in findings.mismatches)

    def reference_check(self, arguments: tuple[Any, ...]) -> ReferenceCheck:
        """The reference check with the sizes that the first argument's scope declares."""
        sizes = dict(self.fixed)
        owner = self.owner(arguments)
        if owner is not None and self.is_layer:
            sizes.update((name, size_at(owner, path)) for name, path in self.attributes.items())
        elif owner is not None and self._is_method_of(type(owner)):
            self._reject_ambiguous(owner, scope_of(owner))
            sizes = {**scope_of(owner).names, **sizes}
        key = tuple(sorted(sizes.items()))
        if key not in self._references:
            from dimtyped.engine.reference import ReferenceCheck  # noqa: PLC0415  # beartype: see _bearable

            self._references[key] = ReferenceCheck(self.signature, sizes)
        return self._references[key]

    def _reject_ambiguous(self, owner: torch.nn.Module, scope: Scope) -> None:
        if "!" in scope.scope_key:
            used = {name for hint in self.signature.hints for name in names_of(hint)}
            for name in sorted(used):
                if scope.is_ambiguous(name) and is_ambiguous(owner, name):
                    raise ambiguous(self, owner, name)


def _predicate(function: Callable[..., Any], condition: str) -> Callable[..., bool]:
    """A condition of our own declarations over a function's parameters."""
    parameters = ", ".join(inspect.signature(function).parameters)
    known = {"Tensor": torch.Tensor, **inspect.unwrap(function).__globals__}  # as the compiled check finds them
    return eval(f"lambda {parameters}: {condition}", known)  # our own declaration's text


def _absent(parameter: Any) -> Any:
    """What the fast engine finds where a call gave nothing."""
    kinds: dict[str, Any] = {"VAR_POSITIONAL": (), "VAR_KEYWORD": {}}
    return kinds.get(parameter.kind.name, MISSING if is_marked(parameter) else parameter.default)
