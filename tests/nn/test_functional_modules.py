"""Torch's own modules on torch's own samples, with the functions of `dimtyped.nn.functional` in the place of torch's.

A module calls its function with what it holds, so these are calls as programs make them: each must give torch's result and
torch's gradients, bit for bit.
"""

import contextlib
import functools

import pytest
import torch
import torch.nn.functional as torch_functional
from torch.testing._internal.common_methods_invocations import op_db

from dimtyped.nn import functional as F  # noqa: N812  # its name everywhere
from dimtyped.nn.functions import FUNCTIONS
from tests.helpers.calls import ones
from tests.nn.contract.test_module_db import assert_same, backwards, by_name, detached, module_db, samples

NAMES = [each.name for each in FUNCTIONS]
MODULES = [info for info in module_db if not info.is_lazy]
# How the names of the modules begin that call no checked function.
WITHOUT = (
    *("CELU", "CircularPad", "ConstantPad", "ELU", "GELU", "GLU", "GRU", "Hardshrink", "Hardswish", "Hardtanh", "LSTM"),
    *(
        "LeakyReLU",
        "LogSigmoid",
        "LogSoftmax",
        "Mish",
        "PReLU",
        "RNN",
        "ReLU",
        "ReflectionPad",
        "ReplicationPad",
        "SELU",
    ),
    *("SiLU", "Sigmoid", "Softmax", "Softmin", "Softplus", "Softshrink", "Softsign", "Tanh", "Threshold", "ZeroPad"),
)


@contextlib.contextmanager
def ours_in_place_of_torchs():
    """Torch's modules call our functions; gives the names of those that are called."""
    called = set()

    def stand_in(name, theirs, *args, **kwargs):
        called.add(name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch_functional, name, theirs)  # ours calls torch's by its name
            return getattr(F, name)(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES:
            patch.setattr(torch_functional, name, functools.partial(stand_in, name, getattr(torch_functional, name)))
        yield called


@pytest.mark.filterwarnings("ignore")  # torch's own warnings about its own samples are the same for both
@pytest.mark.parametrize("info", MODULES, ids=by_name)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_modules_compute_the_same_with_them(info, training):
    called = set()
    for sample in samples(info, torch.float32, training):
        theirs = sample.run(sample.plain())
        with ours_in_place_of_torchs() as names:
            ours = sample.run(sample.plain())
        called |= names
        for what, expected in theirs.items():
            assert_same(ours[what], expected, what)
    assert bool(called) is not by_name(info).startswith(WITHOUT), called


# The functions that neither torch's table of operators nor a module runs.
OTHERS = {
    "fold": (ones(2, 12, 9), 4, 2),
    "native_channel_shuffle": (ones(2, 4, 3, 3), 2),
    "upsample": (ones(2, 3, 4, 4), (5, 6), None, "bilinear"),
    **{f"max_pool{n}d_with_indices": (ones(2, 3, *[4] * n), 2, 1) for n in (1, 2, 3)},
    **{f"adaptive_max_pool{n}d_with_indices": (ones(2, 3, *[5] * n), 2) for n in (1, 2, 3)},
    **{f"fractional_max_pool{n}d_with_indices": (ones(2, 3, *[5] * n), 2, 3) for n in (2, 3)},
}


@pytest.mark.filterwarnings("ignore:`nn.functional.upsample` is deprecated")
@pytest.mark.parametrize("name", OTHERS)
def test_the_others_compute_the_same(name):
    first, *rest = OTHERS[name]
    values = torch.arange(first.numel()).reshape(first.shape).float()
    found = []
    for function in (getattr(F, name), getattr(torch_functional, name)):
        torch.manual_seed(0)
        given = values.clone().requires_grad_()
        result = function(given, *rest)
        if name != "native_channel_shuffle":  # which torch cannot differentiate
            backwards(result)
        found.append({"result": detached(result), "gradient": given.grad})
    for what in found[1]:
        assert_same(found[0][what], found[1][what], what)


@pytest.mark.any_engine
def test_every_function_is_run():
    operators = {op.name.rpartition(".")[2] for op in op_db if op.name.startswith("nn.functional.")}
    of_modules = {f"lp_pool{n}d" for n in (1, 2, 3)}
    assert set(NAMES) - operators == {*OTHERS} | of_modules
