"""Recurrent states between layers: a check that a decoder can take an encoder's, and a learned bridge if it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from dimtyped.engine import Form, of_owner
from dimtyped.errors import StateError, declaration_error
from dimtyped.names import given_text
from dimtyped.nn.contract import Layer, declares, make_ready
from dimtyped.nn.layers import linear as linear_layer
from dimtyped.nn.layers.recurrent_initial_state import State
from dimtyped.runtime import WithoutInternalFrames, internal_frame

_H = Shaped[Tensor, "layers *batch hidden"]
_C = Shaped[Tensor, "layers *batch cell"]
_MAPPED = Shaped[Tensor, "target_layers *batch target_hidden"]


@dataclass(frozen=True)
class _Form:
    """The sizes of a recurrent layer's state; `cell` is the width of c, 0 if there is none."""

    layers: int
    directions: int
    width: int
    cell: int

    @property
    def states(self) -> int:
        return self.layers * self.directions

    def __str__(self) -> str:
        cell = f", cell={self.cell}" if self.cell else ""
        return f"layers={self.layers}, directions={self.directions}, hidden={self.width}{cell}"


def check_state_from(target: torch.nn.RNNBase, source: Any) -> None:
    """Rejects a source whose final state the target cannot start from.

    Raises:
        StateError: layers, directions, width or kind differ; the error names all that differ.
    """
    must_be_recurrent("state_from", source)
    differences = _differences(target, source)
    if not differences:
        return
    names = ", ".join(name for name, _, _ in differences)
    lines = [f"    {name}: {theirs} in the source, {ours} here" for name, theirs, ours in differences]
    raise declaration_error(
        type(target).__name__,
        f"{_text(target)} cannot start from the final state of {_text(source)}: {names} "
        f"{'differ' if len(differences) > 1 or names.endswith('s') else 'differs'}\n\n" + "\n".join(lines),
        "Use nn.StateBridge(source, target), a learned map between the two states, or make them equal.",
        kind=StateError,
        argument="state_from",
        dim=differences[0][0],
        expected=differences[0][2],
        actual=differences[0][1],
        bindings={name: ours for name, _, ours in differences if isinstance(ours, int)},
    )


def must_be_recurrent(argument: str, layer: object) -> None:
    """Rejects modules without a recurrent state.

    Raises:
        StateError: it is not an RNN, GRU or LSTM.
    """
    if not isinstance(layer, torch.nn.RNNBase):
        raise declaration_error(
            "StateBridge" if argument != "state_from" else argument,
            f"{argument} takes an RNN, a GRU or an LSTM, not {given_text(layer)}",
            "Give it the recurrent layer itself, such as encoder.gru.",
            kind=StateError,
            argument=argument,
            expected="an RNN, a GRU or an LSTM",
            actual=type(layer).__name__,
        )


def _form(layer: torch.nn.RNNBase) -> _Form:
    cell = layer.hidden_size if layer.mode == "LSTM" else 0
    return _Form(layer.num_layers, 2 if layer.bidirectional else 1, layer.proj_size or layer.hidden_size, cell)


def _differences(target: torch.nn.RNNBase, source: torch.nn.RNNBase) -> list[tuple[str, Any, Any]]:
    """The sizes that differ: the name, the source's, the target's."""
    theirs, ours = _form(source), _form(target)
    rows: list[tuple[str, Any, Any]] = [
        ("layers", theirs.layers, ours.layers),
        ("directions", theirs.directions, ours.directions),
        (_label(target), theirs.width, ours.width),
        ("kind", _kind(source), _kind(target)),
    ]
    if theirs.cell and ours.cell and (theirs.width, ours.width) != (theirs.cell, ours.cell):
        rows.append(("cell", theirs.cell, ours.cell))
    return [row for row in rows if row[1] != row[2]]


def _kind(layer: torch.nn.RNNBase) -> str:
    return "LSTM (h and c)" if layer.mode == "LSTM" else "RNN or GRU (h alone)"


def _label(layer: Any) -> str:
    return getattr(layer, "_dim_labels", {}).get("state", "hidden")


def _text(layer: Any) -> str:
    if hasattr(layer, "_dim_text"):
        return layer._dim_text()
    return f"{type(layer).__name__}(embed={layer.input_size} -> hidden={layer.hidden_size})"


class _Bridge(torch.nn.Module):
    """The bridge without its checks, used when they are off."""

    source: _Form
    target: _Form
    hidden: linear_layer.Linear | None
    cell: linear_layer.Linear | None

    @internal_frame
    def forward(self, state: State) -> State:
        """The target's first state."""
        hidden, cell = state if isinstance(state, tuple) else (state, state)
        mapped = self._mapped(hidden, self.hidden, self.target.width)
        return (mapped, self._mapped(cell, self.cell, self.target.cell)) if self.target.cell else mapped

    @property
    def _joins(self) -> bool:
        return self.source.directions != self.target.directions

    def _mapped(self, state: Tensor, projection: linear_layer.Linear | None, width: int) -> Tensor:
        """Maps one part of the state: selects layers, joins directions, projects the width, splits directions again."""
        source, target, batch = self.source, self.target, state.shape[1:-1]
        if projection is None and source.layers == target.layers:
            return state
        layers = self._chosen(state.reshape(source.layers, source.directions, *batch, state.shape[-1]))
        if self._joins:
            layers = layers.movedim(1, -2).flatten(-2)
        if projection is not None:
            layers = projection(layers)
        if self._joins:
            layers = layers.unflatten(-1, (target.directions, width)).movedim(-2, 1)
        return layers.flatten(0, 1).contiguous()  # as cuDNN requires

    def _chosen(self, layers: Tensor) -> Tensor:
        missing = self.target.layers - self.source.layers
        if missing <= 0:
            return layers[-self.target.layers :]
        return torch.cat([layers, layers[-1:].expand(missing, *layers.shape[1:])])


@declares(
    sizes={"layers": "_dim_layers", "hidden": "_dim_hidden", "cell": "_dim_cell"},
    calls=(
        Form({"state": tuple[_H, _C]}, _MAPPED | tuple[_MAPPED, _MAPPED], of_owner("source.cell")),
        Form({"state": _H}, _MAPPED | tuple[_MAPPED, _MAPPED]),
    ),
)
class StateBridge(Layer, _Bridge):
    """A learned map from one recurrent layer's final state to another's first.

    Surplus layers are dropped from the bottom, missing ones filled with the top one. If the number of directions
    differs, those of the source are concatenated and projected to those of the target; if only the widths differ, they
    are projected. An LSTM's cell state is dropped for a target without one, and projected from the hidden state if the
    source has none. If nothing differs, the bridge is the identity and has no parameters.

    Args:
        source: The layer whose final state is mapped: an RNN, a GRU or an LSTM.
        target: The layer that starts from the mapped state.

    Shape:
        state: `(layers*directions, batch, hidden)` of the source, or without batch; for an LSTM a pair of these.
        returns: the same of the target.

    Raises:
        StateError: one of the two is not a recurrent layer.

    Example:
        >>> import torch
        >>> from dimtyped import nn
        >>> encoder, decoder = nn.GRU(8, 16, bidirectional=True), nn.GRU(8, 32)
        >>> bridge = nn.StateBridge(encoder, decoder)
        >>> bridge(torch.ones(2, 5, 16)).shape
        torch.Size([1, 5, 32])
    """

    @WithoutInternalFrames()
    def __init__(self, source: torch.nn.RNNBase, target: torch.nn.RNNBase) -> None:
        super().__init__()
        must_be_recurrent("StateBridge(source=...)", source)
        must_be_recurrent("StateBridge(target=...)", target)
        self.source, self.target = theirs, ours = _form(source), _form(target)
        self._source_label = _label(source)
        of_weight: Any = source._flat_weights[0]
        like = {"device": of_weight.device, "dtype": of_weight.dtype}
        self.hidden = self._projection(theirs.width, ours.width, like)
        self.cell = None
        if ours.cell:
            self.cell = self._projection(theirs.cell or theirs.width, ours.cell, like, always=not theirs.cell)
        make_ready(self, StateBridge)

    def _projection(
        self, wide: int, narrow: int, like: dict[str, Any], *, always: bool = False
    ) -> linear_layer.Linear | None:
        if self._joins:
            return linear_layer.Linear(self.source.directions * wide, self.target.directions * narrow, **like)
        return linear_layer.Linear(wide, narrow, **like) if always or wide != narrow else None

    def extra_repr(self) -> str:
        """The two states."""
        return f"{self.source} -> {self.target}"

    @property
    def _dim_layers(self) -> int:
        return self.source.states

    @property
    def _dim_hidden(self) -> int:
        return self.source.width

    @property
    def _dim_cell(self) -> int:
        return self.source.cell

    def _dim_arrow(self) -> str:
        return super()._dim_arrow().removesuffix(", cell=0")

    @property
    def _dim_labels(self) -> dict[str, str]:
        layers = "layers" if self.source.directions == 1 else "layers*directions"
        return {"layers": layers, "hidden": self._source_label, "cell": "cell"}
