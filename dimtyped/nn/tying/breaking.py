"""Operations that break a tie: propagate, reject or warn.

Propagate: if torch starts to compute a weight (parametrize, weight norm, pruning), the other names read it too.
Reject: `fully_shard` of a part of a tie. Warn: a plain tensor in place of a tied parameter, and a copy of a part.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch

from dimtyped.errors import TyingError, declaration_error
from dimtyped.nn.tying.aliases import Slot, add_alias, aliases_of, sources_of
from dimtyped.nn.tying.tie import DECLARED, Tie, tie_of, ties_on
from dimtyped.runtime import by_framework, calling_frame, calling_module, enclosing_frames, is_framework, module_of


def parameter_became_tensor(module: torch.nn.Module, name: str) -> None:
    """Handles a plain tensor in place of a tied parameter: weight norm, pruning or a weight drop computes it."""
    tie = tie_of(module, name)
    if tie is None or aliases_of(module, name):
        return
    if calling_module().startswith("torch.nn.utils."):
        propagate_computed(module, name, tie)
    elif not by_framework():
        _break(module, name, tie, "is a plain tensor now")


def propagate_computed(module: torch.nn.Module, name: str, tie: Tie) -> None:
    """Makes the other names of the tie aliases of what this module computes.

    An embedding runs before the layers tied to it. A hook on one of those would compute the weight too late for the
    embedding, so only a parametrization works there, which computes the weight whenever it is read.
    """
    if not isinstance(module, torch.nn.Embedding) and calling_module() != "torch.nn.utils.parametrize":
        _break(module, name, tie, "is computed by a hook before each call now")
        return
    tie.remove(module, name)
    for other, other_name in tie.siblings(module):
        tie.remove(other, other_name)
        add_alias(other, other_name, module, name)


def _break(module: torch.nn.Module, name: str, tie: Tie, why: str) -> None:
    tie.remove(module, name)
    siblings = tie.siblings(module)
    if siblings:
        warnings.warn(
            f"{type(module).__name__}.{name} {why}, so it is no longer tied to {_texts(siblings)}, "
            "which keeps the parameter",
            stacklevel=5,
        )


# Sharding -------------------------------------------------------------------------------------------------------------


def reject_partial_sharding(module: torch.nn.Module, name: str) -> None:
    """Rejects `fully_shard` of a part of a tie: FSDP2 would keep two parameters and gather them at different times.

    Raises:
        TyingError: a layer with the same parameter is not in the call.
    """
    tie = tie_of(module, name)
    if tie is None or not tie.owns(module._parameters.get(name)) or (together := _sharded_together()) is None:
        return
    left_out = [slot for slot in tie.siblings(module) if not any(slot[0] is other for other in together)]
    if left_out:
        raise declaration_error(
            "fully_shard",
            f"{type(module).__name__}.{name} is tied to {_texts(left_out)}, which this call does not shard: "
            "that would break the tie",
            "Shard them in one call, fully_shard([embedding, output]), or shard only the module that holds both.",
            kind=TyingError,
            argument="module",
        )


def _sharded_together() -> list[Any] | None:
    """The modules whose common parameter FSDP2's `fully_shard` is replacing; None outside `fully_shard`."""
    frame = calling_frame()
    while frame is not None and module_of(frame).startswith("torch.distributed.fsdp."):
        info: Any = getattr(frame.f_locals.get("self"), "_module_info", None)
        if hasattr(info, "shared_modules"):
            return [info.module, *info.shared_modules]
        frame = frame.f_back
    return None


# Copies ---------------------------------------------------------------------------------------------------------------


def warn_of_partial_copy(module: torch.nn.Module) -> None:
    """Warns if a framework copies one half of a tie and trains the copy, as peft's `modules_to_save` does."""
    copies = enclosing_frames(copy.deepcopy.__code__) if ties_on(module) else []
    if not copies:
        return
    framework, whole = module_of(copies[-1].f_back), copies[-1].f_locals["x"]
    if not is_framework(framework) or not isinstance(whole, torch.nn.Module):
        return
    original, inside = copies[0].f_locals["x"], set(whole.modules())
    for name, tie in ties_on(original).items():
        left_out = [slot for slot in tie.siblings(original) if slot[0] not in inside]
        if left_out:
            warnings.warn(
                f"{framework.partition('.')[0]} copies {type(module).__name__} without what its {name} is tied to, "
                f"{_texts(left_out)}: the copy has a {name} of its own",
                stacklevel=2,
            )


# What `status` says ---------------------------------------------------------------------------------------------------


def tie_problem(module: torch.nn.Module, model: torch.nn.Module) -> str:
    """The reason why a tie of a module does not hold in a model; empty if all do.

    Writes to `_parameters`, which bypass assignment, are found here.
    """
    for name, tie in ties_on(module).items():
        siblings = tie.siblings(module)
        if siblings and not tie.owns(module._parameters.get(name)) and not aliases_of(module, name):
            return f"its {name} was tied to {_texts(siblings)} and is no longer"
    if module is not model and getattr(module, DECLARED, False) and not _has_partner(module, model):
        return "its weight is declared to be that of a layer outside this model"
    return ""


def _has_partner(module: torch.nn.Module, model: torch.nn.Module) -> bool:
    weight: torch.Tensor = getattr(module, "weight")  # noqa: B009  # a parameter, or a tensor that another module computes
    sources = [source for source, _ in sources_of(module).values()]
    return any(
        other is not module and (other in sources or any(p is weight for p in other._parameters.values()))
        for other in model.modules()
    )


def _texts(slots: list[Slot]) -> str:
    return ", ".join(f"{type(module).__name__}.{name}" for module, name in slots)
