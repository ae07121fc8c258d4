"""The inputs and outputs of recurrent layers: the forms of a call, and the state in each."""

from __future__ import annotations

from typing import Any

from jaxtyping import Shaped
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from dimtyped.engine import Form, Predicate, of_call, of_owner
from dimtyped.nn.contract import has_axes

_STATE, _CELL = Shaped[Tensor, "layers batch state"], Shaped[Tensor, "layers batch hidden"]
_FLAT_STATE, _FLAT_CELL = Shaped[Tensor, "layers state"], Shaped[Tensor, "layers hidden"]


def _form(input: str, state: Any, when: Predicate | None) -> Form:
    inputs = {"input": Shaped[Tensor, f"{input} embed"], "hx": state | None}
    return Form(inputs, tuple[Shaped[Tensor, f"{input} directions*state"], state], when)


def _calls(state: Any, flat_state: Any) -> tuple[Form, ...]:
    """The call forms, given the annotation of the state in each."""
    is_batched = has_axes("input", 3)
    return (
        _form("batch seq", state, is_batched & of_owner("batch_first")),
        _form("seq batch", state, is_batched),
        _form("seq", flat_state, has_axes("input", 2)),
        Form({"input": PackedSequence}, when=of_call("isinstance(input, PackedSequence)")),
        _form("seq batch", state, None),  # no valid call has this form: it only names the missing axes
    )


ONE_STATE = _calls(_STATE, _FLAT_STATE)
PAIR = _calls(tuple[_STATE, _CELL], tuple[_FLAT_STATE, _FLAT_CELL])

# A PackedSequence is checked by its data; its batch, which is not an axis of the data, is checked separately.
PACKED_STATE = Shaped[Tensor, "layers batch={batch} state"]
PACKED_PAIR = tuple[PACKED_STATE, Shaped[Tensor, "layers batch={batch} hidden"]]
