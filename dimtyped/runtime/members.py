"""The modules in a module, at a cost that grows with their number and not with how deep they lie."""

from __future__ import annotations

from collections.abc import Callable

import torch


def members_of(root: torch.nn.Module, leave: Callable[[torch.nn.Module], bool] | None = None) -> list[torch.nn.Module]:
    """The module and all that it holds, each once, in the order of `root.modules()`.

    torch's generators are nested, so each module passes through one for each module above it: 1,000 nested modules take
    half a million steps.

    Args:
        root: Any module.
        leave: True for a module in it that is not wanted, nor what it holds. Default: all are.
    """
    found: list[torch.nn.Module] = []
    seen: set[int] = set()
    waiting: list[torch.nn.Module | None] = [root]
    while waiting:
        module = waiting.pop()
        if module is not None and id(module) not in seen:
            seen.add(id(module))
            if leave is not None and module is not root and leave(module):
                continue
            found.append(module)
            if module._modules:
                waiting.extend(reversed(module._modules.values()))
    return found
