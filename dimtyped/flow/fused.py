"""torch's fused transformer layers: they run without a mode, because a mode would change their result.

In evaluation and without gradients, MultiheadAttention, TransformerEncoderLayer and TransformerEncoder call one kernel, unless a
function mode is active. The kernel's values differ in the last bits, and it returns zeros for padded items. So the mode
is left while such a layer runs, and the layer is followed by its contract.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils.hooks import RemovableHandle

_WITH_KWARGS: dict[int, bool] = torch_module._global_forward_hooks_with_kwargs  # torch gives it no public name
FUSED = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerEncoder)


def may_be_fused(module: nn.Module) -> bool:
    """True for a layer that torch may run as one kernel."""
    if not isinstance(module, FUSED) or module.training or not torch.backends.mha.get_fastpath_enabled():
        return False
    parameters = list(module.parameters())
    if any(not _is_real(parameter) for parameter in parameters):
        return False
    return not (torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters))


def _is_real(tensor: Tensor) -> bool:
    return tensor.device.type != "meta" and getattr(tensor, "fake_mode", None) is None


def source_of(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The input tensor of a fused layer's call: its `query` or `src`."""
    name = "query" if isinstance(module, nn.MultiheadAttention) else "src"
    found = args[0] if args else kwargs.get(name)
    return found if isinstance(found, Tensor) else None


def time_axis(module: nn.Module, rank: int) -> int:
    """The index of the axis along which such a layer carries values."""
    if isinstance(module, nn.TransformerEncoder):
        return time_axis(module.layers[0], rank)
    attention: Any = module if isinstance(module, nn.MultiheadAttention) else module.self_attn
    return 1 if rank == 3 and attention.batch_first else 0


class FusedLayers:
    """Calls `before` when a layer that may be fused begins, and `after` when it ends, with an error too.

    Args:
        before: Called with the module; it returns True if `after` is to be called.
        after: Called with the module, its arguments and its result.
    """

    def __init__(
        self,
        before: Callable[[nn.Module], bool],
        after: Callable[[nn.Module, tuple[Any, ...], dict[str, Any], object], None],
    ):
        self._before = before
        self._after = after
        self._running: list[nn.Module] = []
        self._handles: list[RemovableHandle] = []

    def install(self) -> None:
        """Begins to watch the modules of this process."""
        self._handles = [
            register_module_forward_pre_hook(self._begin),
            register_module_forward_hook(self._end, with_kwargs=True, always_call=True),
        ]

    def remove(self) -> None:
        """Stops following."""
        for handle in self._handles:
            handle.remove()
            _WITH_KWARGS.pop(handle.id, None)  # torch leaves it there, and so assumes that there are still hooks
        self._handles = []

    def _begin(self, module: nn.Module, _: Any) -> None:
        if may_be_fused(module) and self._before(module):
            self._running.append(module)

    def _end(self, module: nn.Module, args: tuple[Any, ...], *rest: Any) -> None:
        *kwargs, result = rest  # torch omits the keyword arguments if the module raised
        if self._running and self._running[-1] is module:
            self._running.pop()
            self._after(module, args, kwargs[0] if kwargs else {}, result)
