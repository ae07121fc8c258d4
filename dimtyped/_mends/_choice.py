"""Which mend is shown: the first of all that make the call fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dimtyped._mends import _arguments, _layers, _packed, _recurrent
from dimtyped._mends._mend import Mend, Trial

_PROPOSERS: tuple[Callable[[Trial], Iterator[Mend]], ...] = (  # the surer of its cause, the earlier
    _arguments.swapped_kinds,
    _arguments.outvoted_place,
    _recurrent.pair,
    _recurrent.one_step,
    _recurrent.unbatched_state,
    _recurrent.state_order,
    _recurrent.batch_first,
    _layers.sequence_first,
    _layers.class_axis,
    _layers.one_hot,
    _layers.channel_axis,
    _recurrent.smaller_batch,
    _recurrent.both_directions,
    _layers.flat_batch,
    _layers.concatenation,
    _layers.misspelt,
    _layers.repetition,
    _layers.lookup,
    _packed.packing,
    _packed.padding,
    _arguments.one_place,
    _arguments.other_kind,
    _arguments.all_alike,
    _recurrent.bridge,
    _arguments.swapped,
    _arguments.two_places,
    _arguments.other_place,
    _layers.folded_batch,
    _layers.projection,
)
_UNTRIED = (
    "expression",
    "extent",
)  # what torch or a user's own expression refuses: fitting the annotations says nothing


def mend_of(trial: Trial) -> Mend | None:
    """The mend to show, or None where the pattern is not known."""
    if all(mismatch.kind == "extent" for mismatch in trial.mismatches):
        return _layers.advice(trial)
    if not trial.call.signature.expressible or any(mismatch.kind in _UNTRIED for mismatch in trial.mismatches):
        return None
    return next((mend for propose in _PROPOSERS for mend in propose(trial) if trial.fits(mend)), None)
