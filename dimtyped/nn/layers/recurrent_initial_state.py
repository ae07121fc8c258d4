"""The state that a recurrent layer starts from: zeros, or one that is learned."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from dimtyped.errors import DeclarationError, StateError, declaration_error
from dimtyped.names import shape_text
from dimtyped.runtime import dynamic_class, internal_frame

State = Tensor | tuple[Tensor, Tensor]
PARTS: tuple[str, str] = ("initial_h", "initial_c")
"""The names under which a given initial state is registered: a Parameter as a parameter, a tensor as a buffer."""


class HasInitialState(torch.nn.Module):
    """The part of a recurrent layer that makes its first state."""

    def initial_state(
        self, batch: int | None, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """Returns the state to start from: the `initial=` of the constructor, or zeros.

        Args:
            batch: The number of sequences; None for the state of unbatched input.
            device: Default: the layer's.
            dtype: Default: the layer's.

        Shape:
            returns: `(layers*directions, batch, hidden)`, or without batch; for an LSTM a pair, `(h, c)`.

        Raises:
            DeclarationError: `batch` is not a size.

        Example:
            >>> from dimtyped import nn
            >>> nn.GRU(8, 16, num_layers=2, bidirectional=True).initial_state(batch=5).shape
            torch.Size([4, 5, 16])
        """
        is_size = isinstance(batch, int) or hasattr(batch, "__index__")  # a trace cannot read an attribute of a symbol
        if batch is not None and (isinstance(batch, bool) or not is_size or batch < 0):
            raise declaration_error(
                f"{type(self).__name__}.initial_state",
                f"batch is {batch!r}, must be a size, an int of 0 or more, or None",
                "Give it input.shape[0], or input.shape[1] if batch_first is False.",
                argument="batch",
                dim="batch",
                expected="an int of 0 or more, or None",
                actual=batch if isinstance(batch, bool | int | float | str) else repr(batch),
            )
        layer: Any = self
        of_weight: Any = layer._flat_weights[0]
        like = {"device": device or of_weight.device, "dtype": dtype or of_weight.dtype}
        h, *c = [_expanded(self, part, width, batch, like) for part, width in zip(PARTS, _widths(self), strict=False)]
        return (h, c[0]) if c else h


class _Starts(HasInitialState):
    """Mixed into a recurrent layer that is given an initial state."""

    @internal_frame
    def forward(self, input: Any, hx: Any = None) -> Any:  # torch's name
        """Runs torch's forward; without a given state it starts from the layer's own."""
        return super().forward(input, self.initial_state(_batch_of(self, input)) if hx is None else hx)


def take_initial(layer: Any, initial: Any) -> None:
    """Sets the state that a recurrent layer starts from if a call gives none.

    Raises:
        StateError: it is not a state of this layer.
    """
    widths = _widths(layer)
    parts = initial if isinstance(initial, tuple | list) else (initial,)
    if len(parts) != len(widths) or not all(isinstance(part, Tensor) for part in parts):
        wanted = "a pair of tensors (h, c)" if len(widths) == 2 else "a tensor"
        raise _error(layer, f"must be {wanted}, not {_kind(initial)}", "kind", wanted, _kind(initial))
    for part, width, name in zip(parts, widths, PARTS, strict=False):
        _check_part(layer, part, width, name)
    for part, name in zip(parts, PARTS, strict=False):
        if isinstance(part, torch.nn.Parameter):
            layer.register_parameter(name, part)
        else:
            layer.register_buffer(name, part)
    layer.__class__ = _starting(type(layer))


def initial_axes(layer: Any, name: str) -> str | None:
    """The axes of a given initial state, which may have one for the batch."""
    part: Tensor | None = layer.__dict__.get("_parameters", {}).get(name)
    width = {PARTS[0]: "state", PARTS[1]: "hidden"}.get(name)
    return None if part is None or width is None else " ".join(["layers", *["1"] * (part.dim() - 2), width])


def _starting(base: type) -> type:
    return dynamic_class(_starting, base, _Starts, members={})


def _widths(layer: Any) -> tuple[int, ...]:
    """The width of h, and of c if the layer has one."""
    width = layer.proj_size or layer.hidden_size
    return (width, layer.hidden_size) if layer.mode == "LSTM" else (width,)


def _states(layer: Any) -> int:
    return layer.num_layers * (2 if layer.bidirectional else 1)


def _expanded(layer: Any, part: str, width: int, batch: int | None, like: dict[str, Any]) -> Tensor:
    given: Tensor | None = getattr(layer, part, None)
    shape = (_states(layer), width) if batch is None else (_states(layer), batch, width)
    if given is None:
        return torch.zeros(shape, **like)
    given = given.to(**like).reshape(_states(layer), width)
    return given if batch is None else given.unsqueeze(1).expand(shape).contiguous()


def _batch_of(layer: Any, values: Any) -> int | None:
    """The number of sequences in a call; None if it has no batch."""
    if isinstance(values, PackedSequence):
        return int(values.batch_sizes[0])
    if not isinstance(values, Tensor) or values.dim() < 3:
        return None
    return values.shape[0 if layer.batch_first else 1]


def _check_part(layer: Any, part: Tensor, width: int, name: str) -> None:
    expected = (_states(layer), width)
    shape = tuple(part.shape)
    if shape in (expected, (expected[0], 1, width)):
        return
    labels = layer._dim_labels
    directions = 2 if layer.bidirectional else 1
    label = labels["state"] if name == PARTS[0] else labels["hidden"]
    wrong = label if len(shape) > 1 and shape[0] == expected[0] else "layers*directions"
    raise _error(
        layer,
        f"{name.removeprefix('initial_')} is {shape_text(shape)}, must be {shape_text(expected)} or "
        f"{shape_text((expected[0], 1, width))}: "
        f"layers={layer.num_layers} times directions={directions}, {label}={width}",
        wrong,
        expected,
        shape,
    )


def _error(layer: Any, text: str, dim: str, expected: str | tuple[int, ...], actual: object) -> DeclarationError:
    wanted = (
        expected
        if isinstance(expected, str)
        else f"a tensor of shape {shape_text(expected)}, which any batch starts from"
    )
    return declaration_error(
        type(layer).__name__,
        f"{layer._dim_text()}: the argument `initial` does not fit: {text}",
        f"Give it {wanted}.",
        kind=StateError,
        argument="initial",
        dim=dim,
        expected=expected,
        actual=actual,
    )


def _kind(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"  # type: ignore[reportUnknownArgumentType]  # of whatever
    return "a tensor" if isinstance(value, Tensor) else repr(value)
