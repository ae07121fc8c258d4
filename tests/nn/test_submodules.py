"""Every submodule of `torch.nn` imports under the name `dimtyped.nn`, with the typed classes where there are some."""

import importlib
import pkgutil
import subprocess
import sys
import warnings

import pytest
import torch

import dimtyped.nn.functional as F  # noqa: N812  # its name everywhere
import dimtyped.nn.init
from dimtyped import nn
from dimtyped.nn.init import _calculate_fan_in_and_fan_out
from dimtyped.nn.modules.linear import Identity, Linear
from dimtyped.nn.parameter import Parameter
from dimtyped.nn.utils.rnn import pad_sequence

pytestmark = pytest.mark.any_engine


def _submodules() -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own deprecated modules
        return [found.name for found in pkgutil.walk_packages(torch.nn.__path__, "torch.nn.")]


def _imported(name: str) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except (ImportError, AttributeError, AssertionError) as error:  # it needs what this machine lacks
            return type(error)


@pytest.mark.parametrize("name", _submodules())
def test_submodule_imports_as_torchs_does(name):
    torchs, ours = _imported(name), _imported(f"dimtyped{name.removeprefix('torch')}")
    if isinstance(torchs, type):
        pytest.skip(f"torch's own does not import here: {torchs.__name__}")
    for key in dir(torchs):
        if not key.startswith("__"):
            mine, its = getattr(ours, key), getattr(torchs, key)
            assert mine is its or getattr(mine, "__module__", mine.__name__).startswith("dimtyped.nn."), key
    assert torchs.__spec__.name == torchs.__name__ == name, "torch's own module was changed"


def test_modules_without_layers_are_torchs_own():
    assert F.relu is torch.nn.functional.relu
    assert dimtyped.nn.init is torch.nn.init
    assert Parameter is torch.nn.Parameter
    assert pad_sequence is torch.nn.utils.rnn.pad_sequence
    assert _calculate_fan_in_and_fan_out is torch.nn.init._calculate_fan_in_and_fan_out


def test_layers_are_typed_under_their_modules_names():
    assert Linear is nn.Linear is nn.modules.Linear is nn.modules.linear.Linear
    assert Identity is torch.nn.Identity
    assert importlib.import_module("dimtyped.nn.modules.module").Module is nn.Module
    assert importlib.import_module("dimtyped.nn.modules.batchnorm")._BatchNorm is torch.nn.modules.batchnorm._BatchNorm
    assert torch.nn.modules.linear.Linear is torch.nn.Linear is not nn.Linear


def test_star_import_gives_what_torchs_gives():
    ours, torchs = {}, {}
    exec("from dimtyped.nn.modules import *", ours)
    exec("from torch.nn.modules import *", torchs)
    assert ours.keys() == torchs.keys()
    assert ours["GRU"] is nn.GRU


def test_what_torch_does_not_have_is_not_found():
    with pytest.raises(ModuleNotFoundError, match="No module named 'dimtyped.nn.nothing'"):
        importlib.import_module("dimtyped.nn.nothing")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = nn.modules.nothing


def test_importing_the_package_loads_none_of_them():
    code = "import torch, sys; before = set(sys.modules); from dimtyped import nn; print(sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "'dimtyped.nn.submodules'" in loaded
    assert "'torch.nn." not in loaded
    assert "'dimtyped.nn.modules.linear'" not in loaded
