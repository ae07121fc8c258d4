"""One run of a target on copies, on fake tensors or on real ones, and its outcome."""

import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

from dimtyped.errors import DimensionError
from dimtyped.flow.axes import Axes
from dimtyped.flow.copies import fake_copy, undisturbed
from dimtyped.flow.findings import Finding
from dimtyped.flow.inputs import called
from dimtyped.flow.targets import Target
from dimtyped.flow.tracer import TracedFlow

_LOGGER = "torch._subclasses.fake_tensor"


@dataclass(frozen=True)
class Options:
    """Options of a TracedFlow."""

    independent: tuple[str, ...] = ("batch",)
    skip: tuple[str, ...] = ()
    findings_only: bool = False
    keeps_mixed: bool = False


@dataclass
class Run:
    """The outcome of one run.

    Args:
        flow: The Flow that followed it.
        sizes: The sizes of the names that the inputs were made with.
        results: The axes of each tensor of the result.
        error: The error that ended it, if any.
        is_real: True if it ran on real tensors.
        why_real: The error of the run on fake tensors.
    """

    flow: TracedFlow
    sizes: Mapping[str, int]
    results: list[Axes]
    error: Exception | None
    is_real: bool = False
    why_real: str = ""

    @property
    def reached(self) -> int:
        """The number of operators that were called before its end."""
        return sum(self.flow.followed.values()) + sum(self.flow.unfollowed.values())

    @property
    def finding(self) -> Finding | None:
        """The finding for the error that ended it; None if it completed, or if the error is not about shapes."""
        return self.flow.finding_of(self.error) if self.error is not None else None


class Runner:
    """Runs a target, each time on a new copy.

    Args:
        target: The target.
        given: Its given arguments, by name.
        options: The options of the Flow.
        mode: The fake tensors.

    Attributes:
        around: Makes a context for each run, from what follows it and the copy that runs. Default: nothing happens in it.
    """

    def __init__(self, target: Target, given: Mapping[str, Any], options: Options, mode: FakeTensorMode):
        self.target = target
        self.given = given
        self.options = options
        self.around: Callable[[TracedFlow, Callable[..., Any]], AbstractContextManager[object]] = _nothing_around
        self._mode = mode
        self._needs_values = False

    def run(self, sizes: Mapping[str, int], *, optional: bool = False) -> Run:
        """Runs on fake tensors; after an error that is not about shapes, once more on real ones."""
        run = self._run(sizes, optional=optional, is_real=self._needs_values)
        is_settled = run.error is None or run.finding is not None or run.is_real
        return run if is_settled else self._on_real(run, optional=optional)

    def confirmed(self, run: Run) -> Run:
        """Repeats a run in which torch raised on real tensors, which support more than fake ones."""
        is_torchs = run.error is not None and not isinstance(run.error, DimensionError)
        return self._on_real(run) if is_torchs and not run.is_real else run

    def _on_real(self, run: Run, *, optional: bool = False) -> Run:
        if not self.target.can_be_real(self.given):
            return run
        again = self._run(run.sizes, optional=optional, is_real=True)
        self._needs_values = again.error is None
        again.why_real = f"{type(run.error).__name__}: {str(run.error).partition(chr(10))[0]}"
        return again

    def _run(self, sizes: Mapping[str, int], *, optional: bool, is_real: bool) -> Run:
        flow = TracedFlow(**vars(self.options))
        target, maker = self.target, self.target.maker
        flow.expect(target.function, target.signature)
        with undisturbed(target.modules):
            call, given = target.made_real(self.given) if is_real else target.copied(self._faked, self.given)
            with nullcontext() if is_real else self._mode:
                made = maker.make(given, sizes, optional=optional) if maker.parameters else given
                args, kwargs = called(target.function, _with_owner(target, made))
                if target.owner is not None:
                    args = args[1:]
                with self.around(flow, call):
                    return _followed(flow, call, args, kwargs, sizes, is_real=is_real)

    def _faked(self, value: Any) -> Any:
        return fake_copy(value, self._mode)


def _nothing_around(flow: TracedFlow, call: Callable[..., Any]) -> AbstractContextManager[object]:  # noqa: ARG001  # what others look at
    return nullcontext()


def _with_owner(target: Target, made: Mapping[str, Any]) -> dict[str, Any]:
    if target.owner is None:
        return dict(made)
    first = next(iter(target.signature.parameters)).name if target.signature is not None else "self"
    return {first: target.owner, **made}


def _followed(
    flow: TracedFlow,
    call: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    sizes: Mapping[str, int],
    *,
    is_real: bool,
) -> Run:
    with torch.compiler.set_stance("force_eager"), _quiet():
        try:
            with flow:
                result = call(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything; it is judged by the caller
            return Run(flow, sizes, [], error, is_real)
        return Run(flow, sizes, [flow.axes_of(tensor) for tensor in _tensors(result)], None, is_real)


@contextmanager
def _quiet() -> Generator[None]:
    """Keeps torch from printing each error of a fake tensor with its traceback, because the finding shows it."""
    logger = logging.getLogger(_LOGGER)
    before, logger.disabled = logger.disabled, True  # a change of its level makes all loggers forget theirs
    try:
        yield
    finally:
        logger.disabled = before


def _tensors(result: Any) -> Iterator[Tensor]:
    for leaf in pytree.tree_leaves(result):
        if isinstance(leaf, Tensor) and not leaf.is_nested:
            yield leaf
