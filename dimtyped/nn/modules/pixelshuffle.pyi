from dimtyped.nn.layers.shape import (
    PixelShuffle as PixelShuffle,
    PixelUnshuffle as PixelUnshuffle,
)
