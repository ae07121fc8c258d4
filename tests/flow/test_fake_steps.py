"""A recurrent layer on fake tensors runs one step, and what it returns looks as if it had run all of them."""

import itertools

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from dimtyped.flow import check, interpreter, watch
from dimtyped.flow.fake_steps import call_recurrent

pytestmark = pytest.mark.any_engine

KINDS = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn_tanh": nn.RNN}
STEPS, BATCH, WIDTH, HIDDEN = 6, 3, 5, 4


class Counted(TorchDispatchMode):
    """Counts the operators that are called within it."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


def arguments(kind, *, layers=1, both=False, first=False, bias=True, projected=0, dtype=torch.float32, width=WIDTH):
    """The function and arguments with which torch's layer calls it."""
    more = {"proj_size": projected} if projected else {}
    options = {"num_layers": layers, "bidirectional": both, "batch_first": first, "bias": bias, "dtype": dtype, **more}
    layer = KINDS[kind](WIDTH, HIDDEN, **options)
    input = torch.rand(*((BATCH, STEPS) if first else (STEPS, BATCH)), width, dtype=dtype, requires_grad=True)
    states = [torch.rand(layers * (1 + both), BATCH, each, dtype=dtype) for each in (projected or HIDDEN, HIDDEN)]
    hx = tuple(states) if kind == "lstm" else states[0]
    return getattr(torch._VF, kind), (input, hx, layer._flat_weights, bias, layers, 0.0, True, both, first)


def looks(tensor):
    return tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.device, tensor.requires_grad, tensor.is_leaf


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_results_look_like_those_of_the_whole_sequence(kind, dtype):
    for layers, both, first, grad in itertools.product((1, 2), *3 * [(False, True)]):
        bias = first is both
        with FakeTensorMode(), torch.set_grad_enabled(grad):
            function, args = arguments(kind, layers=layers, both=both, first=first, bias=bias, dtype=dtype)
            expected, made = function(*args), call_recurrent(function, args, {})
        assert list(map(looks, made)) == list(map(looks, expected)), (layers, both, first, grad)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
def test_a_projection_narrows_the_output():
    with FakeTensorMode():
        function, args = arguments("lstm", projected=2, first=True, both=True)
        expected, made = function(*args), call_recurrent(function, args, {})
    assert list(map(looks, made)) == list(map(looks, expected))


@pytest.mark.parametrize("first", [False, True])
def test_gradients_have_the_shapes_of_what_they_are_of(first):
    with FakeTensorMode():
        function, args = arguments("gru", first=first)
        output, state = call_recurrent(function, args, {})
        (output.sum() + state.sum()).backward()
        assert args[0].grad.shape == args[0].shape


def test_the_operators_do_not_grow_with_the_steps():
    counts = []
    with FakeTensorMode():
        function, args = arguments("gru", first=True)
        for call in (function, lambda *args: call_recurrent(function, args, {})):
            with Counted() as counted:
                call(*args)
            counts.append(counted.count)
    assert counts[1] < counts[0] / 2


def test_an_error_is_that_of_the_whole_sequence():
    with FakeTensorMode():
        function, args = arguments("gru", width=WIDTH + 1)
        with pytest.raises(RuntimeError) as expected:
            function(*args)
        with pytest.raises(RuntimeError) as raised:
            call_recurrent(function, args, {})
    assert str(raised.value) == str(expected.value)
    assert str(STEPS * BATCH) in str(expected.value)


def test_real_tensors_run_all_steps():
    function, args = arguments("gru")
    torch.testing.assert_close(call_recurrent(function, args, {}), function(*args))


def test_packed_sequences_run_all_steps():
    function, (input, hx, weights, *rest) = arguments("gru")
    packed = (input.flatten(0, 1), torch.full((STEPS,), BATCH), hx, weights, *rest[:-1])
    torch.testing.assert_close(call_recurrent(function, packed, {}), function(*packed))


def test_check_follows_a_recurrent_layer_as_before():
    report = check(nn.GRU(WIDTH, HIDDEN, batch_first=True), torch.rand(BATCH, STEPS, WIDTH))
    assert report.ok
    assert report.followed["gru"] == 1


def test_only_check_leaves_steps_out(monkeypatch):
    made = []
    monkeypatch.setattr(
        interpreter, "call_recurrent", lambda function, *given: made.append(function) or function(*given[0])
    )
    layer, x = nn.GRU(WIDTH, HIDDEN, batch_first=True), torch.rand(BATCH, STEPS, WIDTH)
    with watch():
        layer(x)
    assert not made
    check(layer, x)
    assert made
