"""Findings that need many calls: a parameter that no call trains, a last step that no call reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from dimtyped.testing.properties.deterministic import deterministic, fresh
from dimtyped.testing.properties.failure import FuzzError
from dimtyped.testing.properties.mixing import IndependenceCheck, MixedError
from dimtyped.testing.properties.padding import LEFT, Padding
from dimtyped.testing.strategies.calls import Call
from dimtyped.testing.strategies.leaves import floats_in
from dimtyped.testing.strategies.target import modules_of

_FEW = 5  # the calls needed to say that something never happens


@dataclass
class Evidence:
    """Counts over the right calls of one search."""

    trained: set[str] = field(default_factory=set[str])
    dimensions: dict[str, int] = field(default_factory=dict[str, int])
    differentiated: int = 0
    last: int = 0
    earlier: int = 0
    looked: int = 0
    tried: int = 0
    mixed: str = ""
    fronts: int = 0
    in_front: str = ""

    def look_at_gradients(self, call: Call, seed: int) -> None:
        """Computes the gradients of a call with random weights of its results, because a sum would hide a softmax.

        Raises:
            AssertionError: there are none, or one is not finite although the result is.
        """
        args, kwargs = fresh(call)
        inputs = [tensor.requires_grad_() for tensor in floats_in((args, kwargs))]
        named = [(n, p) for module in modules_of(call.target.call) for n, p in module.named_parameters()]
        trained = [(name, parameter) for name, parameter in named if parameter.requires_grad]
        with deterministic(double=False), torch.enable_grad():
            result = call.target.call(*args, **kwargs)
            total = _weighted(floats_in(result), seed)
        if not total.requires_grad:
            raise AssertionError("no gradient reaches the inputs or the parameters")
        wanted = [*inputs, *(parameter for _, parameter in trained)]
        gradients = torch.autograd.grad(total, wanted, allow_unused=True) if wanted else ()
        for gradient in gradients:
            if gradient is not None and bool(total.isfinite()) and not bool(gradient.isfinite().all()):
                raise AssertionError("a gradient is not finite, though the result is")
        self.differentiated += 1
        for (name, parameter), gradient in zip(trained, gradients[len(inputs) :], strict=True):
            if gradient is not None and bool(gradient.any()):
                self.trained.add(name)
            self.dimensions[name] = parameter.dim()

    def look_inside(self, check: IndependenceCheck, parameter: str) -> None:
        """Notes if the last real place of padded sequences matters, and if an earlier one does."""
        found = check.matters(parameter)
        if found is not None:
            last, earlier = found
            self.looked, self.last, self.earlier = self.looked + 1, self.last + last, self.earlier + earlier

    def try_padding(self, check: IndependenceCheck, parameter: str) -> None:
        """Notes if a parameter acts as padding without being named so: values past it change nothing."""
        if self.mixed or not check.gives(parameter):
            return
        self.tried += 1
        try:
            check.check_padding(parameter)
            check.check_padded(parameter)
        except MixedError as error:
            self.mixed = str(error).partition("\n")[0]

    def look_in_front(self, check: IndependenceCheck, parameter: str) -> None:
        """Notes if a sequence that a mask pads in front gives another result than alone, as with positions from the left."""
        if self.in_front or not check.gives(parameter) or not Padding.of(check.call, parameter).is_possible(LEFT):
            return
        self.fronts += 1
        try:
            check.check_padded(parameter, LEFT)
        except MixedError as error:
            self.in_front = str(error).partition("\n")[0]

    def failure(self, name: str, padding: str | None) -> FuzzError | None:
        """The failure that all calls together show; None if there is none."""
        found = FuzzError(f"{name} fails: {text}") if (text := self._text(padding)) else None
        if found is not None:
            found.__notes__ = [""]
        return found

    def _text(self, padding: str | None) -> str:
        never = list(self._never_trained())
        if never and self.differentiated >= _FEW:
            shown = ", ".join(f"`{name}`" for name in never)
            return (
                f"the gradient of {shown} is exactly 0 in all {self.differentiated} calls: the result does not depend on it\n\n"
                "  If that is intended, give it requires_grad=False."
            )
        if self.looked >= _FEW and self.earlier >= _FEW and not self.last:
            return (
                f"the last place inside `{padding}` changes the result in none of {self.looked} calls, but earlier ones do: "
                "a place is left out"
            )
        return ""

    def _never_trained(self) -> Iterator[str]:
        """The parameters without a gradient, except a bias whose weight has one: a difference may cancel the bias."""
        owners = {name.rpartition(".")[0] for name in self.trained}
        for name, dimensions in self.dimensions.items():
            if name not in self.trained and (dimensions > 1 or name.rpartition(".")[0] not in owners):
                yield name


def _weighted(results: list[torch.Tensor], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(tensor.shape, generator=generator).to(tensor) for tensor in results]
    return sum(((t * w).sum() for t, w in zip(results, weights, strict=True)), torch.zeros(()))
