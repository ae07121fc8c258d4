"""`embedding`, `embedding_bag` and `one_hot`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as torch_functional
from jaxtyping import Shaped
from torch import Tensor

from dimtyped.engine import Form, Raised, of_call
from dimtyped.errors import DimensionValueError
from dimtyped.nn.contract import UNCHECKED, SizeViolation, is_tensor
from dimtyped.nn.functions.function import Function
from dimtyped.nn.layers.embedding import Embedding
from dimtyped.nn.layers.embedding_bag import EmbeddingBag
from dimtyped.nn.layers.embedding_vocabulary import explain_ids


def one_hot(tensor: Any, num_classes: Any = -1) -> Any:
    """Torch's function, with the signature that it lacks."""
    return torch_functional.one_hot(tensor, num_classes)


def _explained_ids(raised: Raised) -> Exception:
    ids, weight = raised.values[:2]
    if not isinstance(ids, Tensor) or not ids.is_cpu or ids.is_floating_point() or not isinstance(weight, Tensor):
        return raised.error
    return explain_ids(raised.rules.where(raised.signature, None), ids, len(weight), raised.error)


def _other_classes(tensor: Any, num_classes: Any) -> Iterator[SizeViolation]:
    """Numbers that are not those of a class. After an error on a GPU the values cannot be read."""
    if not tensor.is_cpu or not tensor.numel() or tensor.dtype != torch.int64:
        return
    worst = int(tensor.min()) if int(tensor.min()) < 0 else int(tensor.max())
    if worst < 0 or 0 <= int(num_classes) <= worst:
        expected = f"0 to {int(num_classes) - 1}" if int(num_classes) > 0 else "0 or more"
        yield SizeViolation("tensor", None, "classes", expected, worst)


_OF_BAG = [
    Form(
        {**(form.inputs or {}), "weight": Shaped[Tensor, EmbeddingBag.contract.parameters["weight"]]},
        None,
        form.when,
        form.rare,
    )
    for form in EmbeddingBag.contract.calls
]
_IS_SWAPPED = is_tensor("weight") & of_call("not weight.is_floating_point()")
"""The old order of the arguments: torch swaps them, and warns."""

FUNCTIONS = (
    Function(
        torch_functional.embedding,
        (
            Form(
                {
                    **(Embedding.contract.last_usual.inputs or {}),
                    "weight": Shaped[Tensor, Embedding.contract.parameters["weight"]],
                }
            ),
        ),
        translate=_explained_ids,
    ),
    Function(
        torch_functional.embedding_bag,
        (*_OF_BAG[:-1], Form(UNCHECKED, when=_IS_SWAPPED, rare=True), _OF_BAG[-1]),
        error=DimensionValueError,
        translate=_explained_ids,
    ),
    Function(one_hot, (Form({"tensor": Shaped[Tensor, "..."]}),), violations=_other_classes),
)
