"""A model of a zoo, and what `check` says of it: the model retyped, behind a `forward` whose parameters are annotated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dimtyped import check, nn, retype


@dataclass(frozen=True)
class Entry:
    """A model of a zoo.

    Args:
        name: Its name in the zoo.
        make: Makes it, small, with random weights.
        axes: The axes of each input.
        inputs: Makes its inputs.
        modes: The modes that it runs in.
    """

    name: str
    make: Callable[[], torch.nn.Module]
    axes: Mapping[str, str]
    inputs: Callable[[], dict[str, Tensor]]
    modes: tuple[str, ...] = field(default=("eval", "train"))

    def __str__(self):
        return self.name

    def report(self, mode, *, any_batch=False):
        """The report of `check` in a mode: on the inputs, or on ones that it makes, of any batch and of their other sizes."""
        torch.manual_seed(0)
        wrapped, inputs = self.wrapped(retype(self.make()).train(mode == "train")), self.inputs()
        if not any_batch:
            return check(wrapped, **inputs)
        sizes = {
            axis: size
            for name, tensor in inputs.items()
            for axis, size in zip(self.axes[name].split(), tensor.shape, strict=True)
            if axis.isidentifier() and axis != "batch"
        }
        return check(wrapped, sizes=sizes)

    def wrapped(self, model):
        """A module whose `forward` has annotated parameters and hands them on."""
        source = {}
        given = ", ".join(f"{parameter}={parameter}" for parameter in self.axes)
        exec(f"def forward(self, {', '.join(self.axes)}):\n    return self.model({given})\n", source)
        forward = source["forward"]
        kinds = {name: Float if tensor.is_floating_point() else Int for name, tensor in self.inputs().items()}
        forward.__annotations__ = {name: kinds[name][Tensor, text] for name, text in self.axes.items()}
        wrapper = type("Wrapped", (nn.Module,), {"forward": forward})()
        wrapper.model = model
        return wrapper


def image(name, make, size=64, *, channels=3, parameter="x", modes=("eval", "train")):
    """A model of images."""
    return Entry(
        name,
        make,
        {parameter: "batch channels height width"},
        lambda: {parameter: torch.randn(2, channels, size, size)},
        modes,
    )


def video(name, make, frames=8, size=64):
    """A model of videos."""
    return Entry(
        name,
        make,
        {"x": "batch channels frames height width"},
        lambda: {"x": torch.randn(2, 3, frames, size, size)},
    )
