from dimtyped.nn.layers.shape import (
    ChannelShuffle as ChannelShuffle,
)
