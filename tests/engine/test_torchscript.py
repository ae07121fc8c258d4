"""`torch.jit.script` and `torch.jit.trace` of what is checked."""

import subprocess
import sys
import warnings

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import DeclarationError, nn, typed

pytestmark = [
    pytest.mark.any_engine,
    pytest.mark.filterwarnings("ignore:.torch.jit"),  # torch would have its users go to torch.compile
]


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(3, 4)

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch classes"]:
        return self.out(x)


class Plain(nn.Module):
    """A model without annotations of ours."""

    def __init__(self, layers, name):
        super().__init__()
        self.layer = getattr(layers, name)(3, 4)

    def forward(self, x: Tensor):
        return self.layer(x)


@typed
def doubled(x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
    return 2 * x


class Caller(torch.nn.Module):
    def forward(self, x):
        return doubled(x)


@pytest.mark.parametrize(
    ("target", "where"),
    [(Head(), "Head.forward"), (torch.nn.Sequential(Head()), "Head.forward"), (doubled, "doubled")],
    ids=["module", "module in a module", "function"],
)
def test_script_of_annotations_says_whose_and_what_to_do(target, where):
    with pytest.raises(DeclarationError, match=f"TorchScript cannot compile the annotations of {where}") as caught:
        torch.jit.script(target)
    assert "torch.export or torch.jit.trace" in caught.value.hint


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN", "Linear"])
def test_script_of_typed_layers(name):
    torch.manual_seed(0)
    model = Plain(nn, name)
    torch.manual_seed(0)
    twin = Plain(torch.nn, name)
    x = torch.ones(5, 2, 3)
    scripted, expected = torch.jit.script(model), torch.jit.script(twin)
    torch.testing.assert_close(scripted(x), expected(x), rtol=0, atol=0)
    assert type(model.layer) is getattr(nn, name), "the model itself keeps its typed layer"


def _tracer_warnings(model, x):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        traced = torch.jit.trace(model, x, check_trace=False)
    torch.testing.assert_close(traced(x), model(x))
    return [str(warning.message) for warning in caught if issubclass(warning.category, torch.jit.TracerWarning)]


def test_trace_of_a_checked_forward_gives_no_tracer_warning():
    assert _tracer_warnings(Head(), torch.ones(2, 3)) == []
    assert _tracer_warnings(nn.Sequential(Head(), nn.ReLU()), torch.ones(2, 3)) == []


def test_trace_shows_the_users_own_tracer_warnings():
    class Reading(nn.Module):
        def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
            return x if x.sum() > 0 else -x

    assert len(_tracer_warnings(Reading(), torch.ones(2, 3))) == 1


def test_trace_of_a_typed_function_in_another_module_warns_no_one_by_default():
    code = "import torch, tests.engine.test_torchscript as t; torch.jit.trace(t.Caller(), torch.ones(2, 3), check_trace=False)"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "TracerWarning" not in ran.stderr
