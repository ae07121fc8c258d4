from torch.nn.modules.container import (
    Container as Container,  # pyright: ignore[reportDeprecated]  # whoever still has it may keep it
    ParameterDict as ParameterDict,
    ParameterList as ParameterList,
)

from dimtyped.nn.layers.container import (
    ModuleDict as ModuleDict,
    ModuleList as ModuleList,
    Sequential as Sequential,
)
