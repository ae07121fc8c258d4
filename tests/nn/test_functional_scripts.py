"""`torch.jit.script` of a function that calls `dimtyped.nn.functional`, over torch's own samples."""

import pytest
import torch
import torch.nn.functional as torch_functional
from torch import Tensor
from torch.testing._internal.common_methods_invocations import op_db

from dimtyped.engine.compiler import run_source
from dimtyped.nn import functional
from dimtyped.nn.functions import FUNCTIONS

pytestmark = [
    pytest.mark.any_engine,
    pytest.mark.filterwarnings("ignore"),  # torch's: of TorchScript, and of what the samples give
]
OPERATORS = {op.name.rpartition(".")[2]: op for op in op_db if op.name.startswith("nn.functional.")}
_LITERALS = (bool, int, float, str, type(None))
_MOST = 3


def is_literal(value):
    return isinstance(value, _LITERALS) or (isinstance(value, tuple | list) and all(map(is_literal, value)))


def caller_of(name, of, sample):
    """A function of a sample's tensors that calls `of.name`, with all other arguments as literals; None if one has none."""
    tensors, arguments = [], []
    for key, value in [*enumerate((sample.input, *sample.args)), *sample.kwargs.items()]:
        if isinstance(value, Tensor):
            tensors.append(value)
        elif not is_literal(value):
            return None
        value = tuple(value) if isinstance(value, torch.Size) else value
        text = f"t{len(tensors) - 1}" if isinstance(value, Tensor) else repr(value)
        arguments.append(text if isinstance(key, int) else f"{key}={text}")
    names = ", ".join(f"t{place}" for place in range(len(tensors)))
    text = f"def call({names}):\n    return functional.{name}({', '.join(arguments)})\n"
    file = f"<{of.__name__} {text}>"
    return run_source(text, file, {"functional": of, "__name__": __name__})["call"], tensors


def outcome(function, tensors):
    """What the function returns when TorchScript has compiled it, or the kind of its error."""
    try:
        torch.manual_seed(0)
        return torch.jit.script(function)(*tensors)
    except (RuntimeError, torch.jit.Error, torch.jit.frontend.NotSupportedError) as error:
        return type(error)


@pytest.mark.parametrize("name", [each.name for each in FUNCTIONS if each.name in OPERATORS])
def test_a_call_is_torchs(name):
    operator = OPERATORS[name]
    dtype = torch.float32 if torch.float32 in operator.dtypes else torch.long
    samples = operator.sample_inputs("cpu", dtype)
    callers = [(caller_of(name, torch_functional, sample), sample) for sample in samples]
    scripted = [(torchs, sample) for torchs, sample in callers if torchs is not None]
    found = 0
    for torchs, sample in scripted[:: max(1, len(scripted) // _MOST)]:
        ours, expected = outcome(*caller_of(name, functional, sample)), outcome(*torchs)
        if isinstance(expected, type):
            assert ours is expected
        else:
            torch.testing.assert_close(ours, expected, rtol=0, atol=0)
            found += 1
    if not found:
        pytest.skip("TorchScript compiles none of torch's samples")


def test_the_function_itself_is_compiled():
    x = torch.rand(2, 3)
    torch.testing.assert_close(torch.jit.script(functional.layer_norm)(x, [3]), torch_functional.layer_norm(x, [3]))
