"""Dynamic sizes for `torch.export` and `torch.compile`, made from annotations.

`axis_sizes` reads a call as data: the name that is the size of each axis. `dynamic_shapes` and `mark_dynamic` write it in
torch's terms.
"""

from dimtyped.export.axis_sizes import Dynamic as Dynamic, ExampleCall as ExampleCall, read_call as read_call
from dimtyped.export.compile_shapes import mark_dynamic as mark_dynamic
from dimtyped.export.dynamic_shapes import dynamic_shapes as dynamic_shapes
