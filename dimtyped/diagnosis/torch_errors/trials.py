"""Trials of a failed operation on shapes alone: whether it fails there too, and which fix makes it pass."""

from __future__ import annotations

import ast
from collections.abc import Callable

from torch import Tensor

from dimtyped.diagnosis.code_edits import code_of, replaced_in
from dimtyped.diagnosis.torch_errors import causes
from dimtyped.diagnosis.torch_errors.evaluation import Evaluator
from dimtyped.diagnosis.torch_errors.failure import Failure
from dimtyped.diagnosis.torch_errors.fixes import proposals
from dimtyped.diagnosis.torch_errors.operand_edits import Root, method
from dimtyped.diagnosis.torch_errors.other_shapes import passes_elsewhere, raises
from dimtyped.diagnosis.torch_errors.scene import Scene
from dimtyped.diagnosis.torch_errors.stand_ins import Label, NamedWorld, SmallWorld, Unknown, World, sizes_of

_MOST = 60
"""Fixes that are tried: each takes a fraction of a millisecond."""
_BY_SIZES = frozenset(
    str.split("view reshape expand layer_norm rms_norm unflatten repeat split group_norm broadcast_to")
)
_ALIKE = frozenset(["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])  # losses that broadcast, which is no fix


class Trials:
    """Runs a failed operation, and the fixes that are proposed, on stand-ins for the user's tensors.

    Args:
        scene: Where the exception came from.
        failure: The failed operation.
        world: The world in which its arguments were evaluated.
    """

    def __init__(self, scene: Scene, failure: Failure, world: World) -> None:
        self._root = scene.root
        self._frame = scene.frame
        self._names = scene.names
        self._failure = failure
        self._tensors = list(world.originals.values())

    def depends_on_sizes(self) -> bool:
        """True if the operation fails on shapes alone, and passes on some other shapes: other arguments are not the cause."""
        for world in (World(), self._small()):
            try:
                operation = Evaluator(self._frame.values, self._frame.names, world).operation(self._root)
            except Unknown:
                continue
            if raises(operation) and passes_elsewhere(operation):
                return True
        return False

    def passes(self) -> bool:
        """True if the operation passes on the whole sizes of its tensors."""
        return self._run(self._root, World()) is not None

    def result(self) -> tuple[object, tuple[Label, ...]]:
        """What the operation would have made, with the labels of its axes; None if they are not known."""
        try:
            found = self._failure.operation()
        except Exception:  # noqa: BLE001  # torch's operators raise what they like
            return None, ()
        if not isinstance(found, Tensor):
            return None, ()
        world, sizes = NamedWorld(self._names.labels), sizes_of(found)
        named = self._run(self._root, world)
        kept: tuple[Label | None, ...] = (None,) * len(sizes)
        if isinstance(named, Tensor) and named.dim() == len(sizes):
            kept = world.labels_of(named, sizes)
        return found, tuple(label or self._names.label(size) for label, size in zip(kept, sizes, strict=True))

    # Fixes ------------------------------------------------------------------------------------------------------------

    def fix(self, kind: str) -> str:
        """The code to write instead; empty if no proposal fits."""
        if kind == "memory":
            return ""
        if self._failure.name == "backward":
            return _reduced(self._root)
        if kind == "device":
            return next((code_of(made) for made in causes.moved(self._failure, self._root)), "")  # type: ignore[arg-type]  # a statement is unparsed alike
        if self._failure.name in _BY_SIZES:
            return self._first(kind, World, None)
        found = self._first(kind, self._small, self._named)
        if found or kind == "dtype" or self._share_sizes:  # without data torch does not mind dtypes
            return found
        return self._first(kind, World, None)

    def _small(self) -> World:
        return SmallWorld(self._tensors)

    def _named(self) -> World:
        return SmallWorld(self._tensors, self._names.labels)

    def _first(self, kind: str, world: Callable[[], World], named: Callable[[], World] | None) -> str:
        """The first proposal that passes, preferably one in which no two names meet."""
        if self._run(self._root, world()) is not None:
            return ""
        proposed = causes.casts if kind == "dtype" else proposals
        second = ""
        for _, proposal in zip(range(_MOST), proposed(self._failure, self._root), strict=False):
            if self._run(proposal, world()) is None:
                continue
            if kind == "dtype" or named is None or self._run(proposal, named()) is not None:
                return code_of(proposal)  # type: ignore[arg-type]  # a statement is unparsed alike
            second = second or code_of(proposal)  # type: ignore[arg-type]  # as above
        return second if self._is_uncertain else ""

    @property
    def _share_sizes(self) -> bool:
        """True if two axes of different names have one size: on the user's own sizes a wrong fix may then fit."""
        labels = {label for operand in self._failure.operands for label in operand.labels if label.size > 1}
        return len({label.size for label in labels}) < len(labels)

    @property
    def _is_uncertain(self) -> bool:
        """True if the name of an axis is not certain: sizes alone then decide."""
        return any(not label.name and label.size > 1 for o in self._failure.operands for label in o.labels)

    def _run(self, root: Root, world: World) -> object:
        """The result of an operation in a world, `True` in place of None; None where it fails."""
        try:
            operation = Evaluator(self._frame.values, self._frame.names, world).operation(root)
            if operation.name in _ALIKE and operation.args[0].value.shape != operation.args[1].value.shape:
                return None
            found = operation()
        except Exception:  # noqa: BLE001  # torch's operators raise what they like: this does not fit
            return None
        return True if found is None else found


def _reduced(root: Root) -> str:
    """`loss.mean().backward()`."""
    match root:
        case ast.Call(func=ast.Attribute(value=loss) as function):
            return code_of(
                replaced_in(root, (function, ast.Attribute(method(loss, "mean"), function.attr, ast.Load())))
            )
        case _:
            return ""
