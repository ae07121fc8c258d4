"""Run-time access to Python's call stack, TorchDynamo's traces, and classes made while a program runs."""

from typing import TYPE_CHECKING

from dimtyped.runtime.call_stack import (
    frames as frames,
    layer_path as layer_path,
    parent_of as parent_of,
    path_of as path_of,
    root_of as root_of,
    running_modules as running_modules,
    traced_frames as traced_frames,
)
from dimtyped.runtime.callsite import (
    by_framework as by_framework,
    calling_frame as calling_frame,
    calling_module as calling_module,
    enclosing_frames as enclosing_frames,
    is_framework as is_framework,
    module_of as module_of,
    warn_caller as warn_caller,
    warn_user as warn_user,
)
from dimtyped.runtime.config import configure as configure, mode as mode, on_change as on_change
from dimtyped.runtime.dynamic_classes import (
    dynamic_class as dynamic_class,
    static_class as static_class,
    viewed_as as viewed_as,
    without_mixin as without_mixin,
)
from dimtyped.runtime.frames import locals_of as locals_of
from dimtyped.runtime.generated import (
    ARGUMENTS as ARGUMENTS,
    CHECKED_NAME as CHECKED_NAME,
    FIRST_CALL as FIRST_CALL,
    GENERATED as GENERATED,
    KEYWORDS as KEYWORDS,
    PREFIX as PREFIX,
    checked_in as checked_in,
    is_wrapper as is_wrapper,
    version_of as version_of,
)
from dimtyped.runtime.import_hooks import import_with as import_with, when_imported as when_imported
from dimtyped.runtime.importing import on_demand as on_demand
from dimtyped.runtime.members import members_of as members_of
from dimtyped.runtime.trace_errors import TraceErrors as TraceErrors
from dimtyped.runtime.tracebacks import (
    UserLine as UserLine,
    WithoutInternalFrames as WithoutInternalFrames,
    internal_frame as internal_frame,
    strip_internal_frames as strip_internal_frames,
    strip_traced_frames as strip_traced_frames,
    take_user_frames as take_user_frames,
    user_line as user_line,
)
from dimtyped.runtime.tracing import (
    TracedFrame as TracedFrame,
    at_trace_time as at_trace_time,
    eagerly as eagerly,
    end_trace as end_trace,
    hold_methods as hold_methods,
    is_run_by_trace as is_run_by_trace,
    is_tracing as is_tracing,
    restart_trace as restart_trace,
    traced_frame as traced_frame,
    traced_instruction as traced_instruction,
    untraced as untraced,
)

if TYPE_CHECKING:
    from dimtyped.runtime.places import Place as Place, Places as Places, place_at as place_at

__getattr__, __dir__ = on_demand(__name__, {"dimtyped.runtime.places": "Place Places place_at"})
