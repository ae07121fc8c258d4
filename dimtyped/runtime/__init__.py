"""Python's call stack and TorchDynamo's traces, read where a check needs them."""

from dimtyped.runtime.call_stack import (
    frames as frames,
    layer_path as layer_path,
    parent_of as parent_of,
    path_of as path_of,
    root_of as root_of,
    running_modules as running_modules,
    traced_frames as traced_frames,
)
from dimtyped.runtime.frames import locals_of as locals_of
from dimtyped.runtime.tracing import (
    at_trace_time as at_trace_time,
    eagerly as eagerly,
    end_trace as end_trace,
    is_tracing as is_tracing,
    restart_trace as restart_trace,
    untraced as untraced,
)
