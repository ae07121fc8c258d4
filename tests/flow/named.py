"""Short ways to name tensors in the tests of flow."""

import torch
from torch import nn

from dimtyped.flow import Dimension, Flow, anonymous, axis_of, text_of


class Run:
    """A strict Flow with dimensions by name.

    `run("batch seq 3")` is a float tensor with these axes; a number is an anonymous axis.
    """

    def __init__(self, flow=None, **sizes):
        self.flow = flow or Flow(strict=True)
        self.dimensions = {name: Dimension(size, name, f"from `{name}`") for name, size in sizes.items()}

    def axes(self, names):
        return tuple(
            anonymous(int(name)) if name.isdigit() else axis_of(self.dimensions[name]) for name in names.split()
        )

    def __call__(self, names, make=torch.randn):
        axes = self.axes(names)
        return self.flow.name_tensor(make(*(axis.size for axis in axes)), axes)

    def name(self, tensor, names):
        return self.flow.name_tensor(tensor, self.axes(names))

    def text(self, tensor):
        return text_of(self.flow.axes_of(tensor))

    @property
    def kinds(self):
        return [found.kind for found in self.flow.findings]


SIZES = dict.fromkeys(("batch", "seq", "heads", "vocab", "channels", "source", "classes"), 4)
SIZES |= {"embed": 16, "hidden": 8, "height": 8, "width": 8}


def run_of(function, **sizes):
    run = Run(**{**SIZES, **sizes})
    with run.flow:
        function(run)
    return run


def linear(run, names, bias=True):
    out, into = run.axes(names)
    layer = nn.Linear(into.size, out.size, bias=bias)
    run.name(layer.weight, names)
    return layer
