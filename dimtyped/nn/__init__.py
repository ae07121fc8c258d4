"""All of `torch.nn`, the shape-bearing layers replaced by typed ones: `from dimtyped import nn`."""

from torch.nn import *  # noqa: F403  # every name of torch.nn passes through, also for a static checker
from torch.nn import attention, functional, init, modules, parallel, parameter, utils

from dimtyped.nn._attention import MultiheadAttention
from dimtyped.nn._cells import GRUCell, LSTMCell, RNNCell
from dimtyped.nn._container import ModuleDict, ModuleList, Sequential
from dimtyped.nn._conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from dimtyped.nn._embedding import Embedding
from dimtyped.nn._linear import Linear
from dimtyped.nn._module import Module
from dimtyped.nn._norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LayerNorm,
    RMSNorm,
    SyncBatchNorm,
)
from dimtyped.nn._recurrent import GRU, LSTM, RNN
from dimtyped.nn._states import StateBridge
from dimtyped.nn._tied import TiedDecoder
from dimtyped.nn._transformer import (
    Transformer,
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)
