"""The subject of a test: the ways of calling the user's module, resolved once, and the copies to run."""

from __future__ import annotations

import copy
import dataclasses
import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dimtyped.annotations import ArrayHint, arrays_in
from dimtyped.testing.strategies.calls import Call
from dimtyped.testing.strategies.leaves import mapped
from dimtyped.testing.strategies.target import InputOptions, Target, modules_of, targets_of, with_options

_NOISE = 0.2  # how much a constant parameter is changed


@dataclass(frozen=True)
class Subject:
    """A function or module, and copies of it in eval mode.

    Args:
        options: Options of the inputs, from the user or learned from earlier calls.
        own: Every way of calling the user's own module, which is never called.
        plain: Every way of calling a copy.
        precise: Every way of calling a copy in double precision, or the plain copy if it cannot run in that.
        is_double: True if the precise copy is in double precision.
    """

    options: InputOptions
    own: list[Target]
    plain: list[Target]
    precise: list[Target]
    is_double: bool = False

    @classmethod
    def of(cls, thing: Any, options: InputOptions) -> Subject:
        """The subject with only a plain copy.

        Raises:
            DeclarationError: no inputs can be made for it.
        """
        own = targets_of(thing)
        plain = _copied(thing, own, double=False)
        return cls(options, own, plain, plain).with_options(options)

    @property
    def name(self) -> str:
        """The name in errors."""
        return self.own[0].name

    @property
    def thing(self) -> Any:
        """The user's own function or module."""
        return self.own[0].call

    @property
    def copy(self) -> Any:
        """The plain copy of the function or module."""
        return self.plain[0].call

    def with_options(self, options: InputOptions) -> Subject:
        """The subject with other options of its inputs."""
        own, plain, precise = (with_options(each, options) for each in (self.own, self.plain, self.precise))
        return Subject(options, own, plain, precise, self.is_double)

    def in_double(self) -> Subject:
        """The subject with a copy in double precision, if its annotations allow that."""
        if self.is_double or not modules_of(self.thing) or not all(_admits_double(target) for target in self.own):
            return self
        precise = with_options(_copied(self.thing, self.own, double=True), self.options)
        return dataclasses.replace(self, precise=precise, is_double=True)

    def without_double(self) -> Subject:
        """The subject without the copy in double precision."""
        return dataclasses.replace(self, precise=self.plain, is_double=False)

    def precisely(self, call: Call) -> Call:
        """A call of the precise copy with the same arguments."""
        if not self.is_double:
            return call
        target = next(precise for plain, precise in zip(self.plain, self.precise, strict=True) if plain is call.target)
        return Call(target, mapped(call.args, _widened), mapped(call.kwargs, _widened))


def _copied(thing: Any, targets: Sequence[Target], *, double: bool) -> list[Target]:
    """The targets of a copy in eval mode. A function without a module is not copied."""
    modules = modules_of(thing)
    if not modules:
        return list(targets)
    memo: dict[int, Any] = {}
    twin = _deep_copy(thing, memo)
    for module in modules:
        _prepare(memo[id(module)], double=double)
    return [_retargeted(target, twin, memo, double=double) for target in targets]


def _deep_copy(thing: Any, memo: dict[int, Any]) -> Any:
    if isinstance(thing, types.MethodType):
        return types.MethodType(thing.__func__, copy.deepcopy(thing.__self__, memo))
    return copy.deepcopy(thing, memo)


def _retargeted(target: Target, twin: Any, memo: dict[int, Any], *, double: bool) -> Target:
    def copied(value: Any) -> Any:
        return memo.get(id(value), value)

    return dataclasses.replace(
        target,
        call=twin,
        owner=copied(target.owner),
        bound_first=tuple(copied(value) for value in target.bound_first),
        bound_by_name={name: copied(value) for name, value in target.bound_by_name.items()},
        dtype=torch.float64 if double else target.dtype,
    )


def _prepare(module: torch.nn.Module, *, double: bool) -> None:
    """Prepares a module: eval mode, statistics for each normalization, and no constant parameters.

    So mixing that remains is not caused by batch statistics, and weights of 1 along a wrong axis show too.
    """
    module.eval()
    generator = torch.Generator().manual_seed(0)
    for member in module.modules():
        if isinstance(member, torch.nn.modules.batchnorm._NormBase):
            _give_statistics(member, generator)
    for parameter in module.parameters():
        _vary(parameter, generator)
    if double:
        module.double()


def _vary(parameter: torch.Tensor, generator: torch.Generator) -> None:
    """Changes a trained parameter that is constant, as in fresh norms and gates."""
    data = parameter.detach()
    if (
        not parameter.requires_grad
        or not data.is_floating_point()
        or not data.numel()
        or type(data) is not torch.Tensor
    ):
        return
    first = data.reshape(-1)[0]
    if bool((data == first).all()) and (data.numel() > 1 or not bool(first)):
        noise = torch.rand(data.shape, generator=generator).to(device=data.device, dtype=data.dtype)
        data.add_(noise * _NOISE)


def _give_statistics(layer: torch.nn.modules.batchnorm._NormBase, generator: torch.Generator) -> None:
    """Sets running statistics that are missing or fresh; those of an InstanceNorm only if it tracks them."""
    is_batch = isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)
    mean, var = layer.running_mean, layer.running_var
    is_fresh = mean is not None and var is not None and not bool(mean.any()) and bool((var == 1).all())
    if not is_fresh and not (is_batch and mean is None):
        return
    like = mean if mean is not None else next(iter(layer.parameters()), torch.empty(0))
    made = torch.rand(2, layer.num_features, generator=generator).to(device=like.device, dtype=like.dtype)
    layer.register_buffer("running_mean", made[0] * _NOISE)
    layer.register_buffer("running_var", 1 + made[1])


def _admits_double(target: Target) -> bool:
    """True if no annotation names floats of a certain precision."""
    arrays: tuple[ArrayHint, ...] = (*target.arrays, *arrays_in(target.signature.result))
    return all(a.dtypes is None or torch.float32 not in a.dtypes or torch.float64 in a.dtypes for a in arrays)


def _widened(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().double() if tensor.is_floating_point() else tensor
