"""The sizes that a target is run with: chosen, tried, and learned from the errors of its layers."""

from collections.abc import Iterable, Iterator, Mapping

from dimtyped.errors import DeclarationError, DimensionError
from dimtyped.flow.findings import Finding
from dimtyped.flow.inputs import sizes_in
from dimtyped.flow.runs import Run, Runner
from dimtyped.flow.sizes import LADDERS, OTHER_SIDES, USUAL_SIDES, Unmet, choose, names_of, sides_of

DIVIDING = (
    "view",
    "reshape",
    "unflatten",
    "view_as",
    "reshape_as",
    "pixel_unshuffle",
    "pixel_shuffle",
    "unfold",
    "split",
)
"""Operators that raise for sizes that do not divide: a right model may take only multiples."""
_MOST_DIVIDED = 32
"""What the sizes that must be divisible are multiples of: sizes that a model divides and multiplies again differ by less."""
_MOST_LEARNED = 6
_FEW_OPERATORS = 100
"""A model whose runs end after so many is run with every side."""


class Attempts:
    """Runs a target with sizes of its names.

    Args:
        runner: Runs it.
        sizes: Sizes of names that are given.

    Attributes:
        fixed: The names that have one size in all runs.
        free: The names whose size may be any.
        notes: Notes on the sizes, for the report.
        failed: The first runs if all of them failed, one for each ladder.
    """

    def __init__(self, runner: Runner, sizes: Mapping[str, int]):
        self.runner = runner
        self.maker = runner.target.maker
        self.arrays = self.maker.arrays(runner.given, optional=False)
        self.fixed = {**runner.target.declared, **sizes_in(self.maker.parameters, runner.given), **sizes}
        self.notes: list[str] = []
        self.failed: list[Run] = []
        self._own = runner.target.own_sizes

    @property
    def free(self) -> list[str]:
        """The names whose size may be any."""
        return [name for name in names_of(self.arrays) if name not in self.fixed]

    @property
    def has_optional(self) -> bool:
        """True if there are tensors that a call may leave out."""
        return self.maker.has_optional(self.runner.given)

    def run(
        self,
        ladder: Iterable[int],
        *,
        fixed: Mapping[str, int] | None = None,
        ones: Iterable[str] = (),
        optional: bool = False,
    ) -> Run | None:
        """One run; None if no sizes of the ladder make every expression of the annotations a size."""
        arrays = self.maker.arrays(self.runner.given, optional=optional)
        ladder = list(ladder)
        others = [size for size in ladder if size not in self._own]  # which fit by chance nowhere
        if len(others) >= len(names_of(arrays)):
            ladder = others
        try:
            sizes = choose(arrays, {**self.fixed, **(fixed or {})}, self.maker.values, ladder, ones)
        except Unmet:
            return None
        return self.runner.run(sizes, optional=optional)

    def first(self) -> tuple[Run, int]:
        """The first run that completes, with the ladder of its sizes; if none does, the most informative one.

        Raises:
            DeclarationError: No sizes make every expression of the annotations a size.
            Exception: The target raises for reasons of its own.
        """
        failed: list[tuple[Run, int]] = []
        for index in range(len(LADDERS) if self.free else 1):
            run = self._learning(self.run(LADDERS[index]), LADDERS[index])
            if run is not None and run.error is None:
                self._note_sizes(run, failed)
                return self._judged(run, index, failed)
            if run is not None:
                failed.append((run, index))
        usual = (self._held() or self._usual(failed[-1][0])) if failed else None
        if usual is not None:
            return usual, 0
        if not failed:
            raise DeclarationError(
                f"{self.runner.target.where}: no sizes up to {max(LADDERS[-1])} make every expression of its annotations "
                "a size\n  Give some: check(target, sizes={...})."
            )
        self.failed = [run for run, _ in failed]
        return max(failed, key=lambda pair: (pair[0].finding is not None, pair[0].reached))

    # sizes that layers ask for

    def with_optional(self, ladder: Iterable[int]) -> Run | None:
        """A run with the arguments too that a call may leave out."""
        return self._learning(self.run(ladder, optional=True), ladder, optional=True)

    def _learning(self, run: Run | None, ladder: Iterable[int], *, optional: bool = False) -> Run | None:
        """The run; if a layer's declared size contradicts the size of a name, a new run with the layer's size."""
        for _ in range(_MOST_LEARNED):
            if run is None or run.error is None:
                break
            lessons = self._lessons(run, optional=optional)
            tried = (self._tried(name, size, run, ladder, optional=optional) for name, size in lessons)
            further = next((other for other in tried if other is not None), None)
            if further is None:
                break
            run = further
        return run

    def _lessons(self, run: Run, *, optional: bool) -> Iterator[tuple[str, int]]:
        """Names with the sizes that they may need. `batch` is not one of them."""
        names = names_of(self.maker.arrays(self.runner.given, optional=optional))
        asked = [name for name in names if name not in (*self.fixed, *self.runner.options.independent)]
        if isinstance(run.error, DimensionError):
            expected, actual = run.error.expected, run.error.actual
            if isinstance(expected, int) and isinstance(actual, int):
                yield from ((name, expected) for name in asked if run.sizes[name] == actual)
                yield from _factors(run, asked, [actual], [expected])
        elif run.finding is not None:
            weights = run.flow.sizes_of_weights
            yield from ((name, size) for size in weights for name in asked)
            yield from _factors(run, asked, run.flow.sizes_beside_weights, weights)

    def _tried(self, name: str, size: int, before: Run, ladder: Iterable[int], *, optional: bool) -> Run | None:
        """A run with a learned size, if it gets further and that size makes no two names meet."""
        run = self.run(ladder, fixed={name: size}, optional=optional) if size > 0 else None
        if run is None or (run.error is not None and not _gets_further(run, before)):
            return None
        if any(found.kind == "coincidence" and name in found.names for found in run.flow.findings):
            return None
        self.fixed[name] = size
        self.notes.append(f"{name}={size}: a layer takes no other size")
        return run

    def _held(self) -> Run | None:
        """A run with the sizes that the module holds under the names of its annotations: `self.layers` for `layers`."""
        held = vars(self.runner.target.owner) if self.runner.target.owner is not None else {}
        sizes = {name: size for name in self.free if type(size := held.get(name)) is int and size > 0}
        run = self.run(LADDERS[0], fixed=sizes) if sizes else None
        if run is None or run.error is not None:
            return None
        self.fixed.update(sizes)
        self.notes.append(f"{sizes_text(sizes)}: the module has these sizes")
        return run

    def _usual(self, failed: Run) -> Run | None:
        """A run with a usual size of images or signals, where a weight takes no other: behind `flatten`, say."""
        if not failed.flow.sizes_of_weights or failed.finding is None:
            return None
        names = [
            name for name in sides_of(self.arrays) if name in self.free and name not in self.runner.options.independent
        ]
        is_small = failed.reached <= _FEW_OPERATORS
        for size in (*USUAL_SIDES, *(OTHER_SIDES if is_small else ())) if names else ():
            sides = dict.fromkeys(names, size)
            run = self.run(LADDERS[0], fixed=sides)
            if size in USUAL_SIDES:
                run = self._learning(run, LADDERS[0])
            if run is not None and run.error is None:
                self.fixed.update(sides)
                self.notes.append(f"{sizes_text(sides)}: a layer takes no other of the sizes that were tried")
                return run
        return None

    # sizes that are too small or do not divide

    def _judged(self, run: Run, index: int, failed: list[tuple[Run, int]]) -> tuple[Run, int]:
        """The run, or a failed one of sizes as large, whose operators do not only ask for multiples."""
        for other, ladder in failed:
            failure = other.finding
            if failure is None or failure.operator in DIVIDING or ladder != 1 or index <= 1:
                continue
            if not _only_rounds(other, run) or self._runs_with_even_sizes(run):
                return other, ladder
        return run, index

    def _runs_with_even_sizes(self, completed: Run) -> bool:
        """True if only odd sizes fail: one skip connection lost a row, where several levels ask for multiples of 4 or more."""
        sizes = {name: completed.sizes[name] + 2 for name in self.free if completed.sizes[name] % 4 == 0}
        run = self.run(LADDERS[0], fixed=sizes)
        return run is not None and run.error is None

    def _note_sizes(self, run: Run, failed: list[tuple[Run, int]]) -> None:
        if failed:
            first, used = failed[0][0], {name: run.sizes[name] for name in self.free}
            sizes = {name: first.sizes[name] for name in self.free}
            self.notes.append(
                f"ran with {sizes_text(used)}; with {sizes_text(sizes)} it raised {error_text(first.error)}"
            )


def _gets_further(run: Run, before: Run) -> bool:
    """True if a failed run ends behind the place where another one ended."""
    return run.reached >= before.reached and _place(run.finding) != _place(before.finding)


def _only_rounds(failed: Run, completed: Run) -> bool:
    """True if a run failed at sizes that were divided, rounded and multiplied again: a U-Net joins 71 with 72.

    A size that the other run was given may agree with one in the code by chance.
    """
    unequal, given = failed.flow.unequal, set(completed.sizes.values())
    return bool(unequal) and all(
        abs(one - other) < _MOST_DIVIDED and given.isdisjoint((one, other)) for one, other in unequal
    )


def _factors(run: Run, names: Iterable[str], found: Iterable[int], wanted: Iterable[int]) -> Iterator[tuple[str, int]]:
    """Names with sizes that give a product the wanted size: `channels=3` where `channels*64` meets 192."""
    for name in names:
        used = run.sizes[name]
        products = [size for size in found if size > used and size % used == 0]
        yield from (
            (name, size * used // product) for product in products for size in wanted if size * used % product == 0
        )


def _place(found: Finding | None) -> object:
    return found and (found.file, found.line, found.column, found.where)


def error_text(error: BaseException | None) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def sizes_text(sizes: Mapping[str, int], names: Iterable[str] | None = None) -> str:
    """Sizes by name: `batch=5, seq=7`."""
    return ", ".join(f"{name}={sizes[name]}" for name in (sizes if names is None else names)) or "no sizes"
