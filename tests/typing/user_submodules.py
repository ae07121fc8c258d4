"""Imports of the submodules of `torch.nn` under the name `dimtyped.nn`: the static checkers read this, nothing runs it."""

from typing import assert_type

import torch

import dimtyped.nn.functional as F  # noqa: N812  # its name everywhere
import dimtyped.nn.init
from dimtyped import nn
from dimtyped.nn import functional
from dimtyped.nn.init import _calculate_fan_in_and_fan_out
from dimtyped.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportMissingModuleSource]  # a stub
from dimtyped.nn.modules.linear import Identity, Linear  # pyright: ignore[reportMissingModuleSource]  # a stub
from dimtyped.nn.parameter import Parameter
from dimtyped.nn.utils import clip_grad_norm_
from dimtyped.nn.utils.rnn import pad_sequence

x = torch.ones(2, 3, 4)

assert_type(F.relu(x), torch.Tensor)
assert_type(pad_sequence([x, x]), torch.Tensor)
assert_type(nn.utils.rnn.pad_sequence([x, x]), torch.Tensor)
assert_type(dimtyped.nn.init.zeros_(x), torch.Tensor)
assert_type(_calculate_fan_in_and_fan_out(x), tuple[int, int])
assert_type(Linear(4, 5), nn.Linear)
assert_type(Identity(), torch.nn.Identity)
plain: torch.nn.Parameter = Parameter(x)
norm: _BatchNorm = nn.BatchNorm1d(4)
clip_grad_norm_([plain], 1.0)
assert_type(functional.cross_entropy(x, x), torch.Tensor)
assert_type(functional.linear(x, x), torch.Tensor)
assert_type(nn.functional.mse_loss(x, x), torch.Tensor)
