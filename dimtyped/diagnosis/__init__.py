"""A failed call explained: every mismatch, where each size came from, the text, and the fix."""

from typing import TYPE_CHECKING

from dimtyped.runtime import on_demand

if TYPE_CHECKING:
    from dimtyped.diagnosis.annotated_values import annotated_tensors as annotated_tensors, spread_axes as spread_axes
    from dimtyped.diagnosis.code_edits import (
        code_of as code_of,
        order_text as order_text,
        orders as orders,
        parsed as parsed,
        replaced_in as replaced_in,
    )
    from dimtyped.diagnosis.enclosing_calls import arguments_of as arguments_of
    from dimtyped.diagnosis.explanation import (
        build_error as build_error,
        declared_names as declared_names,
        find_mismatches as find_mismatches,
        kind_of as kind_of,
        unexplained as unexplained,
    )
    from dimtyped.diagnosis.mismatch import (
        Binding as Binding,
        Findings as Findings,
        Mismatch as Mismatch,
        axis_name as axis_name,
        placed as placed,
    )
    from dimtyped.diagnosis.placements import rank_text as rank_text
    from dimtyped.diagnosis.snapshots import (
        Snapshot as Snapshot,
        describe as describe,
        from_description as from_description,
        snapshot as snapshot,
    )
    from dimtyped.diagnosis.text import axes_text as axes_text, dtype_text as dtype_text
    from dimtyped.diagnosis.torch_errors.kinds import may_be_torchs as may_be_torchs
    from dimtyped.diagnosis.torch_errors.note import (
        annotate as annotate,
        annotate_traced as annotate_traced,
        explain as explain,
        leave_unexplained as leave_unexplained,
        report_of_traced as report_of_traced,
    )
    from dimtyped.diagnosis.torch_errors.report import TorchErrorReport as TorchErrorReport

_NAMES = {
    "dimtyped.diagnosis.annotated_values": "annotated_tensors spread_axes",
    "dimtyped.diagnosis.code_edits": "code_of order_text orders parsed replaced_in",
    "dimtyped.diagnosis.enclosing_calls": "arguments_of",
    "dimtyped.diagnosis.explanation": "build_error declared_names find_mismatches kind_of unexplained",
    "dimtyped.diagnosis.mismatch": "Binding Findings Mismatch axis_name placed",
    "dimtyped.diagnosis.placements": "rank_text",
    "dimtyped.diagnosis.snapshots": "Snapshot describe from_description snapshot",
    "dimtyped.diagnosis.text": "axes_text dtype_text",
    "dimtyped.diagnosis.torch_errors.kinds": "may_be_torchs",
    "dimtyped.diagnosis.torch_errors.note": "annotate annotate_traced explain leave_unexplained report_of_traced",
    "dimtyped.diagnosis.torch_errors.report": "TorchErrorReport",
}
__getattr__, __dir__ = on_demand(__name__, _NAMES)
