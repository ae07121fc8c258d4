from dimtyped.nn.layers.shape import (
    Flatten as Flatten,
    Unflatten as Unflatten,
)
