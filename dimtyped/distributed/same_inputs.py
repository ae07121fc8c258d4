"""The first call of a model that is split over processes: each of them must be given inputs of the same sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._subclasses.fake_tensor import is_fake
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import ParallelStyle
from torch.utils import _pytree as pytree

from dimtyped.diagnosis import rank_text
from dimtyped.distributed.exchange import Exchange, Said
from dimtyped.distributed.reported_calls import described, error_of
from dimtyped.errors import DimensionError
from dimtyped.runtime import WithoutInternalFrames, at_trace_time, eagerly, end_trace, is_tracing, traced_frames


class SameInputs(ParallelStyle):
    """Checks at a model's first call that all processes which split it are given the same sizes.

    They would wait for one another for ever, or compute nonsense. `sharding_plan` puts it at the path `""` of its plan, for the
    model itself. The processes tell each other the sizes of their call through the store of the process group, once; no
    later call pays for it.

    Args:
        inner: Another style for the same module. Default: none.

    Raises:
        DimensionError: In every process, at the first call: a size is not the same in all of them, or the call of one does not
            fit.
        DistStoreError: At the first call: a process has not made its call within the timeout of the process group.
    """

    def __init__(self, inner: ParallelStyle | None = None) -> None:
        super().__init__()
        self.inner = inner

    def _apply(self, module: torch.nn.Module, device_mesh: DeviceMesh) -> torch.nn.Module:
        if self.inner is not None:
            self.inner.src_data_rank = self.src_data_rank
            module = self.inner._apply(module, device_mesh)
        row = tuple(device_mesh.mesh.flatten().tolist())
        if len(row) > 1 and dist.get_backend() != "fake":
            axis = (device_mesh.mesh_dim_names or ("the mesh",))[0]
            _FirstCall(module, row, axis)
        return module

    def __repr__(self) -> str:
        return f"SameInputs({self.inner or ''})"


class _FirstCall:
    """What runs before the first call of a split model, and then takes itself away.

    Args:
        module: The model.
        row: The processes that split it.
        axis: The axis of the mesh that they are on.
    """

    def __init__(self, module: torch.nn.Module, row: tuple[int, ...], axis: str) -> None:
        self._row = row
        self._axis = axis
        self._is_done = False
        self._error: DimensionError | None = None  # found by a trace, which has ended so that it is raised eagerly
        self._was_refused = False  # by a trace: the call itself raises, eagerly
        self._hook = module.register_forward_pre_hook(self.before, prepend=True, with_kwargs=True)

    def before(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The hook. A trace reads nothing of this object that changes: it would be compiled again."""
        if is_tracing():
            _before_traced()
            return
        with WithoutInternalFrames():
            eagerly(self._before_eager)(module, args, kwargs)  # a compiled model may call hooks outside of its trace

    def _before_eager(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        error, was_refused = self._error, self._was_refused
        self._error, self._was_refused = None, False
        if error is not None:
            raise error
        if was_refused or self._is_done:
            return
        if not _has_numbers(args, kwargs) or any(map(is_fake, pytree.tree_leaves((args, kwargs)))):
            return  # a call that is only described is made in one process maybe
        if not self._refusal(module, args, kwargs):
            self._is_done = True
            self._hook.remove()

    def before_traced(self, module: torch.nn.Module, args: Any, kwargs: Any) -> None:
        """The same, while a trace goes through the first call. Where it ends the trace, the hook runs again, eagerly."""
        if self._is_done or _is_exporting() or not _has_numbers(args, kwargs):
            return
        self._error, self._was_refused = None, False
        try:
            refusal = self._refusal(module, args, kwargs)
        except DimensionError as error:
            self._error = error
            raise end_trace(error) from None
        if refusal:
            self._was_refused = True
            raise end_trace(DimensionError(refusal))
        self._is_done = True

    def _refusal(self, module: torch.nn.Module, args: Any, kwargs: Any) -> str:
        """Compares the sizes of this call with those in the other processes; gives the reason why the call itself will raise.

        Raises:
            DimensionError: They differ, or another process cannot make its call.
            DistStoreError: Another process does not come.
        """
        call = described(module, args, kwargs)
        ranks = tuple(sorted({*self._row, *_ranks_of(module)}))
        exchange = Exchange(ranks)
        try:
            exchange.say(Said(self._row, call.sizes, call.refusal))
            heard = exchange.hear() if not call.refusal else {}
        except dist.DistError as gone:
            text = (
                f"{call.where}: the process that holds the store has ended before {rank_text()} could compare its call"
            )
            raise dist.DistStoreError(text) from gone
        error = error_of(call, heard, ranks, self._axis, exchange.seconds) if not call.refusal else None
        if error is None and not call.refusal:
            return ""
        if isinstance(error, dist.DistStoreError):
            exchange.say(Said(self._row, call.sizes, str(error)))
        exchange.linger()
        if error is not None:
            raise error
        return call.refusal


@at_trace_time
def _before_traced() -> None:
    """Compares the sizes of the call that a trace goes through, once: it reads the trace's fake tensors, and guards nothing."""
    for code, _, values in traced_frames():
        if code is _FirstCall.before.__code__:
            values["self"].before_traced(values["module"], values["args"], values["kwargs"])
            return


def _has_numbers(args: Any, kwargs: Any) -> bool:
    """False for a call on the meta device."""
    return not any(
        isinstance(leaf, Tensor) and leaf.device.type == "meta" for leaf in pytree.tree_leaves((args, kwargs))
    )


def _is_exporting() -> bool:
    asked: Any = getattr(torch.compiler, "is_exporting", None)  # torch 2.6 has none
    return asked is not None and asked()


def _ranks_of(module: torch.nn.Module) -> Iterator[int]:
    """The processes that hold parts of the model's parameters: they make their calls together."""
    for parameter in (*module.parameters(), *_parameters_of_fsdp(module)):
        if isinstance(parameter, DTensor):
            yield from parameter.device_mesh.mesh.flatten().tolist()


def _parameters_of_fsdp(module: Any) -> Iterator[object]:
    """The parameters of a model under FSDP2, which has gathered them before this hook runs; a release may not tell."""
    state = module._get_fsdp_state() if isinstance(module, FSDPModule) else None
    groups: Any = getattr(state, "_fsdp_param_groups", None) or [getattr(state, "_fsdp_param_group", None)]
    for group in groups:
        for held in getattr(group, "fsdp_params", ()):
            yield getattr(held, "sharded_param", None)
