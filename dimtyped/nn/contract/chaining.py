"""Checks that the layers of a `Sequential` fit together, if their sizes are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch

from dimtyped.errors import declaration_error
from dimtyped.names import short_repr
from dimtyped.nn.contract.layer import Layer, has_own_forward
from dimtyped.nn.contract.passthrough import keeps_shape

_AXES = (-1, -2, -3, -4)  # of the features, in any contract
_POOLS = ("MaxPool", "AvgPool", "AdaptiveMaxPool", "AdaptiveAvgPool")
_KEEPS_CHANNELS = {getattr(torch.nn, f"{pool}{n}d"): -n - 1 for pool in _POOLS for n in (1, 2, 3)}
"""The only axis whose size is certain to stay the same."""


class Link(NamedTuple):
    """A layer in a chain, and its path there."""

    path: str
    layer: Layer

    @property
    def axis(self) -> int:
        """The axis of the features, counted from the end."""
        return self.layer.contract.axis

    @property
    def takes(self) -> tuple[str, int]:
        """The size of the input, and its name."""
        return self._size(0)

    @property
    def gives(self) -> tuple[str, int]:
        """The size of the output, and its name."""
        return self._size(1)

    def _size(self, end: int) -> tuple[str, int]:
        role = (self.layer._dim_flow or ("", ""))[end]
        return self.layer._dim_labels[role], self.layer._dim_sizes[role]


def check_chain(container: torch.nn.Module, added: str | None = None) -> None:
    """Rejects neighbors whose sizes do not match. Layers that keep the size are skipped; unknown ones end the comparison.

    Args:
        container: A `Sequential`.
        added: The key of a layer at its end, where all before it are checked. Default: check all.

    Raises:
        DeclarationError: two sizes differ.
    """
    if not is_chain(container):
        return
    layers = _layers_of(container._modules) if added is None else _end_of(container._modules, added)
    before: Link | None = None
    for path, layer in layers:
        link = Link(path, layer) if isinstance(layer, Layer) and _has_flow(layer) else None
        if link is None:
            before = before if before is not None and _keeps(layer, before.axis) else None
            continue
        if before is not None and before.axis == link.axis and not _is_lookup(link.layer):
            _check_pair(container, before, link)
        before = link if _gives_tensor(link.layer) else None


def is_chain(container: torch.nn.Module) -> bool:
    """True if a call runs the layers in order: in a `Sequential` without its own `forward`."""
    return getattr(type(container), "forward", None) is torch.nn.Sequential.forward and not _is_changed(container)


def _layers_of(modules: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, torch.nn.Module | None]]:
    """The layers in the order in which they run, those of inner chains by their paths."""
    for key, module in modules.items():
        if isinstance(module, torch.nn.Sequential) and is_chain(module):
            yield from _layers_of(module._modules, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", module


def _end_of(modules: dict[str, Any], added: str) -> Iterator[tuple[str, torch.nn.Module | None]]:
    """The layers in what is added at the end, and those before it that decide which size it is given."""
    deciding: list[tuple[str, torch.nn.Module | None]] = []
    for path, layer in _layers_backwards(modules):
        if path == added or path.startswith(f"{added}."):
            continue
        deciding.append((path, layer))
        if not _may_keep(layer):
            break
    yield from reversed(deciding)
    yield from _layers_of({added: modules[added]})


def _layers_backwards(modules: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, torch.nn.Module | None]]:
    for key in reversed(modules):
        module = modules[key]
        if isinstance(module, torch.nn.Sequential) and is_chain(module):
            yield from _layers_backwards(module._modules, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", module


def _may_keep(layer: torch.nn.Module | None) -> bool:
    """True if the size before a layer may be that after it, of an axis."""
    if isinstance(layer, Layer) and _has_flow(layer):
        return False
    return any(_keeps(layer, axis) for axis in _AXES)


def _is_changed(module: torch.nn.Module) -> bool:
    """True if hooks or a replaced `forward` change a call of this one module."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__)


def _has_flow(layer: Layer) -> bool:
    """True if the contract names input and output sizes, and no subclass has its own `forward`."""
    return layer._dim_flow is not None and has_own_forward(layer) and not _is_changed(layer)


def _keeps(layer: torch.nn.Module | None, axis: int) -> bool:
    """True if the size of this axis does not change."""
    if layer is None or _is_changed(layer):
        return False
    if isinstance(layer, Layer):
        return axis in layer.contract.keeps and has_own_forward(layer)
    return keeps_shape(type(layer)) or _KEEPS_CHANNELS.get(type(layer)) == axis


def _is_lookup(layer: Layer) -> bool:
    """True if the input is indices, which have no width."""
    return isinstance(layer, torch.nn.Embedding | torch.nn.EmbeddingBag)


def _gives_tensor(layer: Layer) -> bool:
    return not isinstance(layer, torch.nn.RNNBase | torch.nn.LSTMCell | torch.nn.MultiheadAttention)


def _check_pair(container: torch.nn.Module, first: Link, second: Link) -> None:
    (give, given), (take, taken) = first.gives, second.takes
    if given == taken:
        return
    name = type(container).__name__
    spatial = {-2: "1d", -3: "2d", -4: "3d"}.get(second.axis, "")
    between = f"nn.Conv{spatial}({given}, {taken}, 1)" if spatial else f"nn.Linear({given}, {taken})"
    raise declaration_error(
        name,
        f"layer {second.path} takes {take}={taken}, but layer {first.path} gives {give}={given}\n"
        f"    {first.path}: {short_repr(first.layer)}\n"
        f"    {second.path}: {short_repr(second.layer)}",
        f"Give both the same size, or put `{between}` between them.",
        argument=second.path,
        dim=take,
        expected=given,
        actual=taken,
        bindings={give: given, take: taken},
    )
