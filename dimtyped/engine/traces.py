"""What runs beside a trace: checks that it need not follow, and the explanation of its errors.

A layer whose check waits until torch has raised, on fake tensors too, has none in a trace, and so no guard: its sizes are
compared beside the trace, before torch looks at the fake tensors. What torch itself guards, the inputs and the weight,
decides when that is done again.
"""

from __future__ import annotations

import dataclasses
import types
from typing import Any

from dimtyped import diagnosis
from dimtyped.engine.checked_function import CheckedFunction
from dimtyped.engine.compiler import compile_check
from dimtyped.engine.preparation import install_code, plan_of, wrapper_globals
from dimtyped.errors import DimensionError
from dimtyped.runtime import PREFIX, TracedFrame, TraceErrors, checked_in, eagerly, end_trace

_BY_DATA = "GuardOnDataDependentSymNode"
"""What torch raises for a comparison with a size that depends on data: it compares that when the compiled code runs."""


def _check_beside(frame: TracedFrame) -> None:
    """Checks a call that the trace is in, if the trace does not; an error ends the trace."""
    code, names, values = frame
    checked = checked_in(code, names)
    if not isinstance(checked, CheckedFunction):
        return
    deferral = checked.forms.after_error
    if deferral is None or not deferral.traces_too:
        return
    given = tuple(values[p.name] for p in checked.signature.parameters if p.name in values)
    if len(given) < len(checked.signature.parameters) or not checked.forms.waits_for_error(given):
        return
    try:
        _check_of(checked)(*given)
    except DimensionError as error:
        found = error
    except RuntimeError as error:
        if type(error).__name__ != _BY_DATA:
            raise
        return
    else:
        return
    raise end_trace(found) from None


def _check_of(checked: CheckedFunction) -> types.FunctionType:
    """The check alone, before a function that does nothing."""
    if checked.beside_trace is None:
        plan = dataclasses.replace(plan_of(checked, None), after_error=None, translated=())
        compiled = compile_check(plan)
        names = {**wrapper_globals(checked), f"{PREFIX}function": _nothing}
        made = types.FunctionType(compiled.code, names, compiled.code.co_name, compiled.defaults)
        install_code(made, compiled)
        checked.beside_trace = made
    return checked.beside_trace


def _nothing(*_: Any) -> None:
    """Stands for the layer's function."""


def _explain_traced(error: BaseException) -> Any:
    return eagerly(diagnosis.report_of_traced)(error)


def _finish_traced(error: BaseException, known: Any) -> None:
    eagerly(diagnosis.annotate_traced)(error, known)


TraceErrors(_check_beside, _explain_traced, _finish_traced).install()
