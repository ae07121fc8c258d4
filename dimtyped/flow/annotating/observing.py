"""Runs models and programs, with several sizes where it can, and keeps the calls of the user's functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from dimtyped.flow.annotating.inputs import InputAxis, Inputs, ShapedInput, Sizes
from dimtyped.flow.annotating.made_with import ConstructorTracer, made_with
from dimtyped.flow.annotating.proposals import Proposal, proposals_of
from dimtyped.flow.annotating.recorder import CallRecorder, CallSeen, FunctionKey, OuterCallRecorder, PlainCallRecorder
from dimtyped.flow.annotating.shape_comments import Words
from dimtyped.flow.annotating.source import Readings
from dimtyped.flow.attempts import Attempts
from dimtyped.flow.axes import Axis
from dimtyped.flow.copies import fake_mode, undisturbed
from dimtyped.flow.runs import Options, Run, Runner
from dimtyped.flow.sizes import LADDERS, OTHERS
from dimtyped.flow.targets import Factory, Target, makes_module, target_of
from dimtyped.flow.tracer import TracedFlow
from dimtyped.names import scope_of
from dimtyped.runtime import Place


class Observer:
    """Keeps the calls of the user's functions in all runs.

    Args:
        is_wanted: True of the files whose functions are looked at.
        skip: Packages whose lines are not the user's.
    """

    def __init__(self, is_wanted: Callable[[str], bool], skip: Sequence[str] = ()) -> None:
        self._is_wanted = is_wanted
        self._skip = tuple(skip)
        self._readings = Readings()
        self._calls: list[CallSeen] = []
        self._given: dict[FunctionKey, dict[str, Words]] = {}
        self._fixed: dict[FunctionKey, set[InputAxis]] = {}
        self._runs = 0
        self._varied: set[int] = set()

    @property
    def proposals(self) -> list[Proposal]:
        """Annotations for each function that was called."""
        return proposals_of(self._calls, self._given, self._fixed, self._varied)

    # what is run

    def observe_model(
        self, model: Any, inputs: Mapping[str, Any], sizes: Mapping[str, int], arguments: Mapping[str, Any] | None
    ) -> Exception | None:
        """Runs a module, what makes one, or a function.

        Args:
            model: It.
            inputs: The inputs of its call; those that are missing are made from annotations.
            sizes: Sizes of names.
            arguments: What a class or factory takes besides its `DimSize` parameters.

        Returns:
            The error of the run; None if it completed.

        Raises:
            DeclarationError: It cannot be run as it was given.
            Exception: What making it raises.
        """
        if not makes_module(model, arguments):
            return self.observe_target(target_of(model), inputs, sizes)
        known = inspect.signature(model).parameters
        factory = Factory(model, {name: size for name, size in sizes.items() if name in known}, arguments or {})
        made, raised = factory.targets(), list[Exception]()
        while True:
            with ConstructorTracer(self._readings):
                target, made_with = next(made, (None, {}))
            if target is None:
                return raised[0] if raised else None
            left = {name: size for name, size in sizes.items() if name not in made_with}
            error = self.observe_target(target, inputs, left)
            if error is None:
                return None
            raised.append(error)

    def observe_program(self, function: Callable[[], Any]) -> tuple[Any, Exception | None]:
        """Runs a function that needs no arguments; what it calls is run again with other sizes.

        Returns:
            Its result, and the error of the run if there was one.
        """
        flow = TracedFlow(skip=self._skip)
        recorder = OuterCallRecorder(flow, self._readings, self._runs, self._is_wanted, self._skip)
        result: Any = None
        with undisturbed(), torch.compiler.set_stance("force_eager"), recorder:
            try:
                with flow:
                    result = function()
            except SystemExit as end:
                if end.code:
                    return None, RuntimeError(f"it calls sys.exit({end.code!r})")
            except Exception as error:  # noqa: BLE001 - the user's code may raise anything; it is reported
                return None, error
        self._keep(recorder, is_varied=False)
        for outer, inputs in recorder.outer:
            self._vary(target_of(outer), Inputs(inputs), {}, {})
        return result, None

    def observe_target(self, target: Target, inputs: Mapping[str, Any], sizes: Mapping[str, int]) -> Exception | None:
        """Runs a module or function with inputs, made ones where they are missing.

        Returns:
            The error of the run; None if it completed.
        """
        given, error = Inputs(inputs), None
        self._keep_names(target, inputs)
        known = {**made_with(target.owner).sizes, **target.declared, **sizes}
        held = {name: known[name] for name in given.names if name in known}
        free = [name for name in given.names if name not in held]
        for ladder in LADDERS if free else LADDERS[:1]:
            own = [size for size in ladder if size not in target.own_sizes]
            if len(own) < len(free):
                continue
            base = given.sizes({**held, **dict(zip(free, own, strict=False))})
            runner = self._runner(target, given.made(base))
            attempts = Attempts(runner, sizes)
            first, step = attempts.first()
            error = error or first.error
            if first.error is None:
                self._run_with(runner, lambda runner=runner, run=first: runner.run(run.sizes), is_varied=False)
                self._run_more(runner, attempts, step)
                self._vary(target, given, base, first.sizes)
                return None
        return error

    def _run_more(self, runner: Runner, attempts: Attempts, step: int) -> None:
        """Runs with other sizes of the names in annotations, and with the tensors that a call may leave out."""
        if attempts.free:
            self._run_with(runner, lambda: attempts.run(OTHERS[step]), is_varied=True)
        if attempts.has_optional:
            self._run_with(runner, lambda: attempts.with_optional(LADDERS[step]), is_varied=True)

    def _vary(self, target: Target, given: Inputs, base: Sizes, sizes: Mapping[str, int]) -> None:
        """Runs with other sizes of the inputs, and without those that may be left out.

        Sizes of which a reshape makes another number of rows are not meant, though torch takes them: `x.view(-1, 784)`.
        """
        base = base or given.sizes({})
        runner = self._runner(target, given.made(base))
        usual = self._run_with(runner, lambda: runner.run(sizes), is_varied=False)

        def runs(changed: Sizes) -> bool:
            runner = self._runner(target, given.made(changed))
            return self._run_with(runner, lambda: runner.run(sizes), is_varied=True, usual=usual) is not None

        made = given.made(base)
        is_loss = target.owner is None and usual is not None and not any(usual.results)
        self._keep_fixed(target, given.varied(base, runs, first_together=is_loss))
        for name in _optional(target, made):
            runner = self._runner(target, {key: value for key, value in made.items() if key != name})
            self._run_with(runner, lambda runner=runner: runner.run(sizes), is_varied=False)

    def _runner(self, target: Target, given: Mapping[str, Any]) -> Runner:
        return Runner(target, given, Options(skip=self._skip), fake_mode())

    def _run_with(
        self, runner: Runner, run: Callable[[], Run | None], *, is_varied: bool, usual: Run | None = None
    ) -> Run | None:
        """Runs, and keeps the calls; None if it does not complete, or makes its results of other axes than the usual run."""
        recorders: list[CallRecorder] = []

        def around(flow: TracedFlow, _: Any) -> CallRecorder:
            make = PlainCallRecorder if _is_plain(runner.target) else CallRecorder
            recorders.append(make(flow, self._readings, self._runs, self._is_wanted, self._skip))
            return recorders[-1]

        runner.around = around
        done = run()
        if done is None or done.error is not None or (usual is not None and not _is_alike(done, usual)):
            return None
        self._keep(recorders[-1], is_varied=is_varied)
        return done

    def _keep(self, recorder: CallRecorder, *, is_varied: bool) -> None:
        self._calls += recorder.calls
        if is_varied:
            self._varied.add(self._runs)
        self._runs += 1

    def _keep_fixed(self, target: Target, fixed: set[InputAxis]) -> None:
        """Keeps the axes whose sizes no run could change, in none of the calls that were varied."""
        key = self._key(target)
        if key is not None:
            self._fixed[key] = self._fixed.get(key, fixed) & fixed

    def _keep_names(self, target: Target, inputs: Mapping[str, Any]) -> None:
        """Keeps the names that the user wrote for the axes of inputs."""
        key = self._key(target)
        if key is not None:
            words = {name: _words(value) for name, value in inputs.items() if isinstance(value, ShapedInput)}
            self._given.setdefault(key, {}).update(words)

    def _key(self, target: Target) -> FunctionKey | None:
        """The function of a target; None if its source cannot be read."""
        code = getattr(inspect.unwrap(target.function), "__code__", None)
        reading = self._readings.of(code) if code is not None else None
        return (code.co_filename, reading.line) if code is not None and reading is not None else None


def _is_plain(target: Target) -> bool:
    """True of a function, and of a module in which nothing declares names."""
    return target.owner is None or not any(scope_of(module).names for module in target.owner.modules())


def _is_alike(run: Run, usual: Run) -> bool:
    """True if a run cuts across no other axes than the usual one, and makes the axes of its results of the same ones."""
    if not _cuts(run) <= _cuts(usual):
        return False
    if [len(axes) for axes in run.results] != [len(axes) for axes in usual.results]:
        return True
    pairs = [
        (a, b)
        for ours, theirs in zip(run.results, usual.results, strict=True)
        for a, b in zip(ours, theirs, strict=True)
    ]
    return all(_made_of(a) == _made_of(b) for a, b in pairs if a.is_named and b.is_named)


def _cuts(run: Run) -> set[Place]:
    """The places of reshapes that cut across axes."""
    return {found.place for found in run.flow.findings if found.kind == "scramble"}


def _made_of(axis: Axis) -> list[tuple[str | None, bool]]:
    """The dimensions of an axis, and whether each is a whole one."""
    return [(factor.dimension.name, factor.is_whole) for factor in axis.factors]


def _words(given: ShapedInput) -> Words:
    return tuple(axis if isinstance(axis, str) else "" for axis in given.axes)


def _optional(target: Target, given: Mapping[str, Any]) -> Iterator[str]:
    """The inputs whose default is None."""
    for name, parameter in inspect.signature(target.function).parameters.items():
        if name in given and given[name] is not None and parameter.default is None:
            yield name
