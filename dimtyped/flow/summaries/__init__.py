"""A model in names: each module with its inputs and outputs, its parameters and its multiply-adds."""

from dimtyped.flow.summaries.calls import ModuleCall as ModuleCall, module_calls as module_calls
from dimtyped.flow.summaries.making import summary as summary
from dimtyped.flow.summaries.summary import Summary as Summary
from dimtyped.flow.summaries.tree import Node as Node
