"""Copies that a run may change freely: of fake tensors, which hold no numbers, or of real ones."""

import copy
import random
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch

from dimtyped.runtime import internal_frame

MOST_BYTES = 2 * 2**30
"""A model with more parameters than this is not copied whole."""


class _FakeCopy(TorchFunctionMode):
    """A mode in which deep copies hold fake tensors in place of real ones, on the CPU in place of meta."""

    def __init__(self, mode: FakeTensorMode):
        super().__init__()
        self._mode = mode

    @internal_frame
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.__deepcopy__:
            tensor, memo = args
            if id(tensor) not in memo:
                memo[id(tensor)] = self._fake(tensor)
            return memo[id(tensor)]
        if func is torch._C.TensorBase.clone:  # pyright: ignore[reportUnknownMemberType] - a Parameter's copy calls it
            return self._fake(args[0])
        return func(*args, **(kwargs or {}))

    def _fake(self, tensor: Tensor) -> Tensor:
        if not (tensor.is_meta or isinstance(tensor, FakeTensor)):
            return self._mode.from_tensor(tensor, static_shapes=True)
        device = tensor.device if isinstance(tensor, FakeTensor) else torch.device("cpu")
        with no_dispatch():  # an operator on fake tensors costs ten times as much
            on_meta = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
            made: Any = FakeTensor(self._mode, on_meta.requires_grad_(tensor.requires_grad), device)
        if isinstance(tensor, torch.nn.Parameter):
            made._is_param = True  # what torch.nn.Parameter sets on a tensor that is of a class of its own
        return made

    def fakes_of(self, modules: Iterable[torch.nn.Module]) -> dict[int, Tensor]:
        """A copy of each tensor of some modules that has no numbers; another's own `__deepcopy__` makes its copy.

        That of a fake tensor asks for an address, which it has none of; that of a parameter takes several operators.
        """
        tensors = [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
        return {id(tensor): self._fake(tensor) for tensor in tensors if _has_no_numbers(tensor)}


def _has_no_numbers(tensor: Tensor) -> bool:
    is_plain = type(tensor) in (Tensor, torch.nn.Parameter)
    return isinstance(tensor, FakeTensor) or (tensor.is_meta and is_plain and tensor.layout is torch.strided)


def fake_mode() -> FakeTensorMode:
    """A context for operators on fake tensors, which treats real tensors as fake ones."""
    return FakeTensorMode(allow_non_fake_inputs=True)


def fake_copy(value: Any, mode: FakeTensorMode) -> Any:
    """A deep copy with fake tensors: it takes no memory for them."""
    copying = _FakeCopy(mode)
    modules = modules_in(value if isinstance(value, tuple) else [value])
    with copying:
        return _deep_copy(value, copying.fakes_of(modules))


def real_copy(value: Any) -> Any:
    """A deep copy; tensors on meta get numbers, on the CPU."""
    made = _deep_copy(value, {})
    for module in modules_in(made if isinstance(made, tuple) else [made]):
        if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
            module.to_empty(device="cpu")
            for tensor in (*module.parameters(), *module.buffers()):
                tensor.detach().zero_()
    return made


def _deep_copy(value: Any, memo: Mapping[int, Any]) -> Any:
    """A deep copy that shares what cannot be copied: a lock, an open file."""
    members = [m for module in modules_in(value if isinstance(value, tuple) else [value]) for m in module.modules()]
    held = [each for member in members for each in vars(member).values()]
    generators = {id(each): _copied_generator(each) for each in held if isinstance(each, torch.Generator)}
    try:
        return copy.deepcopy(value, {**memo, **generators})
    except Exception:  # noqa: BLE001 - a user's object may raise anything
        shared = {id(each): each for each in held if not _can_be_copied(each)}
        return copy.deepcopy(value, {**memo, **generators, **shared})


def _can_be_copied(value: object) -> bool:
    if isinstance(value, (Tensor, torch.nn.Module, dict)):
        return True
    try:
        copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - a user's object may raise anything
        return False
    return True


def _copied_generator(generator: torch.Generator) -> torch.Generator:
    made = torch.Generator(generator.device)
    made.set_state(generator.get_state())
    return made


def can_be_real(values: Iterable[object]) -> bool:
    """True if a copy on real tensors takes little memory."""
    tensors = {id(t): t for module in modules_in(values) for t in (*module.parameters(), *module.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) <= MOST_BYTES


def modules_in(values: Iterable[object]) -> list[torch.nn.Module]:
    """The modules among some values."""
    return [value for value in values if isinstance(value, torch.nn.Module)]


def modules_beside(function: Any) -> list[torch.nn.Module]:
    """The modules that a function finds in its closure and among its globals."""
    cells: Any = getattr(function, "__closure__", None) or ()
    code: Any = getattr(function, "__code__", None)
    known: Mapping[str, Any] = getattr(function, "__globals__", {})
    held = [cell.cell_contents for cell in cells if _is_full(cell)]
    return modules_in([*held, *(known.get(name) for name in getattr(code, "co_names", ()))])


@contextmanager
def undisturbed(modules: Iterable[torch.nn.Module] = ()) -> Generator[None]:
    """Restores generators, modes, and the gradients and buffers of some modules afterwards."""
    members = {id(member): member for module in modules for member in module.modules()}.values()
    with ExitStack() as stack:
        stack.enter_context(torch.set_grad_enabled(torch.is_grad_enabled()))
        _keep_generators(stack)
        for member in members:
            _keep_state(stack, member)
        yield


def _keep_generators(stack: ExitStack) -> None:
    is_used = torch.cuda.is_available() and torch.cuda.is_initialized()
    stack.enter_context(torch.random.fork_rng(range(torch.cuda.device_count()) if is_used else []))
    stack.callback(random.setstate, random.getstate())
    stack.callback(torch.set_default_dtype, torch.get_default_dtype())
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        stack.callback(numpy.random.set_state, numpy.random.get_state())


def _keep_state(stack: ExitStack, module: torch.nn.Module) -> None:
    attributes = dict(vars(module))
    inner = {key: dict(value) for key, value in attributes.items() if key in ("_parameters", "_buffers", "_modules")}
    gradients = [(tensor, tensor.grad) for tensor in module._parameters.values() if tensor is not None]
    numbers = [
        (tensor, tensor.detach().clone())
        for tensor in (*module._buffers.values(), *module._parameters.values())
        if tensor is not None and not tensor.is_meta and tensor.numel() < 2**20
    ]

    def restore() -> None:
        vars(module).clear()
        vars(module).update(attributes)
        for key, value in inner.items():
            attributes[key].clear()
            attributes[key].update(value)
        for tensor, gradient in gradients:
            tensor.grad = gradient
        with torch.no_grad():
            for tensor, kept in numbers:
                tensor.copy_(kept)

    stack.callback(restore)


def _is_full(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # the variable has no value yet
        return False
