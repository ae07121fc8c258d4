"""`check` runs a target before its first batch, on fake tensors, and reports mistakes by name."""

import ast
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from torch._subclasses.fake_tensor import FakeTensorMode

from dimtyped.annotations import arrays_in
from dimtyped.errors import DeclarationError, DimensionError
from dimtyped.flow.attempts import DIVIDING, Attempts, error_text, sizes_text
from dimtyped.flow.copies import fake_mode
from dimtyped.flow.findings import Finding
from dimtyped.flow.fixes import squeezed_at, written_size
from dimtyped.flow.inputs import bind
from dimtyped.flow.report import Report, notes_on_mode
from dimtyped.flow.runs import Options, Run, Runner
from dimtyped.flow.sizes import LADDERS, OTHERS, names_of
from dimtyped.flow.targets import Factory, Target, is_annotated, makes_module, target_of
from dimtyped.flow.values import findings_of_values
from dimtyped.runtime import WithoutInternalFrames

_MOST_GUESSES = 8


@WithoutInternalFrames()
def check(
    target: Any,
    /,
    *args: Any,
    sizes: Mapping[str, int] | None = None,
    arguments: Mapping[str, Any] | None = None,
    independent: Sequence[str] = ("batch",),
    fuzz: bool = False,
    skip: Sequence[str] = (),
    **kwargs: Any,
) -> Report:
    """Runs a module or a typed function before its first batch, and reports by name the mistakes in its shapes.

    It runs on fake tensors, which have shapes but no numbers: a model of any size, on any device, takes seconds. If Python
    reads values, a copy runs on real tensors. The target does not change.

    Args:
        target: A module, a typed function or method, or a class or factory that makes a module. Its `DimSize` parameters
            that `sizes` does not give get distinct sizes.
        *args: Its inputs. Default: made from the annotations, in sizes that differ by name.
        sizes: Sizes of names, if the target takes no others. Default: none.
        arguments: Arguments of a class or factory besides its `DimSize` parameters. Default: none.
        independent: Names along which nothing may carry values. Default: `batch`.
        fuzz: If True, also searches for mistakes that only values show, with `dimtyped.testing`. Default: False.
        skip: Packages that are skipped in the search for a finding's place in the user's code. Default: torch, einops and the
            standard library.
        **kwargs: More inputs, by name.

    Returns:
        The report of the run.

    Raises:
        DeclarationError: The target cannot be run as given: it is not a target, or inputs are missing or do not fit.
        Exception: An error of the target that is not about shapes.

    Example:
        >>> from dimtyped import check, typed
        >>> from jaxtyping import Float
        >>> from torch import Tensor
        >>> @typed
        ... def norm(x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        ...     return x.softmax(0)
        >>> [found.kind for found in check(norm).findings]
        ['mixing']
    """
    options = Options(_names(independent), _names(skip), findings_only=True)
    call = _Given(args, kwargs, _checked_sizes(sizes), fake_mode(), options, fuzz)
    if makes_module(target, arguments):
        return call.check_factory(target, arguments or {})
    if arguments is not None:
        raise DeclarationError(
            "arguments= is for a class or a factory, and this module is already made\n  Give its inputs directly."
        )
    return call.check_target(target_of(target), call.sizes)[0]


@dataclass(frozen=True)
class _Given:
    """The arguments of check besides its target."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    sizes: Mapping[str, int]
    mode: FakeTensorMode
    options: Options
    fuzz: bool

    def report_of(self, checked: "_Check") -> Report:
        """The report of the runs, and of `fuzz` if requested."""
        report, target = checked.report(), checked.target
        if self.fuzz and checked.has_run:
            thing = target.call if target.remake is None else target.remake()
            options = self.options
            more = findings_of_values(thing, checked.sizes, options.independent, options.skip)
            known = {found.kind for found in report.findings}
            report.findings += [found for found in more if found.kind not in known]
        return report

    def check_target(self, target: Target, sizes: Mapping[str, int]) -> tuple[Report, bool]:
        """The report, and whether a run completed.

        Inputs are made from a union's first annotation of tensors; from another if the target does not take that kind of
        input, as an LSTM does not take a state that is one tensor. Once it has run, from each other one too.
        """
        checked = self._checked(target, sizes)
        first: Report | None = None
        raised: Exception | None = None
        for option in range(checked.options):
            checked = checked if option == 0 else self._checked(replace(target, option=option), sizes)
            try:
                report = self.report_of(checked)
            except Exception as error:  # noqa: BLE001 - the target's own: it may take another kind of input
                raised = raised or error
                continue
            if not checked.is_of_wrong_kind:
                if checked.is_complete:
                    self._add_other_options(report, target, sizes, range(option + 1, checked.options))
                return report, checked.has_run
            first = first or report
        if first is None:
            assert raised is not None
            raise raised
        return first, False

    def _add_other_options(
        self, report: Report, target: Target, sizes: Mapping[str, int], options: Iterable[int]
    ) -> None:
        """Adds what runs with other annotations of unions find. One that fails is a note: the target may be made for another."""
        for option in options:
            checked = self._checked(replace(target, option=option), sizes)
            try:
                other = checked.report()
            except Exception as error:  # noqa: BLE001 - the target's own: it may not take this kind of input
                report.notes.append(f"with the next annotation of a union it raised {error_text(error)}")
                continue
            if checked.is_complete:
                report.findings[:] = _merged([*report.findings, *other.findings])
            else:
                report.notes.append(f"with the next annotation of a union: {_first_line(other.findings[-1])}")

    def _checked(self, target: Target, sizes: Mapping[str, int]) -> "_Check":
        args = (target.owner, *self.args) if target.owner is not None else self.args
        given = bind(target.function, args, self.kwargs, target.where)
        if target.owner is not None:
            given.pop(next(iter(given)))
        _reject_sizes(target, sizes)
        return _Check(Runner(target, given, self.options, self.mode), sizes)

    def check_factory(self, make: Any, arguments: Mapping[str, Any]) -> Report:
        """The report for the first sizes that the module runs with; if it runs with none, for the longest run."""
        known = inspect.signature(make).parameters
        factory = Factory(make, {name: size for name, size in self.sizes.items() if name in known}, arguments)
        reports, raised = list[Report](), list[Exception]()
        for target, made_with in factory.targets():
            # A parameter such as `channels=3` may be a name of the annotations too, which no layer declares.
            undeclared = _names_of_annotations(target) - target.declared.keys()
            left = {name: size for name, size in self.sizes.items() if name not in made_with or name in undeclared}
            try:
                report, has_run = self.check_target(target, left)
            except Exception as error:  # noqa: BLE001 - the module's own: it may not take these sizes
                raised.append(error)
                continue
            report.notes.insert(0, f"made with {sizes_text(made_with)}")
            if has_run:
                return report
            reports.append(report)
        if not reports:
            raise raised[0]
        return max(reports, key=lambda report: sum(report.followed.values()))


class _Check:
    """The runs of one target.

    Args:
        runner: Runs it.
        sizes: Sizes of names that are given.
    """

    def __init__(self, runner: Runner, sizes: Mapping[str, int]):
        self.runner = runner
        self.sizes = sizes
        self.target = runner.target
        self.attempts = Attempts(runner, sizes)
        self.notes = self.attempts.notes
        self.has_run = False
        self.is_complete = False
        self.is_of_wrong_kind = False  # a layer refused a tensor for a tuple, or the reverse
        self._reject_missing()

    @property
    def options(self) -> int:
        """The number of choices among the tensors of unions."""
        return self.attempts.maker.options(self.runner.given)

    def _reject_missing(self) -> None:
        """Raises for a target whose inputs are neither given nor annotated."""
        if self.runner.given or (not self.attempts.maker.parameters and self.target.signature is not None):
            return
        if not is_annotated(self.target):
            raise DeclarationError(
                f"{self.target.where}: no annotation says which tensors it takes, and no inputs were given\n"
                '  Give them: check(target, x), or annotate them: x: Float[Tensor, "batch seq"].'
            )

    def report(self) -> Report:
        """The findings of all runs."""
        first, ladder = self.attempts.first()
        first = self.runner.confirmed(first)
        self.has_run = self.is_complete = first.error is None
        self.is_of_wrong_kind = isinstance(first.error, DimensionError) and isinstance(first.error.actual, str)
        findings = list(first.flow.findings)
        if first.error is not None:
            findings.append(self._explained(first))
            self.has_run = findings[-1].kind == "fixed"
        elif self.attempts.free:
            findings += self._of_other_sizes(first, ladder, findings)
        if first.error is None and self.attempts.has_optional:
            findings += self._of_optional(ladder, findings)
        if first.is_real and self.has_run:
            self.notes.append(f"ran on real tensors, on a copy, since fake ones raised {first.why_real}")
        self.notes += dict.fromkeys(first.flow.troubles)
        return Report(
            self.target.where,
            _merged(findings),
            first.flow.followed,
            first.flow.unfollowed,
            [*notes_on_mode(), *self.notes, *self._notes_on_independent(first)],
            {name: size for name, size in first.sizes.items() if name not in self.target.declared},
        )

    def _notes_on_independent(self, run: Run) -> list[str]:
        """The names in `independent=` that no annotation has; `batch` is there by default."""
        names = self.runner.options.independent
        unknown = [name for name in names if name not in run.flow.bound_independent and names != ("batch",)]
        return [f"independent=: no annotation that was met has an axis `{name}`" for name in unknown]

    def _explained(self, run: Run) -> Finding:
        """The finding for the error of the first run: a hard-coded size, if the target runs with that size."""
        failure = run.finding or _raise_with_note(run, self.target.where)
        fixed = (self._fixed_to(failed, found) for failed in self.attempts.failed if (found := failed.finding))
        return next((found for found in fixed if found is not None), failure)

    def _fixed_to(self, run: Run, failure: Finding) -> Finding | None:
        for name, size in self._guesses(run, failure):
            other = self.attempts.run(LADDERS[0], fixed={name: size})
            if other is not None and other.error is None:
                text = f"it runs only with {name}={size}; {name}={run.sizes[name]} fails\n{_short(failure)}"
                failure.fix = _size_fix(failure, name, size) or (
                    f"take the size from the input; if no other size is intended: check(..., sizes={{'{name}': {size}}})"
                )
                return _as("fixed", failure, text, (name,))
        return None

    def _guesses(self, run: Run, failure: Finding) -> list[tuple[str, int]]:
        """Sizes that could be hard-coded: numbers in the expression, and sizes without a name."""
        numbers = [*_literals(failure.source), *_unnamed(failure.operands)]
        if isinstance(run.error, DimensionError):
            numbers += [value for value in (run.error.expected, run.error.actual) if isinstance(value, int)]
        names = [name for name in self.attempts.free if isinstance(run.sizes.get(name), int)]
        named = {*run.sizes.values(), *self.target.declared.values()}
        pairs = [(name, n) for n in dict.fromkeys(numbers) if n > 1 and n not in named for name in names]
        return pairs[:_MOST_GUESSES]

    # other runs

    def _of_other_sizes(self, first: Run, ladder: int, known: Sequence[Finding]) -> list[Finding]:
        if first.is_real and known:
            return []
        found: list[Finding] = []
        second = self.attempts.run(OTHERS[ladder])
        if second is not None:
            found += self._fixed(first, second)
        if not found:
            for name in self.attempts.free:
                run = self.attempts.run(LADDERS[ladder], ones=[name])
                found += self._degenerate(first, run, name) if run is not None else []
        return found

    def _fixed(self, first: Run, second: Run) -> list[Finding]:
        sizes = {name: second.sizes[name] for name in self.attempts.free}
        if second.error is not None:
            failure = second.finding
            if failure is None or (failure.operator in DIVIDING and not _literals(failure.source)):
                self.notes.append(f"with {sizes_text(sizes)} it raised {error_text(second.error)}")
                return []
            text = f"it runs with {sizes_text(first.sizes, self.attempts.free)} but not with {sizes_text(sizes)}\n{_short(failure)}"
            written = [(name, size) for name, size in first.sizes.items() if size in _literals(failure.source)]
            failure.fix = (_size_fix(failure, *written[0]) if len(written) == 1 else "") or (
                "take the size from the input; if no other size is intended: check(..., sizes={...})"
            )
            return [_as("fixed", failure, text, failure.names)]
        return []

    def _degenerate(self, first: Run, run: Run, name: str) -> list[Finding]:
        """The finding for a `squeeze` of an axis of size 1, if the run then fails or its result has fewer axes."""
        same = run.error is None and [len(axes) for axes in run.results] == [len(axes) for axes in first.results]
        more = [place for place, gone in run.flow.squeezed.items() if gone > first.flow.squeezed.get(place, gone)]
        if same or not more:
            return []
        place = more[0]
        ending = f": then {error_text(run.error)}" if run.error is not None else ": then the result has fewer axes"
        text = f"`{place.source}` in {place.where}: squeeze removes `{name}` if it is 1{ending}"
        fix = (
            squeezed_at(place.source, first.flow.squeezed_dims.get(place, ()))
            or "name the axis to remove: squeeze(dim)"
        )
        line = (place.file, place.line, place.column, place.end_column, place.source)
        return [Finding("degenerate", text, place.where, *line, (name,), fix)]

    def _of_optional(self, ladder: int, known: Sequence[Finding]) -> list[Finding]:
        """The findings of a run with all optional arguments."""
        run = self.attempts.with_optional(LADDERS[ladder])
        if run is None:
            return []
        found = [finding for finding in run.flow.findings if finding.key not in {other.key for other in known}]
        if run.error is not None and run.finding is not None:
            found.append(run.finding)
        elif run.error is not None:
            self.notes.append(f"with every optional argument it raised {error_text(run.error)}")
        return found


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    """Names; one that is given alone is one name."""
    return (given,) if isinstance(given, str) else tuple(given)


def _reject_sizes(target: Target, sizes: Mapping[str, int]) -> None:
    """Raises for a size of a name that the target does not have, or that has another size."""
    declared = target.declared
    known = {*_names_of_annotations(target), *declared}
    for name, size in sizes.items():
        if name not in known:
            has = ", ".join(f"`{each}`" for each in sorted(known)) or "no names"
            raise DeclarationError(f"sizes: {target.where} has no name `{name}`\n  It has {has}.")
        if declared.get(name, size) != size:
            raise DeclarationError(
                f"sizes: `{name}` is {size}, and {target.where} declares {name}={declared[name]}\n"
                "  Leave it out, or check the class: it is made with the sizes."
            )


def _names_of_annotations(target: Target) -> set[str]:
    signature = target.signature
    hints = [*(p.hint for p in signature.parameters), signature.result] if signature is not None else []
    return set(names_of(array for hint in hints for array in arrays_in(hint)))


def _checked_sizes(sizes: Mapping[str, int] | None) -> dict[str, int]:
    for name, size in (sizes or {}).items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:  # pyright: ignore[reportUnnecessaryIsInstance] - users pass what they like
            raise DeclarationError(f"sizes: `{name}` is {size!r}, must be an int of at least 1")
    return {name: int(size) for name, size in (sizes or {}).items()}


def _merged(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once, in order."""
    found: dict[object, Finding] = {}
    for finding in findings:
        found.setdefault(finding.key, finding)
    return list(found.values())


def _as(kind: str, finding: Finding, message: str, names: tuple[str, ...]) -> Finding:
    finding.kind, finding.message, finding.names = kind, message, names
    return finding


def _size_fix(failure: Finding, name: str, size: int) -> str:
    return written_size(failure.file, failure.line, failure.source, name, size)


def _raise_with_note(run: Run, where: str) -> NoReturn:
    """Raises the target's own error, with a note on its inputs."""
    error = run.error or RuntimeError("the run came to its end")
    ran = f"dimtyped: check ran {where} with {sizes_text(run.sizes)}; the target raised this itself"
    error.add_note(f"{ran}. Where it takes other sizes alone: check(..., sizes={{...}})")
    raise error


def _first_line(finding: Finding) -> str:
    return finding.message.partition("\n")[0]


def _short(failure: Finding) -> str:
    """The error's message, without the explanation of a DimensionError."""
    return "\n".join(failure.message.splitlines()[:2]).rstrip()


def _literals(source: str) -> list[int]:
    """The numbers in an expression."""
    try:
        nodes = ast.walk(ast.parse(source, mode="eval"))
    except SyntaxError:
        return []
    return [n.value for n in nodes if isinstance(n, ast.Constant) and type(n.value) is int and n.value > 1]


def _unnamed(operands: Iterable[str]) -> list[int]:
    """The sizes without a name in the text of operands."""
    return [int(number) for text in operands for number in re.findall(r"(?<=[( ])(\d+)(?=[,)])", text)]
