"""With checks off everything is the identity at calls; what is said at construction stays."""

import inspect
import os
import subprocess
import sys
import textwrap

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

import dimtyped
from dimtyped import DeclarationError, Dim, DimensionError, StateError, TyingError, dims, nn, typed
from dimtyped.runtime import config as _config
from tests.helpers.layer_cases import FIRST_CASES, TYPED, floats

pytestmark = pytest.mark.any_engine  # processes and tests that choose their mode


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a process of its own, in which only these variables of ours are set."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("DIMTYPED", "JAXTYPING_DISABLE")}
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    return subprocess.run(command, env=inherited | environment, capture_output=True, text=True, check=False)


IDENTITY = """
    import dataclasses

    import torch
    from jaxtyping import Float
    from torch import Tensor

    from dimtyped import DimSize, dims, nn, typed
    from dimtyped.nn.contract import layer as _layer

    def f(x: Float[Tensor, "a b"]) -> Float[Tensor, "b a"]:
        return x

    assert typed(f) is f
    assert typed(dims=dims(a=3))(f) is f
    for kind in (f, staticmethod(f), classmethod(f), property(f)):
        assert typed(kind) is kind

    def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch hidden"]:
        return x

    class Model(nn.Module):
        def __init__(self, hidden: DimSize):
            super().__init__()
            self.layer = nn.Linear(hidden, 3)

    Model.forward = forward
    checked = type("Checked", (nn.Module,), {"forward": forward})
    assert checked.forward is forward

    layers = [cls for cls in _layer.layer_classes() if _layer.torch_class_of(cls) is not None]
    assert {"Linear", "Embedding", "RNN", "LSTM", "GRU"} <= {cls.__name__ for cls in layers}
    for cls in layers:
        torchs = getattr(torch.nn, cls.__name__)
        for name, member in vars(torch.nn.Module).items():
            if name.startswith("_call") or name == "__call__":
                assert getattr(cls, name) is member, (cls, name)
        assert cls.forward is torchs.forward, cls
    for cls in (nn.RNN, nn.LSTM, nn.GRU):
        assert cls.check_forward_args is getattr(torch.nn, cls.__name__).check_forward_args
        assert cls.check_input is torch.nn.RNNBase.check_input
    try:
        nn.Linear(3, 4)(torch.ones(2, 5))
    except RuntimeError as error:
        assert type(error) is RuntimeError
    assert isinstance(Model(4).layer, torch.nn.Linear)
    print("done")
"""


@pytest.mark.parametrize("environment", [{"DIMTYPED": "off"}, {"JAXTYPING_DISABLE": "1"}], ids=str)
def test_in_a_process_with_checks_off_everything_is_what_it_was(environment):
    done = run(IDENTITY, **environment)
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_that_this_test_can_fail():
    done = run(IDENTITY, DIMTYPED="on")
    assert "AssertionError" in done.stderr


CONSTRUCTION = """
    from dimtyped import DeclarationError, Dim, DimSize, StateError, TyingError, nn

    def refused(kind, make):
        try:
            make()
        except kind as error:
            print(type(error).__name__)

    class Clash(nn.Module):
        def __init__(self, hidden: DimSize):
            super().__init__()
            self.layer = nn.Linear(Dim("hidden", 5), 3)

    embedding = nn.Embedding(9, 3)
    refused(TyingError, lambda: nn.TiedDecoder(embedding, 4))
    refused(TyingError, lambda: setattr(nn.Linear(4, 9), "weight", embedding.weight))
    refused(StateError, lambda: nn.GRU(3, 4, state_from=nn.GRU(3, 5)))
    refused(DeclarationError, lambda: nn.Sequential(nn.Linear(10, 20), nn.Linear(30, 5)))
    refused(DeclarationError, lambda: nn.Embedding.from_pretrained(embedding.weight, vocabulary=10))
    refused(DeclarationError, lambda: Clash(4))
    print(repr(nn.Linear(Dim("hidden", 4), 3)))
"""


@pytest.mark.parametrize("mode", ["off", "on"])
def test_what_is_wrong_at_construction_is_refused_in_every_mode(mode):
    done = run(CONSTRUCTION, DIMTYPED=mode)
    expected = ["TyingError", "TyingError", "StateError", *["DeclarationError"] * 3]
    assert done.stdout.splitlines() == [*expected, "Linear(hidden=4 -> out_features=3, bias=True)"]
    assert done.stderr == ""


@pytest.fixture
def mode():
    """Sets the mode in this process and puts it back."""
    before = _config.mode()
    yield dimtyped.configure
    dimtyped.configure(before)


class TestConfigure:
    @pytest.mark.parametrize("kind", TYPED)
    def test_off_gives_each_layer_torchs_forward_and_on_takes_it_back(self, mode, kind):
        ours, theirs = getattr(nn, kind), getattr(torch.nn, kind)
        mode("off")
        assert ours.forward is theirs.forward
        mode("on")
        assert ours.forward is not theirs.forward
        assert inspect.unwrap(ours.forward) is theirs.forward

    @pytest.mark.parametrize("case", FIRST_CASES, ids=lambda case: case.kind)
    def test_layers_made_before_follow(self, mode, case):
        wrong = floats(2, 2, 9)
        layer = case.typed()
        for _ in range(2):
            mode("off")
            case.call(layer)
            with pytest.raises((RuntimeError, ValueError)) as caught:
                layer(wrong)
            assert not isinstance(caught.value, DimensionError)
            mode("on")
            case.call(layer)
            with pytest.raises(DimensionError):
                layer(wrong)

    def test_the_reference_engine_checks_layers_too(self, mode):
        mode("reference")
        with pytest.raises(DimensionError, match="wide is 5, must be 3"):
            nn.Linear(*dims(wide=3, narrow=4))(floats(2, 5))

    def test_rnns_get_their_own_argument_checks_back(self, mode):
        mode("off")
        for cls in (nn.RNN, nn.LSTM, nn.GRU):
            assert cls.check_forward_args is getattr(torch.nn, cls.__name__).check_forward_args

    def test_what_is_decorated_afterwards_is_left_alone(self, mode):
        def f(x: Float[Tensor, "a"]) -> Float[Tensor, "a"]:
            return x

        mode("off")
        assert typed(f) is f
        assert type("Late", (nn.Module,), {"forward": f}).forward is f
        mode("on")
        assert typed(f) is not f

    def test_what_was_decorated_before_stays_checked(self, mode):
        @typed
        def f(x: Float[Tensor, "a a"]) -> Float[Tensor, "a a"]:
            return x

        mode("off")
        with pytest.raises(DimensionError):
            f(floats(2, 3))

    def test_construction_stays_checked(self, mode):
        mode("off")
        embedding = nn.Embedding(9, 3)
        with pytest.raises(TyingError):
            nn.TiedDecoder(embedding, 4)
        with pytest.raises(StateError):
            nn.GRU(3, 4, state_from=nn.GRU(3, 5))
        with pytest.raises(DeclarationError):
            nn.Sequential(nn.Linear(10, 20), nn.Linear(30, 5))
        module = nn.Module()
        module.width = Dim("width", 4)
        with pytest.raises(DeclarationError):
            module.layer = nn.Linear(Dim("width", 5), 3)
