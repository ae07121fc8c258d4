"""Facts about tensors, which are held weakly and by identity."""

import weakref
from typing import Generic, TypeVar

from torch import Tensor

Value = TypeVar("Value")


class TensorMap(Generic[Value]):
    """A value for each of some tensors, as long as the tensor lives.

    A dictionary cannot hold tensors, because their `__eq__` compares items, and an `id` is reused once a tensor is gone.
    """

    def __init__(self) -> None:
        self._held: dict[int, tuple[weakref.ref[Tensor], Value]] = {}

    def get(self, tensor: Tensor) -> Value | None:
        """The value of a tensor, None if it has none."""
        held = self._held.get(id(tensor))
        return held[1] if held is not None and held[0]() is tensor else None

    def set(self, tensor: Tensor, value: Value) -> None:
        """Gives a tensor a value."""
        key, held = id(tensor), self._held
        known = held.get(key)
        if known is not None and known[0]() is tensor:
            held[key] = (known[0], value)
            return

        def forget(reference: weakref.ref[Tensor]) -> None:
            if key in held and held[key][0] is reference:
                del held[key]

        held[key] = (weakref.ref(tensor, forget), value)

    def drop(self, tensor: Tensor) -> None:
        """Removes the value of a tensor."""
        self._held.pop(id(tensor), None)

    def __len__(self) -> int:
        return len(self._held)
