"""What the rules say, held against what torch does: one slice of an input changes, and the output must change where the rule
says that the axis went, and nowhere else.
"""

import functools
import itertools
import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from dimtyped.flow import Axis, Dimension, Flow, anonymous, axis_of

SAMPLES = 8


@dataclass
class Wrong:
    """A rule that is wrong about one axis of one input."""

    operator: str
    problem: str
    input_shape: tuple
    axis: int

    def __str__(self):
        return f"{self.operator}: {self.problem}: axis {self.axis} of an input of shape {self.input_shape}"


@dataclass
class Judged:
    """What came of the samples of one operator."""

    wrong: list
    judged: int = 0
    kept: int = 0
    seen: int = 0
    unfollowed: int = 0


def samples_of(op, count=SAMPLES):
    """A few samples, spread over those that torch has; of integers for an operator that takes no float32."""
    dtype = torch.float32 if torch.float32 in op.dtypes else torch.int64
    if dtype not in op.dtypes:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = list(itertools.islice(op.sample_inputs("cpu", dtype, requires_grad=False), 8 * count))
    found.sort(key=lambda sample: sample.input.numel() < 2 if isinstance(sample.input, Tensor) else False)
    step = max(1, len(found) // count)
    return found[::step][:count]


def outputs_of(function, leaves, spec):
    torch.manual_seed(0)
    args, kwargs = tree_unflatten(leaves, spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def copied(leaves):
    return [leaf.detach().clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]


class Probe:
    """One run of an operator with one axis of one input named.

    Args:
        function: The operator.
        leaves: The leaves of its arguments.
        spec: Their structure.
        place: Which leaf is the tensor.
        axis: Which of its axes is named.
    """

    def __init__(self, function, leaves, spec, place, axis):
        self.calls = []
        leaves = copied(leaves)
        tensor = leaves[place]
        self.dimension = Dimension(tensor.shape[axis], "probe")
        self.flow = Flow(independent=(), strict=True, record=self.calls.append)
        axes = [axis_of(self.dimension) if dim == axis else anonymous(size) for dim, size in enumerate(tensor.shape)]
        with self.flow:
            self.flow.name_tensor(tensor, axes)
            results = outputs_of(function, leaves, spec)
        self.results = [leaf for leaf in tree_leaves(results) if isinstance(leaf, Tensor)]
        self.axes = [self.flow.axes_of(result) for result in self.results]

    @property
    def is_mixed(self):
        """True if the rule says that the call carries values along the axis."""
        return any(self.is_in(axis) for call in self.calls for axis in (*call.mixed, *call.moved))

    def is_in(self, axis):
        return any(factor.dimension is self.dimension for factor in axis.factors)

    @property
    def is_kept(self):
        return any(self.is_in(axis) for axes in self.axes for axis in axes)


def coordinates(axis: Axis, dimension):
    """For each index along an axis: the index along `dimension`, and how much of it the axis tells."""
    index, inner = torch.arange(axis.size), 1
    along, known = torch.zeros_like(index), torch.zeros(dimension.size, dtype=torch.long)
    for factor in reversed(axis.factors):
        if factor.dimension is dimension:
            along += (index // inner % factor.size) * factor.stride
            known += (torch.arange(dimension.size) // factor.stride % factor.size) * factor.stride
        inner *= factor.size
    return along, known


def allowed(axes, dimension, index):
    """Where an output with these axes may change if `index` of the dimension does."""
    pieces = torch.ones([axis.size for axis in axes], dtype=torch.bool)
    copies = []
    for dim, axis in enumerate(axes):
        size = math.prod(factor.size for factor in axis.factors if factor.dimension is dimension)
        if size > 1:
            along, known = coordinates(axis, dimension)
            here = (along == known[index]).reshape([-1 if place == dim else 1 for place in range(len(axes))])
            if size == dimension.size:
                copies.append(here)
            else:
                pieces = pieces & here
    return pieces & functools.reduce(torch.logical_or, copies) if copies else pieces


def changed(before, after):
    """Where two outputs differ."""
    if before.dtype.is_floating_point or before.dtype.is_complex:
        return ~torch.isclose(before, after, rtol=1e-4, atol=1e-5, equal_nan=True)
    return before != after


def with_slice_changed(tensor, axis, index):
    """The tensor with the values of the next slice in place of one: values that the operator takes."""
    found = tensor.clone()
    found.select(axis, index).copy_(tensor.select(axis, (index + 1) % tensor.shape[axis]))
    return found


def judge(name, function, samples):
    """Judges an operator's rule on samples."""
    found = Judged([])
    for sample in samples:
        leaves, spec = tree_flatten(((sample.input, *sample.args), sample.kwargs))
        for place, leaf in enumerate(leaves):
            if isinstance(leaf, Tensor) and leaf.layout is torch.strided and not leaf.is_nested:
                for axis in [dim for dim, size in enumerate(leaf.shape) if size > 1][:4]:
                    judge_axis(name, function, leaves, spec, place, axis, found)
    return found


def judge_axis(name, function, leaves, spec, place, axis, found):
    tensor = leaves[place]
    try:
        probe = Probe(function, leaves, spec, place, axis)
    except ValueError as error:
        if "a rule gave" not in str(error):
            raise
        found.wrong.append(Wrong(name, str(error), tuple(tensor.shape), axis))
        return
    if sum(probe.flow.unfollowed.values()):
        found.unfollowed += 1
        return
    found.judged += 1
    found.kept += probe.is_kept
    if probe.is_mixed:
        return
    index = tensor.shape[axis] // 2
    other = copied(leaves)
    other[place] = with_slice_changed(tensor, axis, index)
    try:
        results = tree_leaves(outputs_of(function, other, spec))
    except (RuntimeError, ValueError, IndexError):  # the neighbor's values do not fit there
        return
    results = [result for result in results if isinstance(result, Tensor)]
    for before, after, axes in zip(probe.results, results, probe.axes, strict=True):
        if before.shape != after.shape:
            continue
        outside = ~allowed(axes, probe.dimension, index) if probe.is_kept else torch.tensor(True)
        difference = changed(before, after)
        found.seen += bool(difference.any())
        if (difference & outside).any():
            problem = f"the output with axes ({', '.join(map(str, axes))}) changes elsewhere"
            found.wrong.append(Wrong(name, problem, tuple(tensor.shape), axis))
            return
