"""Finds mistakes that only values show: `dimtyped.testing` calls the target, and its failure becomes a finding."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from dimtyped.flow.findings import Finding, finding
from dimtyped.runtime import Place, Places

_CALLS = 30


def findings_of_values(
    thing: Any, sizes: Mapping[str, int], independent: Sequence[str], skip: Sequence[str]
) -> list[Finding]:
    """The failure that `fuzz` finds, if it finds one.

    Args:
        thing: A module, function or method on real tensors.
        sizes: Sizes of names that it does not declare.
        independent: Names along which nothing may carry values; left out where parameters and result have no such axis.
        skip: Packages that are skipped in the search for the place.
    """
    testing: Any = importlib.import_module("dimtyped.testing")  # a room above, which needs hypothesis from an extra
    axes = None if tuple(independent) == ("batch",) else list(independent)
    try:
        testing.fuzz(thing, max_examples=_CALLS, broken=False, independent=axes, sizes=dict(sizes) or None)
    except AssertionError as failure:
        cause = getattr(failure, "error", None)
        kind = "mixing" if isinstance(cause, testing.MixedError) else "refused"
        place = getattr(cause, "place", Place())
        if cause is not None and not place.source:
            place = Places(skip).find_in(cause.__traceback__)
        text = str(failure).replace(f"\n\n  {getattr(cause, 'where', '')}", "") if place.source else str(failure)
        return [finding(kind, text, place, (getattr(cause, "axis", ""),))]
    return []
