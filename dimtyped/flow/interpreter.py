"""The interpreter: it watches the operators of a run and keeps the names of each tensor's axes.

It is a TorchFunctionMode, because there a composite (`matmul`, `linear`, `cross_entropy`) is one call, with gradients
enabled or not, on real, fake and meta tensors, and a tensor is the object that the user holds. A dispatch mode sees
twice as many operators: composites in parts if gradients are enabled, and other objects for views.
"""

import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.overrides import TorchFunctionMode, _get_current_function_mode, _pop_mode, _pop_mode_temporarily, _push_mode

from dimtyped.diagnosis import leave_unexplained
from dimtyped.flow.axes import OF_WEIGHT, Axes, Axis, Dimension, One, anonymous, constant
from dimtyped.flow.calls import Call, NoRule, Note, Outcome, Pending, Problem, axis_text, resized, text_of
from dimtyped.flow.fake_steps import call_recurrent
from dimtyped.flow.findings import Finding, finding
from dimtyped.flow.fixes import codes_of, fix_of, met_in, recurrent_fix
from dimtyped.flow.fixes.trials import Trials
from dimtyped.flow.fused import FusedLayers, source_of, time_axis
from dimtyped.flow.operators import Operator, operator_of
from dimtyped.flow.store import TensorMap
from dimtyped.flow.transforms import are_running, axes_of_wrapper, wrapped_in
from dimtyped.runtime import Place, Places, internal_frame


class Flow(TorchFunctionMode):
    """Follows the names of axes through every operator that is called within its `with` block.

    Args:
        independent: Names along which nothing may carry values.
        skip: Packages besides torch, the standard library and dimtyped whose frames are not the user's code.
        strict: If True, raises the errors of rules; otherwise their calls count as not followed. For the rules' own tests.
        record: Called with each call that a rule was found for, once its axes are known.
        findings_only: If True, only the findings of the run are used: an operator's error gets no note, and a recurrent
            layer on fake tensors runs one step.
        keeps_mixed: If True, an axis along which values are carried keeps its name, and that is no finding: for shapes that
            are read.

    Attributes:
        findings: The findings, each bug once, in the order they occurred.
        followed: The number of followed calls of each operator.
        unfollowed: The number of calls of each operator whose result has anonymous axes, because no rule covers the
            call.
        operator_error: The last error that an operator raised, with the finding that explains it.
        unequal: The sizes that should have been equal there.

    Example:
        >>> import torch
        >>> from dimtyped.flow import Dimension, Flow, axis_of
        >>> batch, seq = axis_of(Dimension(4, "batch")), axis_of(Dimension(4, "seq"))
        >>> with Flow() as flow:
        ...     x = flow.name_tensor(torch.ones(4, 4), (batch, seq))
        ...     y = x + x.T
        >>> [found.kind for found in flow.findings]
        ['coincidence']
    """

    def __init__(
        self,
        *,
        independent: Iterable[str] = ("batch",),
        skip: Iterable[str] = (),
        strict: bool = False,
        record: Callable[[Call], None] | None = None,
        findings_only: bool = False,
        keeps_mixed: bool = False,
    ):
        super().__init__()
        self.independent = frozenset(independent)
        self.followed: Counter[str] = Counter()
        self.unfollowed: Counter[str] = Counter()
        self.operator_error: tuple[Exception, Finding] | None = None
        self.unequal: tuple[tuple[int, int], ...] = ()
        self._strict = strict
        self._record = record
        self._findings_only = findings_only
        self._keeps_mixed = keeps_mixed
        self._is_paused = False
        self._stance: Any = None
        self._fused = FusedLayers(self._step_aside, self._step_back)
        self._places = Places(skip)
        self._found: dict[object, Finding] = {}
        self._names: TensorMap[Axes] = TensorMap()
        self._notes: TensorMap[Note] = TensorMap()
        self._operators: dict[Callable[..., Any], Operator] = {}

    @property
    def findings(self) -> list[Finding]:
        """The findings, each bug once, in the order they occurred."""
        return list(self._found.values())

    # names

    def name_tensor(self, tensor: Tensor, axes: Sequence[Axis]) -> Tensor:
        """Names the axes of a tensor; returns the tensor.

        Args:
            tensor: Held weakly, by identity.
            axes: One for each of its dimensions, of its size.

        Raises:
            ValueError: They have other sizes than the tensor.
        """
        axes, sizes = tuple(axes), _sizes(tensor)
        if tuple(axis.size for axis in axes) != sizes:
            raise ValueError(f"axes {text_of(axes)} for a tensor of shape {sizes}")
        self._names.set(tensor, _fixed_ones(axes) if isinstance(tensor, Parameter) else axes)
        return tensor

    def axes_of(self, tensor: Tensor) -> Axes:
        """The axes of a tensor; anonymous ones for a tensor without names."""
        sizes = _sizes(tensor)
        kept = self._names.get(tensor)
        if kept is not None and tuple(axis.size for axis in kept) == sizes:
            return kept
        axes = axes_of_wrapper(tensor, self.axes_of) if are_running() else None
        if axes is None:
            axes = constant(sizes) if isinstance(tensor, Parameter) else tuple(map(anonymous, sizes))
        self._names.set(tensor, axes)
        return axes

    def is_named(self, tensor: Tensor) -> bool:
        """True if an axis of the tensor has a name."""
        return any(axis.has_name for axis in self._names.get(tensor) or ())

    # the run

    def __enter__(self) -> Self:
        """Begins to follow; compiled functions run eagerly meanwhile, because their operators are invisible otherwise."""
        if "torch._dynamo" in sys.modules:
            self._stance = torch.compiler.set_stance("force_eager")
            self._stance.__enter__()
        self._fused.install()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        """Stops following."""
        self._fused.remove()
        if self._stance is not None:
            self._stance.__exit__(*error)
            self._stance = None
        super().__exit__(*error)

    @contextmanager
    def paused(self) -> Generator[None]:
        """Follows nothing within the block: for a layer that is followed by its contract."""
        self._is_paused = True
        try:
            if _get_current_function_mode() is self:
                with _pop_mode_temporarily():
                    yield
            else:
                yield
        finally:
            self._is_paused = False

    @internal_frame
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if torch.compiler.is_compiling():
            return func(*args, **(kwargs or {}))
        operator = self._operators.get(func)
        if operator is None:
            operator = self._operators[func] = operator_of(func)
        if operator.is_silent or self._is_paused:
            return func(*args, **(kwargs or {}))
        kwargs = kwargs or {}
        before = self._axes_before(args) if operator.is_in_place else None
        try:
            is_short = self._findings_only and operator.is_recurrent
            result = call_recurrent(func, args, kwargs) if is_short else func(*args, **kwargs)
        except (RuntimeError, IndexError, ValueError, TypeError, AssertionError) as error:
            self._explain(error, operator, args, kwargs, sys._getframe(1))
            raise
        if isinstance(result, (Tensor, tuple, list)) or operator.returns_nothing:
            made = args[0] if operator.returns_nothing else result
            call = Call(operator.name, args, kwargs, made, self.axes_of, self._notes.get, before, self.independent)
            call.function = func
            self._follow(operator, call, sys._getframe(1))
        return result

    def _step_aside(self, _: nn.Module) -> bool:
        """Leaves the stack of modes, if it is the innermost one."""
        if _get_current_function_mode() is not self:
            return False
        _pop_mode()
        return True

    def _step_back(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: object) -> None:
        """Enters it again; names what a fused layer returned, by its contract."""
        try:
            source = source_of(module, args, kwargs)
            results = list(_tensors(result))
            if source is None or not results or not all(map(_is_plain, [source, *results])):
                return
            call = Call(type(module).__name__, (source,), {}, result, self.axes_of)
            call.mixes(call.first()[time_axis(module, source.dim())])
            axes = resized(call.first(), results[0].shape, call.name)
            if isinstance(module, nn.MultiheadAttention):
                axes = (*axes[:-1], self.axes_of(module.out_proj.weight)[0])
            made = [axes, *(None for _ in results[1:])]
            self._keep(call, results, made, sys._getframe(1))
        finally:
            _push_mode(self)

    def _axes_before(self, args: Sequence[Any]) -> dict[int, Axes]:
        return {id(arg): self.axes_of(arg) for arg in args if isinstance(arg, Tensor) and _is_plain(arg)}

    def _follow(self, operator: Operator, call: Call, frame: FrameType) -> None:
        results = list(_tensors(call.result))
        if not results:
            return
        outcome = self._outcome(operator, call, results)
        if outcome is None:
            self._give_up(call, results)
            self.unfollowed[call.name] += 1
            return
        if self._record is not None:
            self._record(call)
        self._keep(call, results, outcome, frame)
        if call.notes or len(self._notes):
            self._keep_notes(operator, call, results, frame)

    def _keep(self, call: Call, results: Sequence[Tensor], outcome: list[Axes | None], frame: FrameType) -> None:
        """Gives the results their axes, and reports what the rule found wrong."""
        self.followed[call.name] += 1
        if call.mixed and not self._keeps_mixed:
            outcome = _without_mixed(call, outcome, self.independent)
        for tensor, axes in zip(results, outcome, strict=True):
            if axes is not None:
                self._names.set(tensor, axes)
                if are_running():
                    for inner, its_axes in wrapped_in(tensor, axes, call.tensors, self.axes_of):
                        self._names.set(inner, its_axes)
        if call.problems:  # the others follow from the first
            self._report(call.problems[0], call, frame)

    def _keep_notes(self, operator: Operator, call: Call, results: Sequence[Tensor], frame: FrameType) -> None:
        """Keeps the notes on the results, and reports what was noted of arguments that are used as they are."""
        for tensor in results:
            note = call.notes.get(id(tensor))
            if note is None:
                self._notes.drop(tensor)
            else:
                self._notes.set(tensor, Pending(note, self._places.find(frame)) if isinstance(note, Problem) else note)
        if operator.only_arranges:
            return
        for tensor in call.tensors:
            note = self._notes.get(tensor)
            if isinstance(note, Pending):
                found = self._finding_at(note.problem, None, note.place)
                if self._add(found) is found:
                    found.fix = recurrent_fix(note.place) or found.fix

    def _outcome(self, operator: Operator, call: Call, results: Sequence[Tensor]) -> list[Axes | None] | None:
        if operator.rule is None or not all(map(_is_plain, [*results, *call.tensors])):
            return None
        try:
            return _matched(operator.rule(call), results)
        except NoRule:
            return None
        except Exception:  # the rule is wrong, which must never end a user's run; the count shows it
            if self._strict:
                raise
            return None

    def _give_up(self, call: Call, results: Sequence[Tensor]) -> None:
        given = {id(tensor) for tensor in call.tensors}
        for tensor in results:
            if id(tensor) not in given:
                self._names.drop(tensor)

    # findings

    def report(self, problem: Problem, frame: FrameType | None = None, call: Call | None = None) -> Finding:
        """Adds a finding at the user's frame, or counts it once more.

        Args:
            problem: What is wrong.
            frame: Where to begin the search for the user's frame; the caller's by default.
            call: The call that it is about.
        """
        return self._report(problem, call, frame or sys._getframe(1))

    def _report(self, problem: Problem, call: Call | None, frame: FrameType) -> Finding:
        found = self._finding_at(problem, call, self._places.find(frame))
        known = self._add(found)
        if known is found and call is not None and not found.fix:
            found.fix = self._fix(problem, call, found.source, frame)
        return known

    def _add(self, found: Finding) -> Finding:
        known = self._found.get(found.key) or self._primary(found)
        if known is not None:
            known.times += known.key == found.key
            return known
        self._found[found.key] = found
        return found

    def _primary(self, found: Finding) -> Finding | None:
        """The finding that causes this one: scores over the batch are mixed by the softmax, and again by the product."""
        if found.kind != "mixing":
            return None
        alike = (found.kind, found.file, found.where, found.names)
        return next((each for each in self.findings if (each.kind, each.file, each.where, each.names) == alike), None)

    def _finding_at(self, problem: Problem, call: Call | None, place: Place) -> Finding:
        found = finding(problem.kind, problem.text, place, problem.names, problem.fix)
        if call is not None:
            found.operator = call.name
            shown = [tensor for tensor in call.tensors if _is_plain(tensor)]
            found.operands = tuple(_operand_text(tensor, call) for tensor in shown)
            found.operand_codes = codes_of(shown, call, place.source)
        dimensions = [dimension for axis in problem.axes for dimension in axis.dimensions]
        found.origins = {dimension.name or "": dimension.origin for dimension in dimensions}
        return found

    def _trials(self, call: Call) -> Trials | None:
        operator = self._operators.get(call.function) if call.function is not None else None
        return (
            Trials(call, call.function, operator.rule) if operator is not None and operator.rule is not None else None
        )

    def _fix(self, problem: Problem, call: Call, source: str, frame: FrameType) -> str:
        trials = self._trials(call)
        return fix_of(problem, trials, source, frame) if trials is not None else ""

    def _explain(
        self, error: Exception, operator: Operator, args: Sequence[Any], kwargs: dict[str, Any], frame: FrameType
    ) -> None:
        if self.operator_error is not None and self.operator_error[0] is error:
            return
        call = Call(operator.name, args, kwargs, None, self.axes_of)
        call.function = operator.function
        operands = [self.axes_of(tensor) for tensor in call.tensors if _is_plain(tensor)]
        trials = self._trials(call) if all(map(_is_plain, call.tensors)) else None
        met = met_in(trials) if trials is not None else []
        text = ", ".join(f"{axis_text(one)} meets {axis_text(other)}" for one, other in met)
        text = text or f"{operator.name} does not take {' with '.join(map(text_of, operands)) or 'this call'}"
        axes = [axis for pair in met for axis in pair] or [axis for axes in operands for axis in axes]
        problem = Problem("refused", text, [axis for axis in axes if axis.has_name])
        found = self._finding_at(problem, call, self._places.find(frame))
        if trials is not None:
            found.fix = fix_of(problem, trials, found.source, frame)
        self.operator_error = (error, found)
        self.unequal = tuple((one.size, other.size) for one, other in met)
        if self._findings_only:
            leave_unexplained(error)


def _sizes(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)


def _fixed_ones(axes: Axes) -> Axes:
    """The axes of a parameter: an axis of size 1 has that size in every run."""
    return tuple(OF_WEIGHT if axis.size == 1 and axis.one is One.ANY else axis for axis in axes)


def _is_plain(tensor: Tensor) -> bool:
    """True for a tensor whose sizes are plain numbers: neither symbolic nor nested."""
    return not tensor.is_nested and all(type(size) is int for size in tensor.shape)


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:  # pyright: ignore[reportUnknownVariableType] - what an operator returned
            yield from _tensors(item)


def _matched(outcome: Outcome, results: Sequence[Tensor]) -> list[Axes | None] | None:
    """The axes of each result; one tuple of axes applies to each result that it fits."""
    if outcome is None:
        return None
    each = outcome if isinstance(outcome, list) else [outcome] * len(results)
    if len(each) != len(results):
        raise ValueError(f"a rule gave axes for {len(each)} results, there are {len(results)}")
    for tensor, axes in zip(results, each, strict=True):
        if axes is not None and tuple(axis.size for axis in axes) != tuple(tensor.shape):
            raise ValueError(f"a rule gave {text_of(axes)} for a result of shape {tuple(tensor.shape)}")
    return list(each)


_SHORT_NAMES = {"multi_head_attention_forward": "attention", "scaled_dot_product_attention": "attention"}


def _without_mixed(call: Call, results: list[Axes | None], independent: frozenset[str]) -> list[Axes | None]:
    """Reports an independent dimension along which values are carried; its axes become anonymous."""
    left = {dimension for axes in results for axis in axes or () for dimension in axis.dimensions}
    for axis in call.mixed:
        for dimension in axis.dimensions:
            if dimension in left and not independent.isdisjoint(dimension.names):
                name = _SHORT_NAMES.get(call.name, call.name)
                call.report("mixing", f"{name} carries values along {axis}", axis)
                return [axes and tuple(_anonymous_if(dimension, each) for each in axes) for axes in results]
    return results


def _anonymous_if(dimension: Dimension, axis: Axis) -> Axis:
    return anonymous(axis.size, f"mixed {axis}") if dimension in axis.dimensions else axis


def _operand_text(tensor: Tensor, call: Call) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {text_of(call.axes(tensor))}"
