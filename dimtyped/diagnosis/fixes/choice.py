"""The choice of the fix to show: the first of all that make the call fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dimtyped.diagnosis.fixes import arguments, layers, packed, recurrent, results
from dimtyped.diagnosis.fixes.fix import Fix, FixContext

_PROPOSERS: tuple[Callable[[FixContext], Iterator[Fix]], ...] = (  # in this order: the most certain of its cause first
    arguments.swapped_kinds,
    recurrent.batch_first_of_outer_calls,
    arguments.place_of_outer_calls,
    results.reduced_axis,
    results.every_pair,
    results.batch_first,
    recurrent.pair,
    recurrent.one_step,
    recurrent.unbatched_state,
    recurrent.state_order,
    recurrent.batch_first,
    layers.sequence_first,
    layers.class_axis,
    layers.one_hot,
    layers.one_hot_ids,
    layers.channel_axis,
    recurrent.smaller_batch,
    recurrent.both_directions,
    layers.flat_batch,
    layers.concatenation,
    layers.misspelt,
    layers.single_feature,
    layers.lookup,
    packed.packing,
    packed.padding,
    arguments.one_place,
    arguments.other_kind,
    arguments.all_alike,
    recurrent.bridge,
    arguments.swapped,
    arguments.two_places,
    arguments.other_place,
    layers.folded_batch,
    layers.projection,
)
_UNTRIED = (
    "expression",
    "extent",
)  # rejected by torch or by a user's own expression: that the annotations fit proves nothing here


def fix_of(context: FixContext) -> Fix | None:
    """The fix to show, or None if the pattern is not known."""
    if all(mismatch.kind == "extent" for mismatch in context.mismatches):
        return layers.advice(context)
    if not context.call.signature.expressible or any(mismatch.kind in _UNTRIED for mismatch in context.mismatches):
        return None
    return next((fix for propose in _PROPOSERS for fix in propose(context) if context.fits(fix)), None)
