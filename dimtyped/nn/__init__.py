"""All of `torch.nn`, the shape-bearing layers replaced by typed ones: `from dimtyped import nn`."""

from torch.nn import *  # noqa: F403  # every name of torch.nn passes through, also for a static checker
from torch.nn import attention, functional, init, modules, parallel, parameter, utils

from dimtyped.nn._container import ModuleDict, ModuleList, Sequential
from dimtyped.nn._embedding import Embedding
from dimtyped.nn._linear import Linear
from dimtyped.nn._module import Module
from dimtyped.nn._recurrent import GRU, LSTM, RNN
from dimtyped.nn._states import StateBridge
from dimtyped.nn._tied import TiedDecoder
