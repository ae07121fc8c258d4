"""Stand-ins for the user's tensors, without data: of the same sizes, or of a different size for each name."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch.utils._python_dispatch import _disable_current_modes  # pyright: ignore[reportPrivateUsage]  # nothing public does it

from dimtyped.diagnosis.placements import marked

_AUTOCAST = (torch.float16, torch.bfloat16, torch.float32)
_C: Any = torch._C  # half of it is untyped
_MOST_ITEMS = 64  # of a container that is looked into


class Unknown(Exception):  # noqa: N818  # no error: what cannot be had on shapes alone is left out
    """A part of an expression cannot be known safely from shapes alone."""


@dataclass(frozen=True)
class Label:
    """What is known of one axis.

    Args:
        size: Its size.
        names: The names that it may have: one if it is certain, none if no name has its size.
        mark: The axes of a device mesh that split it: `@tp`. Default: none.
    """

    size: int
    names: tuple[str, ...] = ()
    mark: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """Its name, where it is certain."""
        return self.names[0] if len(self.names) == 1 else ""

    def __str__(self) -> str:
        if len(self.names) > 1:
            return f"{self.size}{self.mark}: {' or '.join(self.names)}"
        name = marked(self.names[0], self.mark) if self.names else ""
        return f"{name}={self.size}" if name else f"{self.size}{self.mark}"


class World:
    """Makes the tensors that stand for the user's, on the meta device.

    Attributes:
        originals: The user's tensor that each one stands for, by its id.
        devices: The device that each one would be on, by its id.
    """

    def __init__(self) -> None:
        self.originals: dict[int, Tensor] = {}
        self.devices: dict[int, torch.device] = {}
        self._made: dict[int, Tensor] = {}
        self._has_autocast = any(
            map(torch.is_autocast_enabled, ("cpu", "cuda"))
        )  # then operators take any of its dtypes
        self._kept: list[Tensor] = []

    def stand_in(self, tensor: Tensor) -> Tensor:
        """The tensor that stands for one of the user's, always the same."""
        if id(tensor) in self.devices:
            return tensor  # it is one already
        if id(tensor) not in self._made:
            if tensor.is_nested or tensor.layout != torch.strided:
                raise Unknown
            made = self._make(tensor)
            if self._has_autocast and made.dtype in _AUTOCAST:
                made = made.float()
            self._made[id(tensor)] = made
            self.originals[id(made)] = tensor
            self.place(made, tensor.device)
        return self._made[id(tensor)]

    def twin(self, tensor: Tensor) -> Tensor:
        """Another tensor that stands for the same one of the user's, where it was given twice under two names."""
        made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device)
        if id(tensor) in self.originals:
            self.originals[id(made)] = self.originals[id(tensor)]
        self.place(made, self.devices.get(id(tensor), tensor.device))
        return made

    def place(self, tensor: Tensor, device: torch.device) -> None:
        """Notes the device that a tensor would be on."""
        self._kept.append(tensor)  # its id must not be another's meanwhile
        self.devices[id(tensor)] = device

    def value(self, value: Any) -> Any:
        """A value with stand-ins for the tensors in it, also inside containers."""
        if isinstance(value, Tensor):
            return self.stand_in(value)
        if type(value) in (list, tuple):
            if len(value) > _MOST_ITEMS:
                raise Unknown
            return type(value)(self.value(item) for item in value)
        if type(value) is dict:
            held = cast("dict[Any, Any]", value)
            if len(held) > _MOST_ITEMS:
                raise Unknown
            return {key: self.value(item) for key, item in held.items()}
        return _plain_size(value) if isinstance(value, torch.SymInt) else value

    def _make(self, tensor: Tensor) -> Tensor:
        sizes = sizes_of(tensor)
        try:
            strides = tuple(_plain_size(stride) for stride in tensor.stride())
            return torch.empty_strided(sizes, strides, dtype=tensor.dtype, device="meta")
        except RuntimeError:
            return torch.empty(sizes, dtype=tensor.dtype, device="meta")


class NamedWorld(World):
    """A world in which each name has a size of its own, a prime number: sizes then tell where an axis comes from.

    Args:
        labels: Gives the labels of a user's tensor.
    """

    def __init__(self, labels: Callable[[Tensor], tuple[Label, ...]]) -> None:
        super().__init__()
        self._labels = labels
        self._sizes: dict[Label, int] = {}
        self._primes = _primes()

    def _make(self, tensor: Tensor) -> Tensor:
        sizes = tuple(self._size(label) for label in self._labels(tensor))
        return torch.empty(sizes, dtype=tensor.dtype, device="meta")

    def _size(self, label: Label) -> int:
        if label.size <= 1 or not label.names:
            return label.size
        if label not in self._sizes:
            self._sizes[label] = next(self._primes)
        return self._sizes[label]

    def labels_of(self, tensor: Tensor, sizes: tuple[int, ...]) -> tuple[Label | None, ...]:
        """The label that each axis of a result has kept, None where it has none; `sizes` are its real sizes."""
        known: Mapping[int, Label] = {prime: label for label, prime in self._sizes.items()}
        found = [known.get(prime) for prime in tensor.shape]
        return tuple(
            label if label is not None and label.size == size else None
            for label, size in zip(found, sizes, strict=True)
        )


class SmallWorld(World):
    """A world of small tensors of ones, on which torch's operators themselves can run.

    Sizes that differ still differ, and keep their order; those that follow one another still do. Nothing else is kept: a
    number in the code that means a size does not fit here.

    Args:
        tensors: The user's tensors.
        labels: Gives the labels of one. Axes of one size and different names get different sizes. Default: all axes of one
            size are the same.
    """

    def __init__(self, tensors: Iterable[Tensor], labels: Callable[[Tensor], tuple[Label, ...]] | None = None) -> None:
        super().__init__()
        self._labels = labels or (lambda tensor: tuple(map(Label, sizes_of(tensor))))
        found = {label for tensor in tensors for label in self._labels(tensor) if label.size > 1}
        self._sizes: dict[Label, int] = {}
        previous, size = Label(0), -1
        for label in sorted(found, key=lambda each: (each.size, each.names)):
            size += 1 if label.size == previous.size + 1 and previous.size else 3
            self._sizes[label], previous = size, label

    def _make(self, tensor: Tensor) -> Tensor:
        labels = self._labels(tensor)
        if any(label.size > 1 and label not in self._sizes for label in labels):
            raise Unknown
        made = torch.ones([self._sizes.get(label, label.size) for label in labels], dtype=tensor.dtype)
        order = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)  # as it lies in memory
        return made.permute(order).contiguous().permute([order.index(axis) for axis in range(tensor.dim())])


def sizes_of(tensor: Tensor) -> tuple[int, ...]:
    """The sizes of a tensor as numbers; of symbolic ones, what they are in this trace."""
    return tuple(_plain_size(size) for size in tensor.shape)


def _plain_size(size: int | torch.SymInt) -> int:
    if not isinstance(size, torch.SymInt):
        return int(size)
    node: Any = size.node
    if not node.has_hint() or not isinstance(node.hint, int):
        raise Unknown
    return node.hint


@contextlib.contextmanager
def nothing_follows() -> Generator[None]:
    """A context in which no mode, transform or gradient takes part in what is run."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_C.DisableTorchFunction())
        if _C._functorch.peek_interpreter_stack() is not None:
            stack.enter_context(temporarily_clear_interpreter_stack())  # type: ignore[no-untyped-call]  # torch's
        stack.enter_context(_disable_current_modes())
        stack.enter_context(torch.no_grad())
        yield


def _primes() -> Iterator[int]:
    """Prime numbers above the usual literals, so that a number in the code is not taken for one."""
    return (n for n in itertools.count(1009, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2)))
