"""What would part a tie past its keeping: the other names follow, or it is refused, or it is said."""

from __future__ import annotations

import warnings

import torch

from dimtyped.errors import TyingError
from dimtyped.nn.tying.aliases import SOURCES, follow, followers_of
from dimtyped.nn.tying.callsite import by_framework, calling_module, copying, is_framework, sharded_together
from dimtyped.nn.tying.ties import DECLARED, Slot, Tie, tie_of, ties_on


def refuse_to_part(module: torch.nn.Module, name: str) -> None:
    """Refuses `fully_shard` of a part of a tie: FSDP2 then keeps two parameters, which it gathers at different times.

    Raises:
        TyingError: a layer with the same parameter is not in the call.
    """
    tie = tie_of(module, name)
    if tie is None or not tie.owns(module._parameters.get(name)) or (together := sharded_together()) is None:
        return
    left_out = [place for place in tie.siblings(module) if not any(place[0] is other for other in together)]
    if left_out:
        texts = [f"{type(other).__name__}.{other_name}" for other, other_name in left_out]
        hint = "Shard them in one call, fully_shard([embedding, output]), or shard only the module that holds both."
        error = TyingError(
            f"fully_shard: {type(module).__name__}.{name} is tied to {', '.join(texts)}, "
            f"which this call does not shard: that would part them\n\n  {hint}"
        )
        error.where, error.argument, error.hint = "fully_shard", "module", hint
        raise error


def computed(module: torch.nn.Module, name: str) -> None:
    """A plain tensor now stands where a tied parameter was: weight norm, pruning or a weight drop computes it."""
    tie = tie_of(module, name)
    if tie is None or followers_of(module, name):
        return
    if calling_module().startswith("torch.nn.utils."):
        let_follow(module, name, tie)
    elif not by_framework():
        _say_parted(module, name, tie, "is a plain tensor now")


def let_follow(module: torch.nn.Module, name: str, tie: Tie) -> None:
    """From now on the other names mean what this module computes.

    An embedding runs before what is tied to it. A hook on another layer would compute its weight too late for the
    embedding, so there only a parametrisation, which computes it whenever it is asked for, can be followed.
    """
    if not isinstance(module, torch.nn.Embedding) and calling_module() != "torch.nn.utils.parametrize":
        _say_parted(module, name, tie, "is computed by a hook before each call now")
        return
    tie.remove(module, name)
    for other, other_name in tie.siblings(module):
        tie.remove(other, other_name)
        follow(other, other_name, module, name)


def copied(module: torch.nn.Module) -> None:
    """A framework may copy one half of a tie and train the copy, as peft's `modules_to_save` does: this says so."""
    made = copying() if ties_on(module) else None
    if made is None or not is_framework(made.by) or not isinstance(made.whole, torch.nn.Module):
        return
    inside = set(made.whole.modules())
    for name, tie in ties_on(made.original).items():
        left_out = [
            f"{type(other).__name__}.{key}" for other, key in tie.siblings(made.original) if other not in inside
        ]
        if left_out:
            warnings.warn(
                f"{made.by.partition('.')[0]} copies {type(module).__name__} without what its {name} is tied to, "
                f"{', '.join(left_out)}: the copy has a {name} of its own",
                stacklevel=2,
            )


def _say_parted(module: torch.nn.Module, name: str, tie: Tie, why: str) -> None:
    tie.remove(module, name)
    others = ", ".join(f"{type(other).__name__}.{other_name}" for other, other_name in tie.siblings(module))
    if others:
        warnings.warn(
            f"{type(module).__name__}.{name} {why}, so it is no longer tied to {others}, which keeps the parameter",
            stacklevel=5,
        )


def trouble_of(module: torch.nn.Module, model: torch.nn.Module) -> str:
    """What is wrong with a module's ties in a model; empty where nothing is.

    A break past all assignment, as by writing to `_parameters`, is seen here.
    """
    for name, tie in ties_on(module).items():
        others = [f"{type(other).__name__}.{key}" for other, key in tie.siblings(module)]
        if others and not tie.owns(module._parameters.get(name)) and not followers_of(module, name):
            return f"its {name} was tied to {', '.join(others)} and is no longer"
    if module is not model and getattr(module, DECLARED, False) and not _has_partner(module, model):
        return "its weight is declared to be another layer's, which is not in this model"
    return ""


def _has_partner(module: torch.nn.Module, model: torch.nn.Module) -> bool:
    weight: torch.Tensor = getattr(module, "weight")  # noqa: B009  # a parameter, or what another module computes
    followed: list[Slot] = list(module.__dict__.get(SOURCES, {}).values())
    sources = [source for source, _ in followed]
    return any(
        other is not module and (other in sources or any(p is weight for p in other._parameters.values()))
        for other in model.modules()
    )
