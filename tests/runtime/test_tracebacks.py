"""A traceback shows the user's lines, and ends in the one that made the wrong call."""

import asyncio
import traceback

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import DeclarationError, DimensionError, DimSize, nn, typed
from dimtyped.testing import fuzz
from dimtyped.testing.properties.failure import FuzzError


def f32(*shape):
    return torch.zeros(shape)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.Linear(8, 16)
        self.down = nn.Linear(8, 16)

    def forward(self, x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch embed"]:
        h = self.up(x)
        return self.down(h)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(Block())

    def forward(self, x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch embed"]:
        return self.blocks(x)


class Plain(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Linear(8, 16)

    def forward(self, x):
        return self.down(x)


def lines_of(error: BaseException) -> list[str]:
    """The lines of a traceback below the test's own, without torch's calls of modules."""
    entries = [entry for entry in traceback.extract_tb(error.__traceback__) if "nn/modules/module.py" not in entry[0]]
    assert {entry.filename for entry in entries} == {__file__}
    return [entry.line or "" for entry in entries[1:]]


@pytest.mark.parametrize("first", [True, False], ids=["first call", "later call"])
def test_it_ends_in_the_line_that_called_the_layer(first):
    net = Net()
    for _ in range(1 if first else 2):
        with pytest.raises(DimensionError) as caught:
            net(f32(2, 8))
    assert lines_of(caught.value) == ["return self.blocks(x)", "return self.down(h)"]
    assert traceback.extract_tb(caught.value.__traceback__)[-1].line == "return self.down(h)"
    assert "called at" not in str(caught.value)


def test_the_message_says_where_a_layer_was_called_where_the_traceback_ends_in_torch():
    with pytest.raises(DimensionError, match=r"called at test_tracebacks.py:\d+: return self.down\(x\)"):
        Plain()(f32(2, 9))


def test_the_message_of_a_function_does_not_repeat_its_line():
    @typed
    def f(x: Float[Tensor, "batch embed"]): ...

    with pytest.raises(DimensionError) as caught:
        f(f32(2))
    assert lines_of(caught.value) == []
    assert "called at" not in str(caught.value)


def test_another_s_exception_passes_without_a_frame_of_ours():
    @typed
    def f(x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch embed"]:
        raise KeyError("of the user's")

    @typed
    def g(x: Float[Tensor, "batch embed"]):
        return f(x)

    for _ in range(2):
        with pytest.raises(KeyError) as caught:
            g(f32(2, 3))
        assert lines_of(caught.value) == ["return f(x)", 'raise KeyError("of the user\'s")']


def test_of_coroutines_and_generators():
    @typed
    async def coroutine(x: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
        return f32(9)

    @typed
    def generator(x: Float[Tensor, "n"]):
        yield x
        raise KeyError("in it")

    for _ in range(2):
        with pytest.raises(DimensionError) as caught:
            asyncio.run(coroutine(f32(2)))
        assert "dimtyped" not in "".join(entry.filename for entry in traceback.extract_tb(caught.value.__traceback__))
        with pytest.raises(KeyError) as other:
            list(generator(f32(2)))
        assert lines_of(other.value) == ['raise KeyError("in it")']


def test_of_a_declaration():
    class Tied(nn.Module):
        def __init__(self, vocab: DimSize):
            super().__init__()
            self.words = nn.Embedding(vocab, 8)
            self.out = nn.TiedDecoder(self.words, 7)

    with pytest.raises(DeclarationError) as caught:
        Tied(5)
    assert lines_of(caught.value) == ["self.out = nn.TiedDecoder(self.words, 7)"]


@pytest.mark.any_engine
def test_of_fuzz():
    net = Net()
    with pytest.raises(FuzzError) as caught:
        fuzz(net, max_examples=5)
    assert lines_of(caught.value) == ["return self.blocks(x)", "return self.down(h)"]
    assert "".join(traceback.format_exception(caught.value)).count("Traceback") == 1


@pytest.mark.any_engine
def test_what_a_whole_trace_raises_shows_the_user_s_line():
    compiled = torch.compile(Net(), backend="eager", fullgraph=True)
    with pytest.raises(DimensionError) as caught:
        compiled(f32(2, 8))
    shown = str(caught.value).partition("from user code:")[2]
    assert "return self.down(h)" in shown
    assert "<dimtyped" not in shown
