from torch.nn.modules.rnn import (
    RNNBase as RNNBase,
    RNNCellBase as RNNCellBase,
)

from dimtyped.nn.layers.recurrent import (
    GRU as GRU,
    LSTM as LSTM,
    RNN as RNN,
)
from dimtyped.nn.layers.recurrent_cells import (
    GRUCell as GRUCell,
    LSTMCell as LSTMCell,
    RNNCell as RNNCell,
)
