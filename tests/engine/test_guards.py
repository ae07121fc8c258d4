"""What a compiled model asks before each call: the guards that checks add to torch's own."""

import re

import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from dimtyped import DimSize, nn


@pytest.fixture(autouse=True)
def _fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


class Head(nn.Module):
    def __init__(self, embed: DimSize, classes: DimSize):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(classes, embed))

    def forward(self, x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch classes"]:
        return x @ self.weight.T


def guards_of(model, *inputs):
    """The guards that a call compiles, a line each."""
    found = []
    torch.compile(model, backend="eager", options={"guard_filter_fn": lambda entries: keep(entries, found)})(*inputs)
    return found


def keep(entries, found):
    found += [f"{entry.guard_type} {entry.name}" for entry in entries]
    return [True] * len(entries)


def test_the_names_and_sizes_of_a_module_are_read_at_one_place():
    read = {guard.partition(" ")[2] for guard in guards_of(Head(4, 3), torch.ones(2, 4)) if "_dim_" in guard}
    assert len(read) == 1


def test_modules_that_declare_the_same_share_what_is_compiled():
    counter = CompileCounter()
    for _ in range(3):
        head = Head(4, 3)
        head.compile(backend=counter)
        head(torch.ones(2, 4))
    assert counter.frame_count == 1


def test_a_size_that_changes_is_checked_anew():
    model = torch.nn.Sequential(Head(4, 3))
    compiled = torch.compile(model, backend="eager")
    assert compiled(torch.ones(2, 4)).shape == (2, 3)
    model[0].__init__(5, 3)
    assert compiled(torch.ones(2, 5)).shape == (2, 3)
    with pytest.raises(TypeError, match=re.escape("embed is 4, must be 5")):
        compiled(torch.ones(2, 4))


def test_a_pickle_of_an_earlier_version():
    """Its modules hold their scope alone."""
    for first in (lambda head: head, lambda head: torch.compile(head, backend="eager", fullgraph=True)):
        head = Head(4, 3)
        del head.__dict__["_dim_keyed_sizes"]
        assert first(head)(torch.ones(2, 4)).shape == (2, 3)
        with pytest.raises(TypeError, match="embed is 5, must be 4"):
            head(torch.ones(2, 5))
