from torch.nn.modules.lazy import (
    LazyModuleMixin as LazyModuleMixin,
    _LazyProtocol as _LazyProtocol,
)
