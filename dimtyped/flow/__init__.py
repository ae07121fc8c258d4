"""Follows names through operators: the dimension of each axis of each tensor in a run.

`Flow` is a context. Within it a rule follows each call of a torch function. It gives the axes of the result, and states
which axes the call treats as equal::

    batch, seq = axis_of(Dimension(4, "batch", "from `tokens`")), axis_of(Dimension(8, "seq"))
    with Flow(independent={"batch"}) as flow:
        flow.name_tensor(tokens, (batch, seq))
        logits = model(tokens)
    flow.axes_of(logits)  # (batch, seq, vocab)
    flow.findings  # the mistakes, each with its place in the user's code
    flow.followed, flow.unfollowed  # the number of calls of each operator with a rule, and without one

- A `Dimension` is compared by identity. `Dimension(size, name, origin)` is a named one, without a name it is anonymous: it agrees
  with any other. `a.join(b)` makes two of them one, with both names.
- An `Axis` is a product of pieces of dimensions. `axis_of(dimension)` is a whole one, `anonymous(size)` one without a name,
  `product([layers, directions])` a merged one, `split(axis, sizes)` takes one apart. `compare(a, b)` gives a verdict:
  the same, different or unknown.
  `axis.dimension` is the one dimension that an axis is, whole, or None. An axis of size 1 has no factors, so it has no name.
- `flow.name_tensor(tensor, axes)` names a tensor, also a parameter: then the results of a layer have the names of its weight.
  `flow.axes_of(tensor)` gives its axes, anonymous ones where it has no names. Tensors are held weakly.
- `constant(tensor.shape, "`positions`")` are the axes of a buffer without names; unnamed parameters have such axes.
- `flow.report(Problem(kind, text, axes), frame)` adds a finding of your own.
- `flow.operator_error` is the last error that an operator raised, with the finding that explains it.
- Users call `check` and `watch`, which take names from annotations and declarations, and give a `Report`.
- `with flow.paused():` follows nothing, and torch takes the same paths as without `flow`.
"""

from dimtyped.flow.attempts import error_text as error_text
from dimtyped.flow.axes import (
    Axes as Axes,
    Axis as Axis,
    Dimension as Dimension,
    Factor as Factor,
    One as One,
    Verdict as Verdict,
    anonymous as anonymous,
    axis_of as axis_of,
    compare as compare,
    constant as constant,
    product as product,
    reshape as reshape,
    same as same,
    slice_of as slice_of,
    split as split,
)
from dimtyped.flow.calls import Call as Call, Problem as Problem, text_of as text_of
from dimtyped.flow.checking import check as check
from dimtyped.flow.findings import KINDS as KINDS, Finding as Finding
from dimtyped.flow.interpreter import Flow as Flow
from dimtyped.flow.report import CheckError as CheckError, Report as Report, finding_text as finding_text
from dimtyped.flow.rules import RULES as RULES, rule as rule
from dimtyped.flow.targets import hints_of as hints_of, makes_module as makes_module, target_of as target_of
from dimtyped.flow.watching import watch as watch
from dimtyped.runtime import Place as Place, Places as Places
