"""One call of an annotated function: its names are bound to axes, and each later use is compared with that."""

from collections.abc import Mapping, Sequence
from types import FrameType

from torch import Tensor

from dimtyped.annotations import ArrayHint, Axis as Written, Hint, Kind
from dimtyped.diagnosis import annotated_tensors, spread_axes
from dimtyped.flow.axes import Axes, Axis, Dimension, Verdict, anonymous, axis_of, better, compare
from dimtyped.flow.calls import Problem, axis_text, text_of
from dimtyped.flow.fixes import advised, reordered, with_result
from dimtyped.flow.interpreter import Flow
from dimtyped.flow.scopes import named_axis

SharedDimensions = dict[tuple[str, int, object], Dimension]
_MINGLING = ("coincidence", "scramble", "outer", "annotation")


class Binding:
    """The dimensions that the names of one call are bound to.

    Args:
        flow: Gives the axes of tensors, and names new ones.
        where: The function, as errors name it.
        scope: Distinguishes its names from those of other functions.
        declared: The names that have a dimension before the call.
        shared: The dimensions that several calls of a run have in common, by name, size and scope: those of independent
            names, such as `batch`, in all scopes; those of sizes that the code itself has, of layers and results, in one.
        around: The call of the same scope that makes this one: what it has a name for has no other here.
        is_checked: True if the call itself raises for sizes that differ; otherwise that is a finding here.
    """

    def __init__(
        self,
        flow: Flow,
        where: str,
        scope: object,
        declared: Mapping[str, Dimension],
        shared: SharedDimensions,
        around: "Binding | None" = None,
        *,
        is_checked: bool = True,
    ):
        self._flow = flow
        self._is_checked = is_checked
        self._is_assigned = False
        self._where = where
        self.scope = scope
        self._shared = shared
        self._around = around._names if around is not None else {}
        self._names: dict[str, Axis] = {name: axis_of(dimension) for name, dimension in declared.items()}
        self._runs: dict[str, Axes] = {}
        self._found_before = _count(flow)

    def match(self, hint: Hint, value: object, what: str, frame: FrameType | None) -> None:
        """Binds the names of an annotation to the axes of a value, and compares those that are bound.

        Args:
            hint: The annotation.
            value: What was passed or returned.
            what: The parameter, or `return`.
            frame: Where a mismatch is reported.
        """
        for array, tensor in annotated_tensors(hint, value):
            self._match_tensor(array, tensor, what, frame)

    def match_assigned(self, hint: Hint, value: object, what: str, frame: FrameType | None) -> None:
        """Does the same for the value of an annotated variable, which nothing else checks: one of another size is a finding."""
        before, self._is_checked, self._is_assigned = self._is_checked, False, True
        self.match(hint, value, what, frame)
        self._is_checked, self._is_assigned = before, False

    def _match_tensor(self, array: ArrayHint, tensor: Tensor, what: str, frame: FrameType | None) -> None:
        axes = self._flow.axes_of(tensor)
        written = spread_axes(array.axes, len(axes))
        if written is None:
            self._refuse(_said(what, array, axes), axes, frame)
            return
        named, clashes = list(axes), list[tuple[Axis, Axis]]()
        for place, word in written:
            named[place] = self._matched(word, axes[place], what, clashes)
        self._match_run(array, axes)
        unequal = [(wanted, axis) for wanted, axis in clashes if wanted.size != axis.size]
        if unequal:
            words = " and ".join(f"{axis_text(axis)} where it says {axis_text(wanted)}" for wanted, axis in unequal)
            self._refuse(f"{_said(what, array, axes)}: {words}", axes, frame)
        elif clashes:
            self._report(array, axes, named, what, clashes, frame)
        if any(new is not old for new, old in zip(named, axes, strict=True)):
            self._flow.name_tensor(tensor, named)

    def _matched(self, word: Written, axis: Axis, what: str, clashes: list[tuple[Axis, Axis]]) -> Axis:
        """The axis of a tensor that an annotation gives this name."""
        if word.kind is Kind.NAME and word.name not in self._names:
            return axis if word.broadcast and axis.size == 1 else self._bind(word.name, axis, what)
        expected = self._expected(word)
        if expected is None or word.by_path or (word.broadcast and axis.size == 1):
            return axis
        if expected.size != axis.size:
            clashes.append((expected, axis))
        if expected.size != axis.size or word.kind is Kind.SIZE:
            return axis
        verdict = compare(expected, axis)
        if verdict is Verdict.CLASH:
            clashes.append((expected, axis))
            return expected
        one, other = expected.dimension, axis.dimension
        if verdict is Verdict.UNSURE and one and other and one.may_be(other):
            other.join(one)  # two scopes name it differently, and this call shows that it is one dimension
        return better(axis, expected)

    def _expected(self, word: Written) -> Axis | None:
        """The axis that a word stands for; None if it is not known, or any axis fits."""
        if word.kind is Kind.SIZE:
            return anonymous(word.size)
        return self._names.get(word.name) if word.kind is Kind.NAME else named_axis(word.name, self._names.get)

    def _bind(self, name: str, axis: Axis, what: str) -> Axis:
        around = self._around.get(name)
        if not axis.has_name and around is not None and around.size == axis.size:
            axis = around
        elif not axis.has_name:
            axis = axis_of(self._dimension(name, axis, what), axis.one)
        self._names[name] = axis
        return axis

    def _dimension(self, name: str, axis: Axis, what: str) -> Dimension:
        """A new dimension, or that of the other calls for an independent name and for a size that the code itself has."""
        made = Dimension(axis.size, name, f"bound by `{what}` of {self._where}", [self.scope])
        is_independent = name in self._flow.independent
        if not is_independent and what != "return" and not axis.is_constant:
            return made
        known = self._shared.setdefault((name, axis.size, None if is_independent else self.scope), made)
        known.join(made)
        return known

    def _report(
        self,
        array: ArrayHint,
        axes: Axes,
        wanted: Sequence[Axis],
        what: str,
        clashes: list[tuple[Axis, Axis]],
        frame: FrameType | None,
    ) -> None:
        """Reports axes that differ from the annotation; at a return, only if no earlier finding explains them."""
        if what == "return" and self._is_explained():
            return
        order = reordered(axes, wanted) if len(wanted) == len(axes) else ""
        words = " and ".join(f"{axis} where it says {expected}" for expected, axis in clashes)
        text = f"{_said(what, array, axes)}: {words}"
        met = [*(first for first, _ in clashes), *(axis for _, axis in clashes)]
        found = self._flow.report(Problem("annotation", text, met), frame)
        if order and not found.fix:
            found.fix = self._reordered(found.source, what, order)

    def _reordered(self, source: str, what: str, order: str) -> str:
        """The expression at which the axes are named, with the order that is annotated; empty where that is not sure."""
        if what == "return":
            return with_result(source, order)
        if self._is_assigned:
            return with_result(f"return {source}", order).removeprefix("return ")
        return advised(source, what, f"`{what}{order}` fits")

    def _refuse(self, text: str, axes: Axes, frame: FrameType | None) -> None:
        """Reports a tensor that does not fit its annotation, unless the call itself raises."""
        if not self._is_checked:
            self._flow.report(Problem("refused", text, [axis for axis in axes if axis.has_name]), frame)

    def _is_explained(self) -> bool:
        """True if a finding since the call began may have changed the names of its result."""
        return _count(self._flow) > self._found_before

    def _match_run(self, array: ArrayHint, axes: Axes) -> None:
        """Binds a `*name` to the axes that it covers, at its first use."""
        place = array.variadic
        if place is None or array.axes[place].kind is not Kind.NAME:
            return
        run = axes[place : len(axes) - (len(array.axes) - place - 1)]
        self._runs.setdefault(array.axes[place].name, run)


def _said(what: str, array: ArrayHint, axes: Axes) -> str:
    """The text for a tensor and its annotation."""
    given = "the result" if what == "return" else f"`{what}`"
    said = f'{array.annotation.dtype.__name__}[..., "{array.annotation.dim_str}"]'
    return f"{given} is {text_of(axes)}, but is annotated {said}"


def _count(flow: Flow) -> int:
    """The number of findings in which names meet or are mixed."""
    return sum(found.times for found in flow.findings if found.kind in _MINGLING)
