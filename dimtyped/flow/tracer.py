"""The annotated calls of a run: the arguments are named when one begins, the result is compared when it returns.

Python's profile hook reports them, except inside an operator. So typed functions and annotated `forward` methods need
no wrapper for this, and cost nothing if no run is followed.
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import CodeType, FrameType, FunctionType
from typing import Any, Self

import torch
from torch import Tensor

from dimtyped.annotations import (
    AnythingHint,
    FunctionKind,
    Hint,
    Signature,
    is_array_annotation,
    mentions_tensors,
    read_array,
    read_signature,
)
from dimtyped.engine import CheckedFunction, assert_dims, entry_of, resolved, target_of
from dimtyped.errors import DeclarationError, DimensionError
from dimtyped.flow.assignments import Assignments
from dimtyped.flow.bindings import Binding, SharedDimensions
from dimtyped.flow.calls import Call
from dimtyped.flow.findings import Finding, finding
from dimtyped.flow.fixes import advised
from dimtyped.flow.interpreter import Flow
from dimtyped.flow.operators import Operator
from dimtyped.flow.scopes import Scopes
from dimtyped.names import is_scope
from dimtyped.runtime import Place, checked_in, internal_frame, mode, place_at

_LATER = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_ASSERT = assert_dims.__code__
_MAY_CALL_BACK = ("builtins", "_functools")
"""Modules whose functions call others more than once for one result: `sum`, `max`, `reduce`."""


class TracedFlow(Flow):
    """A Flow that takes names from the annotations of the functions called within it.

    Its arguments are those of `Flow`.
    """

    def __init__(self, **options: Any):
        super().__init__(record=self._note_squeeze, **options)
        self.troubles: list[str] = []
        self.sizes_of_weights: tuple[int, ...] = ()
        self.sizes_beside_weights: tuple[int, ...] = ()
        self.squeezed: dict[Place, int] = {}
        self.squeezed_dims: dict[Place, tuple[int, ...]] = {}
        self.scopes = Scopes(self)
        # By the code's id: its hash reads all of it, and functions of two files may have equal code.
        self._signatures: dict[int, tuple[CodeType, Signature]] = {}
        self._nameless: dict[int, CodeType] = {}
        self._open: list[tuple[FrameType, Signature, Binding]] = []
        self._shared: SharedDimensions = {}
        self._previous: Any = None
        self._hook: Any = None
        self._assignments = Assignments()
        self._calling_back = 0
        self._returned: dict[str, tuple[CodeType, int]] = {}

    @property
    def bound_independent(self) -> set[str]:
        """The independent names that an annotation has bound."""
        return {name for name, _, scope in self._shared if scope is None}

    def expect(self, function: Callable[..., Any], signature: Signature | None) -> None:
        """Takes names from a function's annotations even if nothing enforces them."""
        code = getattr(inspect.unwrap(function), "__code__", None)
        if code is not None and signature is not None and not code.co_flags & _LATER:
            self._signatures[id(code)] = code, signature

    def finding_of(self, error: BaseException) -> Finding | None:
        """The finding for an exception that ended the run; None if the user's code raised it for its own reasons."""
        chain: list[BaseException] = []
        link: BaseException | None = error
        while link is not None and link not in chain:
            chain.append(link)
            link = link.__cause__ or link.__context__
        if isinstance(error, DimensionError):
            return self._finding_of_ours(error)
        if self.operator_error is None or self.operator_error[0] not in chain or any(map(_is_of_fake_tensors, chain)):
            return None
        found = self.operator_error[1]
        return replace(found, message=f"{found.message}\n{_first_lines(self.operator_error[0])}")

    def _finding_of_ours(self, error: DimensionError) -> Finding:
        place = self._places.find_in(error.__traceback__)
        text = str(error)
        if error.hint and text.endswith(error.hint):
            text = text.removesuffix(error.hint).rstrip()
        if error.argument == "return" and error.where in self._returned:
            place = place_at(*self._returned[error.where])
        names = (error.dim,) if error.dim else ()
        hint = error.hint or ""
        return finding("refused", text, place, names, advised(place.source, error.argument, hint) or hint)

    def __enter__(self) -> Self:
        super().__enter__()
        self._previous = sys.getprofile()
        self._hook = self._see
        sys.setprofile(self._hook)
        return self

    def __exit__(self, *details: object) -> None:
        try:
            if self._is_hooked():
                _set_profile(self._previous)
            else:
                self.troubles.append("another profiler was set meanwhile: annotated calls after that gave no names")
            self._open.clear()
        finally:
            super().__exit__(*details)

    def _is_hooked(self) -> bool:
        """True if Python's profile hook is this one: a profiler that starts inside the block takes its place."""
        return self._hook is not None and sys.getprofile() is self._hook

    @internal_frame
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if not self._is_hooked():
            return super().__torch_function__(func, types, args, kwargs)
        sys.setprofile(None)
        try:
            result = super().__torch_function__(func, types, args, kwargs)
            self._match_assigned(sys._getframe(1), result)
            return result
        finally:
            sys.setprofile(self._hook)

    def _explain(
        self, error: Exception, operator: Operator, args: Sequence[Any], kwargs: dict[str, Any], frame: FrameType
    ) -> None:
        super()._explain(error, operator, args, kwargs, frame)
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        storages = _storages_of_weights(frame)
        weights = [each for each in tensors if isinstance(each, torch.nn.Parameter) or _storage_of(each) in storages]
        self.sizes_of_weights = tuple(dict.fromkeys(size for weight in weights for size in weight.shape))
        others = [each for each in tensors if not any(each is weight for weight in weights)]
        self.sizes_beside_weights = tuple(dict.fromkeys(size for other in others for size in other.shape))

    def _note_squeeze(self, call: Call) -> None:
        """Records how many axes each `squeeze` removed, the most at each place."""
        if call.name == "squeeze" and isinstance(call.result, Tensor):
            place = self._places.find(sys._getframe(1))
            sizes = call.tensors[0].shape
            gone = len(sizes) - call.result.dim()
            self.squeezed[place] = max(gone, self.squeezed.get(place, 0))
            dims = tuple(dim - len(sizes) for dim, size in enumerate(sizes) if size == 1)
            self.squeezed_dims[place] = dims if self.squeezed_dims.get(place, dims) == dims else ()

    def _see(self, frame: FrameType, event: str, value: Any) -> None:
        """The profile hook, called when a function begins or ends. Its own errors must not end the user's run."""
        running = self._open[-1][0] if self._open else None
        if event == "call":
            if id(frame.f_code) in self._nameless:
                return
        elif frame is not running and (event != "return" or frame.f_back is not running):
            return  # most calls are torch's own, and leave by these lines
        try:
            self._seen(frame, event, value)
        except Exception as error:  # noqa: BLE001 - it is kept, and the report shows it
            self.troubles.append(
                f"the names of {frame.f_code.co_qualname} were not read: {type(error).__name__}: {error}"
            )

    def _seen(self, frame: FrameType, event: str, value: Any) -> None:
        if event == "call":
            self._enter_frame(frame)
        elif event == "return":
            self._leave_frame(frame, value)
        elif self._open and self._open[-1][0] is frame and getattr(value, "__module__", "") in _MAY_CALL_BACK:
            self._calling_back += 1 if event == "c_call" else -1

    def _leave_frame(self, frame: FrameType, value: Any) -> None:
        if not self._open:
            return
        if self._open[-1][0] is frame:
            _, signature, binding = self._open.pop()
            self._calling_back = 0
            self._returned[signature.where] = (frame.f_code, frame.f_lasti)
            binding.match(signature.result, value, "return", frame)
        if frame.f_back is not None:
            self._match_assigned(frame.f_back, value)

    def _match_assigned(self, frame: FrameType, value: Any) -> None:
        """Compares a value with the annotation of the variable that it is assigned to, where a call in this frame made it."""
        if not self._open or self._open[-1][0] is not frame or self._calling_back:
            return
        assignment = self._assignments.at(frame)
        hint = assignment.hint(frame) if assignment is not None else None
        if assignment is not None and hint is not None:
            self._open[-1][2].match_assigned(hint, value, assignment.target, frame)

    def _enter_frame(self, frame: FrameType) -> None:
        code = frame.f_code
        if code is _ASSERT:
            self._match_assertion(frame)
            return
        _, signature = self._signatures.get(id(code)) or (code, self._signature_of(frame))
        if signature is None:
            self._nameless[id(code)] = code
        else:
            self._signatures[id(code)] = code, signature
            self._open_call(frame, signature)

    def _signature_of(self, frame: FrameType) -> Signature | None:
        """The annotations of a frame's function, of its parameters or of the variables in its body."""
        code = frame.f_code
        found = _signature_of(frame)
        if found is not None or code.co_flags & _LATER or not self._places.is_users(code):
            return found
        return _without_annotations(code) if self._assignments.of(code) else None

    def _open_call(self, frame: FrameType, signature: Signature) -> None:
        given = frame.f_locals
        first = frame.f_code.co_varnames[0] if frame.f_code.co_argcount else ""
        owner = given.get(first) if first == "self" else None
        declared = self.scopes.declared(owner) if isinstance(owner, torch.nn.Module) else {}
        scope = id(owner) if isinstance(owner, torch.nn.Module) else signature.where
        around = next((each for _, _, each in reversed(self._open) if each.scope == scope), None)
        binding = Binding(self, signature.where, scope, declared, self._shared, around, is_checked=mode() != "off")
        for parameter in signature.parameters:
            binding.match(parameter.hint, given.get(parameter.name), parameter.name, frame.f_back)
        self._open.append((frame, signature, binding))

    def _match_assertion(self, frame: FrameType) -> None:
        """Compares `assert_dims(x, annotation)` in a body with the names of the enclosing call."""
        if not self._open:
            return
        value, given = (frame.f_locals.get(name) for name in frame.f_code.co_varnames[:2])
        annotation, target = resolved(given), target_of(given)
        if is_array_annotation(annotation):
            self._open[-1][2].match(read_array(annotation), value, target or "assert_dims", frame.f_back)


def _without_annotations(code: CodeType) -> Signature:
    """The signature of a function of which only variables are annotated."""
    nothing: Hint = AnythingHint(Any)
    where = code.co_qualname.rpartition("<locals>.")[2]
    return Signature(_without_annotations, where, FunctionKind.PLAIN, (), nothing, Any, expressible=True)


def _set_profile(profiler: Any) -> None:
    """Sets a profile hook that was there before: a function, or a C profiler such as cProfile's, which is no callable."""
    if profiler is None or isinstance(profiler, Callable):
        sys.setprofile(profiler)
    else:
        sys.setprofile(None)
        profiler.enable()


def _is_of_fake_tensors(error: BaseException) -> bool:
    """True for an error that only fake tensors raise: they have no values."""
    return type(error).__module__.startswith(("torch._subclasses", "torch.fx"))


def _first_lines(error: BaseException) -> str:
    """The first line of torch's message, without the frames that it may list."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def _signature_of(frame: FrameType) -> Signature | None:
    """The annotations that a frame's function is called under; None where there are none."""
    if frame.f_code.co_flags & _LATER:
        return None
    entry = _entry_around(frame)
    try:
        if entry is not None:
            return entry.signature if entry.declaration.checks_tensors and entry.declaration.is_users else None
        function = _annotated_method(frame)
        return read_signature(function) if function is not None else None
    except DeclarationError:
        return None  # the call itself raises


def _entry_around(frame: FrameType) -> CheckedFunction | None:
    """The entry of the typed call whose function runs in this frame."""
    outer = frame.f_back
    if outer is None:
        return None
    found: Any = checked_in(outer.f_code, outer.f_globals)
    if isinstance(found, CheckedFunction) and inspect.unwrap(found.declaration.function).__code__ is frame.f_code:
        return found
    return None


def _annotated_method(frame: FrameType) -> FunctionType | None:
    """The `forward` of a module that is annotated and not typed; with checks off, any method of a scope of names."""
    code = frame.f_code
    if not code.co_argcount or (code.co_name != "forward" and mode() != "off"):
        return None
    owner = frame.f_locals.get(code.co_varnames[0])
    if not isinstance(owner, torch.nn.Module) or not (code.co_name == "forward" or is_scope(owner)):
        return None
    function = inspect.getattr_static(type(owner), code.co_name, None)
    if not isinstance(function, FunctionType) or function.__code__ is not code or entry_of(function) is not None:
        return None
    hints = getattr(function, "__annotations__", {}).values()
    return function if any(isinstance(hint, str) or mentions_tensors(hint) for hint in hints) else None


def _storages_of_weights(frame: FrameType | None) -> set[int]:
    """The storages of the parameters of all modules that run, which a view such as `table[:length]` shares."""
    owners: list[torch.nn.Module] = []
    while frame is not None:
        owners += [held for held in frame.f_locals.values() if isinstance(held, torch.nn.Module)]
        frame = frame.f_back
    parameters = {id(each): each for owner in owners for each in owner.parameters()}
    return {storage for each in parameters.values() if (storage := _storage_of(each))}


def _storage_of(tensor: Tensor) -> int:
    """Tells a tensor's storage from others; 0 for a tensor without one, such as a sparse one."""
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):
        return 0
