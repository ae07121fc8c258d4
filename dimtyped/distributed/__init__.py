"""A tensor-parallel plan, made from the names that layers declare. The engine is `torch.distributed`.

`rules` says how a layer of each kind is split by a name, `sharding_plan` collects it for a model, `memory`
says what it takes on one device.
"""

from dimtyped.distributed.memory import KindOfParameter as KindOfParameter, parameter_memory as parameter_memory
from dimtyped.distributed.rules import Split as Split, Style as Style
from dimtyped.distributed.same_inputs import SameInputs as SameInputs
from dimtyped.distributed.sharding_plan import sharding_plan as sharding_plan
