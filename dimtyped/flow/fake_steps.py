"""A recurrent layer on fake tensors runs one step: torch calls several operators for each step, and no step has numbers."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

RECURRENT = frozenset({"gru", "lstm", "rnn_tanh", "rnn_relu"})
"""The names of torch's functions that run a whole sequence."""
_PADDED = 9
"""The number of arguments for padded sequences: input, states, weights, has_biases, layers, dropout, train,
bidirectional, batch_first."""


def call_recurrent(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What one of torch's recurrent functions returns, in a time that does not grow with the steps of a fake input."""
    if kwargs or not _is_fake_sequence(args):
        return function(*args, **kwargs)
    input, *rest = args
    time = 1 if args[-1] else 0
    steps = input.shape[time]
    try:
        output, *states = function(input.narrow(time, 0, 1), *rest)
    except Exception:  # noqa: BLE001 - the call itself raises it again, and names the sizes of the whole input
        return function(*args)
    output = output.transpose(0, time).repeat(steps, 1, 1)  # torch stacks the steps in front, whatever batch_first says
    return (output.transpose(0, time), *states)


def _is_fake_sequence(args: Sequence[Any]) -> bool:
    """True for padded sequences of more than one step on fake tensors."""
    if len(args) != _PADDED or not isinstance(args[0], FakeTensor) or not isinstance(args[-1], bool):
        return False
    return isinstance(args[3], bool) and args[0].dim() == 3 and _steps(args[0], is_batch_first=args[-1]) > 1


def _steps(input: Tensor, *, is_batch_first: bool) -> int:
    return input.shape[1 if is_batch_first else 0]
