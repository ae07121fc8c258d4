"""What `dimtyped.testing` draws for a layer of ours, held against torch's layer of the same weights."""

from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree

from dimtyped import Dim, DimensionError, nn
from tests.helpers.named_calls import assert_same, outcome


def pair(kind: str, *arguments: Any, **options: Any) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Our layer of this name and torch's; torch's of plain ints."""
    torch.manual_seed(0)
    ours = getattr(nn, kind)(*arguments, **options)
    plain = pytree.tree_map(lambda value: int(value) if isinstance(value, Dim) else value, (arguments, options))
    torch.manual_seed(0)
    return ours, getattr(torch.nn, kind)(*plain[0], **plain[1])


def assert_torchs(ours: torch.nn.Module, theirs: torch.nn.Module, call: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
    """A drawn call gives torch's numbers and gradients, bit for bit, and leaves torch's state behind.

    Where torch cannot run it, as an unbatched MaxPool3d over strides of channels_last, ours raises torch's error.
    """
    outcomes = []
    for layer in (theirs, ours):
        args, kwargs = pytree.tree_map(_leaf, call)
        try:
            outcomes.append(outcome(layer, kwargs, args))
        except RuntimeError as error:
            outcomes.append(error)
    if isinstance(outcomes[0], RuntimeError):
        assert (type(outcomes[1]), str(outcomes[1])) == (type(outcomes[0]), str(outcomes[0]))
        return
    assert not isinstance(outcomes[1], RuntimeError), outcomes[1]
    assert_same(*outcomes)
    assert_same(list(ours.buffers()), list(theirs.buffers()))


def assert_named(ours: torch.nn.Module, theirs: torch.nn.Module, broken: Any, sizes: dict[str, int]) -> None:
    """A broken call is refused by what is broken, and where that is a size torch refuses it too.

    Args:
        ours: Our layer.
        theirs: Torch's.
        broken: What `broken_calls` drew, with the truth beside it.
        sizes: The sizes that the layer was made of, by what it calls them: the only ones that it may name, and `batch`.
    """
    with pytest.raises(TypeError if broken.kind == "missing" else DimensionError) as caught:
        ours(*broken.args, **broken.kwargs)
    if broken.kind == "missing":
        return
    error: Any = caught.value
    assert error.argument == broken.argument
    if broken.kind == "size":
        assert error.dim == broken.dim
        assert error.dim in str(error)
        assert error.dim in (*sizes, "batch")
        assert sizes.get(error.dim, error.expected) == error.expected != error.actual
        with pytest.raises(Exception) as torchs:  # noqa: PT011  # of whatever kind
            theirs(*broken.args, **broken.kwargs)
        assert isinstance(error, torchs.type)


def _leaf(value: Any) -> Any:
    """The same tensor, laid out the same, that gathers a gradient of its own."""
    is_float = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.detach().requires_grad_() if is_float else value
