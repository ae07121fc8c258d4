"""Recurrent layers. The state is `(layers*directions, batch, hidden)` regardless of `batch_first`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from dimtyped.annotations import packed_shape
from dimtyped.engine import Form, entry_of
from dimtyped.errors import RankError, declaration_error
from dimtyped.names import Dim, name_of
from dimtyped.nn.contract import (
    COUNTS,
    Layer,
    SizeViolation,
    check_arguments,
    check_before,
    constructor_errors_explained,
    declares,
    made_by_torch,
    make_ready,
    plain,
    take_names,
)
from dimtyped.nn.layers.recurrent_initial_state import PARTS, HasInitialState, State, initial_axes, take_initial
from dimtyped.nn.layers.recurrent_inputs import ONE_STATE, PACKED_PAIR, PACKED_STATE, PAIR
from dimtyped.nn.layers.recurrent_state_bridge import check_state_from
from dimtyped.runtime import WithoutInternalFrames, hold_methods, internal_frame, is_tracing, strip_internal_frames

_SIZES = {"embed": "input_size", "hidden": "hidden_size", "state": "_dim_state", "layers": "_dim_layers"}
_DERIVED = {
    "_dim_state": "({self}.proj_size or {self}.hidden_size)",
    "_dim_layers": "({self}.num_layers * (2 if {self}.bidirectional else 1))",
}
"""The properties among these, as the source of a check writes them: a trace would guard where it finds a property."""
_COUNTS = {**COUNTS, "num_layers": 1}
_LAYER_NAMES = "_dim_layer_names"


def _check_dtype(self: Any, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:  # noqa: ARG001
    """Replaces torch's `check_forward_args`: the shapes are already checked, and torch raises for a wrong dtype."""
    if input.dtype != self._flat_weights[0].dtype:
        torch.nn.RNNBase.check_input(self, input, batch_sizes)


class Recurrent(HasInitialState, Layer, torch.nn.RNNBase):
    """The base of RNN, LSTM and GRU: four forms of input, and a state that must fit the input's batch."""

    _dim_hooks = {"check_forward_args": _check_dtype}  # noqa: RUF012  # a ClassVar in the base

    @classmethod
    def _dim_checked(cls, torch_forward: Callable[..., Any]) -> Callable[..., Any]:
        """Selects the check by the form of the input: batch first or second, unbatched, or packed."""
        forms = [form.inputs or {} for form in cls.contract.calls]
        batch_first, seq_first, unbatched = (check_before(cls, torch_forward, Form(form)) for form in forms[:3])
        state: Any = PACKED_PAIR if issubclass(cls, torch.nn.LSTM) else PACKED_STATE
        of_data = {"input": Shaped[Tensor, "steps embed"], "hx": state | None, "batch": int}
        packed = check_before(cls, _packed, Form(of_data))
        wrong_rank = check_before(cls, torch_forward, Form(forms[4]), error=RankError)

        @internal_frame
        def forward(self: Any, input: Any, hx: Any = None) -> Any:  # torch's name
            if isinstance(hx, list):  # torch also accepts an LSTM's (h, c) in a list
                hx = tuple(hx)
            is_tensor = isinstance(input, Tensor)
            # outside of `try`, where TorchDynamo cannot break a graph
            if not is_tensor and isinstance(input, PackedSequence):
                batch = packed_shape(input)[0]
                if batch is not None:  # else in a trace, which torch's own forward then ends
                    packed(self, input.data, hx, batch)
                return torch_forward(self, input, hx)
            try:
                if is_tensor:
                    rank = input.dim()
                    if rank == 3:
                        return batch_first(self, input, hx) if self.batch_first else seq_first(self, input, hx)
                    return unbatched(self, input, hx) if rank == 2 else wrong_rank(self, input, hx)
                return seq_first(self, input, hx)
            except BaseException as error:
                if not is_tracing():
                    strip_internal_frames(error)
                raise

        checks = (batch_first, seq_first, unbatched, wrong_rank, packed)
        forward._dim_entries = tuple(entry_of(check) for check in checks)  # type: ignore[attr-defined]
        return functools.update_wrapper(forward, torch_forward, ("__name__", "__qualname__", "__doc__"), ())

    @property
    def _dim_state(self) -> int:
        """The width of the state between steps: `proj_size` if there is one."""
        return self.proj_size or self.hidden_size

    @property
    def _dim_layers(self) -> int:
        """The number of states: one for each layer and direction."""
        return self.num_layers * (2 if self.bidirectional else 1)

    @property
    def _dim_names(self) -> dict[str, int]:
        """The sizes given as Dims; with `num_layers` the directions too, if there are two."""
        given: Mapping[str, str] = self.__dict__.get(_LAYER_NAMES, {})
        counts = {"num_layers": self.num_layers, "bidirectional": 2 if self.bidirectional else 1}
        return {**super()._dim_names, **{name: counts[argument] for argument, name in given.items()}}

    @property
    def _dim_labels(self) -> dict[str, str]:
        labels = super()._dim_labels
        state = labels["hidden"] if not self.proj_size else "proj"
        given: Mapping[str, str] = self.__dict__.get(_LAYER_NAMES, {})
        layers, directions = given.get("num_layers", "layers"), given.get("bidirectional", "directions")
        return {**labels, "state": state, "layers": f"{layers}*{directions}" if self.bidirectional else layers}

    def _dim_parameter_axes(self, name: str) -> str | None:
        if name in PARTS:
            return initial_axes(self, name)
        gates = {"LSTM": 4, "GRU": 3}.get(self.mode, 1)
        kind, _, place = name.rpartition("_l")
        layer = place.partition("_")[0]
        if not layer.isdigit():
            return None
        width = "embed" if layer == "0" else ("2*state" if self.bidirectional else "state")
        rows = f"{gates}*hidden" if gates > 1 else "hidden"
        shapes = {
            "weight_ih": f"{rows} {width}",
            "weight_hh": f"{rows} state",
            "bias_ih": rows,
            "bias_hh": rows,
            "weight_hr": "state hidden",
        }
        return shapes.get(kind)


def _no_steps(layer: Any, input: Any, *_: Any) -> Iterator[SizeViolation]:  # torch's name
    """A sequence without steps."""
    axis = 1 if layer.batch_first and input.dim() == 3 else 0
    if input.shape[axis] == 0:
        yield SizeViolation("input", axis, "seq", "at least 1")


def _packed(self: Any, input: Tensor, hx: Any, batch: int) -> None:  # torch's name
    """Replaces torch's `forward` in the check of a PackedSequence, whose batch is not an axis of its data."""


def _make(layer: Any, torch_init: Callable[..., None], state_from: Any, initial: Any, **arguments: Any) -> None:
    arguments["bidirectional"], directions = _directions(type(layer).__name__, arguments["bidirectional"])
    check_arguments(type(layer), arguments)
    take_names(layer, arguments)
    layers = name_of(arguments["num_layers"])
    if directions or layers:
        named = {
            "num_layers": layers,
            "bidirectional": directions or ("directions" if arguments["bidirectional"] else None),
        }
        layer.__dict__[_LAYER_NAMES] = {argument: name for argument, name in named.items() if name}
    sizes = ("input_size", "hidden_size", "num_layers")
    with constructor_errors_explained(type(layer).__name__, arguments, sizes=sizes), made_by_torch(layer):
        torch_init(**{key: plain(value) for key, value in arguments.items()})
    if state_from is not None:
        check_state_from(layer, state_from)
    make_ready(layer, type(layer))
    if initial is not None:
        take_initial(layer, initial)


def _directions(where: str, bidirectional: Any) -> tuple[bool, str | None]:
    """Torch's argument, and its name if it was given as a Dim of 1 or 2 directions."""
    if not isinstance(bidirectional, Dim):
        return bidirectional, None
    if bidirectional not in (1, 2):
        raise declaration_error(
            where,
            f"bidirectional={int(bidirectional)} is not a number of directions",
            "give 1 or 2 directions, or False or True",
            argument="bidirectional",
            dim=bidirectional.name,
            expected="1 or 2",
            actual=int(bidirectional),
        )
    return bidirectional == 2, bidirectional.name


@declares(
    sizes=_SIZES,
    derived=_DERIVED,
    counts=_COUNTS,
    calls=ONE_STATE,
    flow=("embed", "hidden"),
    violations=_no_steps,
)
class RNN(Recurrent, torch.nn.RNN):
    """`torch.nn.RNN`, checked by name: `(batch, seq, embed), (layers*directions, batch, hidden)`.

    Args:
        state_from: The recurrent layer whose final state this one starts from. Default: any layer's.
        initial: The state that a call without a state starts from, `(layers*directions, hidden)`, for an LSTM a pair
            `(h, c)`; a Parameter is learned. Default: zeros.

    Raises:
        StateError: at construction, if the final state of `state_from` or `initial` does not fit.
    """

    if TYPE_CHECKING:
        __call__: Callable[..., tuple[Any, Tensor]]  # pyright: ignore[reportIncompatibleMethodOverride]  # most layers return a single tensor

    @WithoutInternalFrames()
    @internal_frame
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        state_from: torch.nn.RNNBase | None = None,
        initial: State | None = None,
    ) -> None:
        _make(
            self,
            super().__init__,
            state_from,
            initial,
            input_size=input_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
            nonlinearity=nonlinearity,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            device=device,
            dtype=dtype,
        )


@declares(
    sizes=_SIZES,
    derived=_DERIVED,
    counts=_COUNTS,
    calls=ONE_STATE,
    flow=("embed", "hidden"),
    violations=_no_steps,
)
class GRU(Recurrent, torch.nn.GRU):
    """`torch.nn.GRU`, checked by name: `(batch, seq, embed), (layers*directions, batch, hidden)`, to the same of hidden.

    Args:
        state_from: The recurrent layer whose final state this one starts from. Default: any layer's.
        initial: The state that a call without a state starts from, `(layers*directions, hidden)`, for an LSTM a pair
            `(h, c)`; a Parameter is learned. Default: zeros.

    Raises:
        StateError: at construction, if the final state of `state_from` or `initial` does not fit.

    Example:
        >>> from dimtyped import dims, nn
        >>> embed, hidden = dims(embed=128, hidden=256)
        >>> nn.GRU(embed, hidden, batch_first=True)
        GRU(embed=128 -> hidden=256, batch_first=True)
    """

    if TYPE_CHECKING:
        __call__: Callable[..., tuple[Any, Tensor]]  # pyright: ignore[reportIncompatibleMethodOverride]  # most layers return a single tensor

    @WithoutInternalFrames()
    @internal_frame
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        state_from: torch.nn.RNNBase | None = None,
        initial: State | None = None,
    ) -> None:
        _make(
            self,
            super().__init__,
            state_from,
            initial,
            input_size=input_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            device=device,
            dtype=dtype,
        )


@declares(
    sizes=_SIZES,
    derived=_DERIVED,
    counts=_COUNTS,
    calls=PAIR,
    flow=("embed", "hidden"),
    violations=_no_steps,
)
class LSTM(Recurrent, torch.nn.LSTM):
    """`torch.nn.LSTM`, checked by name; its state is `(h, c)`, h has width `proj_size` if there is one.

    Args:
        state_from: The recurrent layer whose final state this one starts from. Default: any layer's.
        initial: The state that a call without a state starts from, `(layers*directions, hidden)`, for an LSTM a pair
            `(h, c)`; a Parameter is learned. Default: zeros.

    Raises:
        StateError: at construction, if the final state of `state_from` or `initial` does not fit.
    """

    if TYPE_CHECKING:
        __call__: Callable[..., tuple[Any, tuple[Tensor, Tensor]]]  # pyright: ignore[reportIncompatibleMethodOverride]  # most layers return a single tensor

    @WithoutInternalFrames()
    @internal_frame
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
        *,
        state_from: torch.nn.RNNBase | None = None,
        initial: State | None = None,
    ) -> None:
        _make(
            self,
            super().__init__,
            state_from,
            initial,
            input_size=input_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            proj_size=proj_size,
            device=device,
            dtype=dtype,
        )


for _cls in (RNN, GRU, LSTM):
    hold_methods(_cls, "permute_hidden", "_update_flat_weights", "_weights_have_changed")
