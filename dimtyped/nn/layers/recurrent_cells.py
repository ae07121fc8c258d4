"""Recurrent cells: one step of a recurrent layer, batched `(batch, embed)` or not `(embed,)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Optional

import torch
from jaxtyping import Shaped
from torch import Tensor

from dimtyped.engine import Form
from dimtyped.errors import RankError
from dimtyped.nn.contract import Layer, declares, has_axes

_SIZES = {"embed": "input_size", "hidden": "hidden_size"}
_INPUT, _FLAT_INPUT = Shaped[Tensor, "batch embed"], Shaped[Tensor, "embed"]
_STATE, _FLAT_STATE = Shaped[Tensor, "batch hidden"], Shaped[Tensor, "hidden"]
_ONE_STATE = (
    Form({"input": _INPUT, "hx": Optional[_STATE]}, _STATE),  # noqa: UP045
    Form({"input": _FLAT_INPUT, "hx": Optional[_FLAT_STATE]}, _FLAT_STATE, has_axes("input", 1), rare=True),  # noqa: UP045
)
_PAIR, _FLAT_PAIR = tuple[_STATE, _STATE], tuple[_FLAT_STATE, _FLAT_STATE]


def _parameters(gates: str) -> dict[str, str]:
    return {"weight_ih": f"{gates} embed", "weight_hh": f"{gates} hidden", "bias_ih": gates, "bias_hh": gates}


@declares(
    sizes=_SIZES,
    calls=_ONE_STATE,
    parameters=_parameters("hidden"),
    flow=("embed", "hidden"),
    rank_error=RankError,
)
class RNNCell(Layer, torch.nn.RNNCell):
    """`torch.nn.RNNCell`, checked by name: `(batch, embed), (batch, hidden) -> (batch, hidden)`, or without batch."""


@declares(
    sizes=_SIZES,
    calls=_ONE_STATE,
    parameters=_parameters("3*hidden"),
    flow=("embed", "hidden"),
    rank_error=RankError,
)
class GRUCell(Layer, torch.nn.GRUCell):
    """`torch.nn.GRUCell`, checked by name: `(batch, embed), (batch, hidden) -> (batch, hidden)`, or without batch.

    Example:
        >>> from dimtyped import dims, nn
        >>> embed, hidden = dims(embed=128, hidden=256)
        >>> nn.GRUCell(embed, hidden)
        GRUCell(embed=128 -> hidden=256)
    """


@declares(
    sizes=_SIZES,
    calls=(
        Form({"input": _INPUT, "hx": None | _PAIR | list[_STATE]}, _PAIR),
        Form(
            {"input": _FLAT_INPUT, "hx": None | _FLAT_PAIR | list[_FLAT_STATE]},
            _FLAT_PAIR,
            has_axes("input", 1),
            rare=True,
        ),
    ),
    parameters=_parameters("4*hidden"),
    flow=("embed", "hidden"),
    rank_error=RankError,
)
class LSTMCell(Layer, torch.nn.LSTMCell):
    """`torch.nn.LSTMCell`, checked by name; its state is a pair `(h, c)`, each `(batch, hidden)`, or without batch."""

    if TYPE_CHECKING:
        __call__: Callable[..., tuple[Tensor, Tensor]]  # pyright: ignore[reportIncompatibleMethodOverride]  # most give a tensor alone
