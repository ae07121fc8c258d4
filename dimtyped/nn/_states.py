"""Recurrent states between layers: whether a decoder can take an encoder's, and the learned mend where it cannot."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dimtyped._errors import DeclarationError, DimensionError, StateError
from dimtyped.nn._linear import Linear
from dimtyped.nn._module import Module

State = Tensor | tuple[Tensor, Tensor]


def check_state_from(target: torch.nn.RNNBase, source: torch.nn.RNNBase) -> None:
    """Refuses a source whose final state the target cannot start from.

    Raises:
        StateError: layers, directions, width or kind differ; all that differ are named.
    """
    if not isinstance(source, torch.nn.RNNBase):
        raise StateError(f"state_from takes an RNN, a GRU or an LSTM, not {source!r} of type {type(source).__name__}")
    differences = _differences(target, source)
    if not differences:
        return
    names = ", ".join(name for name, _, _ in differences)
    lines = [f"    {name}: {theirs} in the source, {ours} here" for name, theirs, ours in differences]
    hint = "Use nn.StateBridge(source, target), a learned map between the two states, or make them equal."
    error = StateError(
        f"{_text(target)} cannot start from the final state of {_text(source)}: {names} differ\n\n"
        + "\n".join(lines)
        + f"\n\n  {hint}"
    )
    error.where, error.argument, error.dim, error.hint = type(target).__name__, "state_from", differences[0][0], hint
    error.actual, error.expected = differences[0][1], differences[0][2]
    raise error


def _differences(target: torch.nn.RNNBase, source: torch.nn.RNNBase) -> list[tuple[str, Any, Any]]:
    hidden = _label(target)
    rows: list[tuple[str, Any, Any]] = [
        ("layers", source.num_layers, target.num_layers),
        ("directions", _directions(source), _directions(target)),
        (hidden, _width(source), _width(target)),
    ]
    if _has_cell(source) != _has_cell(target):
        rows.append(("kind", _kind(source), _kind(target)))
    if _has_cell(source) and _has_cell(target) and source.hidden_size != target.hidden_size and source.proj_size:
        rows.append(("cell", source.hidden_size, target.hidden_size))
    return [row for row in rows if row[1] != row[2]]


def _directions(layer: torch.nn.RNNBase) -> int:
    return 2 if layer.bidirectional else 1


def _width(layer: torch.nn.RNNBase) -> int:
    return layer.proj_size or layer.hidden_size


def _has_cell(layer: torch.nn.RNNBase) -> bool:
    return layer.mode == "LSTM"


def _kind(layer: torch.nn.RNNBase) -> str:
    return f"{layer.mode} ({'h and c' if _has_cell(layer) else 'h alone'})"


def _label(layer: Any) -> str:
    return getattr(layer, "_dim_labels", {}).get("hidden", "hidden")


def _text(layer: Any) -> str:
    if hasattr(layer, "_dim_text"):
        return layer._dim_text()
    return f"{type(layer).__name__}(embed={layer.input_size} -> hidden={layer.hidden_size})"


class StateBridge(Module):
    """A learned map from one recurrent layer's final state to another's first.

    Directions that the target lacks are concatenated, surplus layers dropped from the bottom, missing ones
    filled with the top one, and what is left is projected to the target's width. An LSTM's cell state is
    dropped for a target without one, and projected from the hidden state for a target that needs one. Where nothing is
    needed it is the identity and has no parameters.

    Args:
        source: The layer that gives the state.
        target: The layer that is to start from it.

    Shape:
        state: `(layers*directions, batch, hidden)` of the source, or without batch; for an LSTM a pair of these.
        returns: the same of the target.

    Raises:
        DeclarationError: one of the two is no recurrent layer.
        DimensionError: at a call whose state is not the source's.

    Example:
        >>> import torch
        >>> from dimtyped import nn
        >>> encoder, decoder = nn.GRU(8, 16, bidirectional=True), nn.GRU(8, 32)
        >>> bridge = nn.StateBridge(encoder, decoder)
        >>> bridge(torch.ones(2, 5, 16)).shape
        torch.Size([1, 5, 32])
    """

    def __init__(self, source: torch.nn.RNNBase, target: torch.nn.RNNBase) -> None:
        super().__init__()
        for layer in (source, target):
            if not isinstance(layer, torch.nn.RNNBase):
                raise DeclarationError(
                    f"StateBridge takes two of RNN, GRU and LSTM, not {layer!r} of type {type(layer).__name__}"
                )
        self.source_layers, self.source_directions = source.num_layers, _directions(source)
        self.target_layers, self.target_directions = target.num_layers, _directions(target)
        self.source_width, self.target_width = _width(source), _width(target)
        self.takes_cell, self.gives_cell = _has_cell(source), _has_cell(target)
        of_weight = {"device": source.weight_hh_l0.device, "dtype": source.weight_hh_l0.dtype}
        joined = 1 if self.source_directions == self.target_directions else self.source_directions
        spread = 1 if joined == 1 else self.target_directions
        self.joins = joined != spread or joined > 1
        self.hidden: Linear | None = None
        if self.joins or self.source_width != self.target_width:
            self.hidden = Linear(joined * self.source_width, spread * self.target_width, **of_weight)
        self.cell: Linear | None = None
        cell_width = source.hidden_size if self.takes_cell else self.source_width
        if self.gives_cell and (not self.takes_cell or self.joins or cell_width != target.hidden_size):
            self.cell = Linear(joined * cell_width, spread * target.hidden_size, **of_weight)

    def forward(self, state: State) -> State:
        """The target's first state."""
        hidden, cell = self._parts(state)
        mapped = self._map(hidden, self.hidden)
        if not self.gives_cell:
            return mapped
        return mapped, self._map(cell if cell is not None else hidden, self.cell)

    def _parts(self, state: State) -> tuple[Tensor, Tensor | None]:
        if isinstance(state, tuple) != self.takes_cell:
            wanted, given = ("a pair (h, c)", "a tensor") if self.takes_cell else ("a tensor", "a pair")
            raise DimensionError(f"StateBridge: argument `state` must be {wanted}, the source's state; it is {given}")
        return state if isinstance(state, tuple) else (state, None)

    def _map(self, state: Tensor, projection: Linear | None) -> Tensor:
        """One part of the state: directions joined, layers chosen, width projected, directions apart again."""
        batch = state.shape[1:-1]
        layers = state.reshape(self.source_layers, self.source_directions, *batch, state.shape[-1])
        layers = self._choose_layers(layers)
        if self.joins:
            layers = layers.movedim(1, -2).flatten(-2)
        if projection is not None:
            layers = projection(layers)
        if self.joins:
            layers = layers.unflatten(-1, (self.target_directions, -1)).movedim(-2, 1)
        return layers.flatten(0, 1)

    def _choose_layers(self, layers: Tensor) -> Tensor:
        missing = self.target_layers - self.source_layers
        if missing <= 0:
            return layers[-self.target_layers :]
        return torch.cat([layers, layers[-1:].expand(missing, *layers.shape[1:])])
