"""A traceback shows the user's lines, and ends in the one that made the wrong call."""

import asyncio
import traceback

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import (
    CheckError,
    DeclarationError,
    Dim,
    DimensionError,
    DimSize,
    check,
    configure,
    dims,
    dynamic_shapes,
    explain,
    install_import_hook,
    nn,
    retype,
    sharding_plan,
    status,
    summary,
    tie,
    typed,
    watch,
)
from dimtyped.nn import functional as F  # noqa: N812  # as users write it
from dimtyped.nn.utils.rnn import pack_padded_sequence
from dimtyped.testing import fuzz, tensors
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


def shown_of(error: BaseException) -> str:
    """The traceback as Python prints it, with the causes."""
    return "".join(traceback.format_exception(error))


WRONG = {
    "Dim": lambda: Dim("3", 4),
    "dims": lambda: dims(a=-1),
    "typed": lambda: typed(3),
    "typed, an annotation": lambda: unresolved(f32(2)),
    "configure": lambda: configure("quick"),
    "retype": lambda: retype(3),
    "status": lambda: status(3),
    "tie": lambda: tie(nn.Linear(3, 4), nn.Embedding(5, 6)),
    "explain": lambda: explain(3),
    "check": lambda: check(3),
    "summary": lambda: summary(3),
    "raise_if_any": lambda: check(
        nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(4, 5)), f32(1, 2)
    ).raise_if_any(),
    "install_import_hook": lambda: install_import_hook(3),
    "dynamic_shapes": lambda: dynamic_shapes(3),
    "sharding_plan": lambda: sharding_plan(Net(), {"no_name": "tp"}),
    "fuzz": lambda: fuzz(3),
    "tensors": lambda: tensors(3),
    "a constructor": lambda: nn.MultiheadAttention(7, 2),
    "an initial state": lambda: nn.GRU(3, 4, state_from=nn.LSTM(3, 4)),
    "insert": lambda: nn.Sequential(nn.Linear(2, 3)).insert(0, nn.Linear(4, 5)),
    "an item": lambda: nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)).__setitem__(0, nn.Linear(4, 5)),
    "add_module": lambda: Sized(8).add_module("other", nn.Linear(Dim("embed", 4), 5)),
    "register_parameter": lambda: nn.Linear(2, 3).register_parameter("weight", torch.nn.Parameter(f32(2, 2))),
    "resized": lambda: nn.Embedding(5, 3).resized(-3),
    "from_pretrained": lambda: nn.Embedding.from_pretrained(f32(3, 4), vocabulary=range(9)),
}


class Sized(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.out = nn.Linear(embed, 2)


@typed
def unresolved(x: "Float[Gone, 'batch']"): ...


@pytest.mark.any_engine
@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_of_a_wrong_call_of_what_the_package_exports(call):
    with pytest.raises((DeclarationError, CheckError)) as caught:
        call()
    assert len(lines_of(caught.value)) == 1
    assert shown_of(caught.value).count("Traceback") == 1


def test_of_a_layer_that_torch_s_own_method_appends():
    with pytest.raises(DeclarationError) as caught:
        nn.Sequential(nn.Linear(2, 3)).append(nn.Linear(4, 5))
    assert "dimtyped/nn" not in shown_of(caught.value)


def test_of_sequences_that_are_packed_wrongly():
    for lengths, error in (([6, 5, 1], DimensionError), ([1, 5, 2], RuntimeError)):
        with pytest.raises(error) as caught:
            pack_padded_sequence(f32(3, 5, 2), lengths, batch_first=True)
        assert "dimtyped/nn" not in shown_of(caught.value)


def test_of_a_checkpoint_that_does_not_fit():
    with pytest.raises(RuntimeError, match="size mismatch") as caught:
        nn.Linear(2, 3).load_state_dict(nn.Linear(2, 4).state_dict())
    assert "/dimtyped/nn/" not in shown_of(caught.value)
    with pytest.raises(RuntimeError, match="Missing key") as caught:
        Net().load_state_dict({})
    assert "/dimtyped/nn/" not in shown_of(caught.value)


def test_of_a_constructor_of_the_user_s():
    class Broken(nn.Module):
        def __init__(self, embed: DimSize):
            super().__init__()
            raise KeyError("of the user's")

    with pytest.raises(KeyError) as caught:
        Broken(3)
    assert lines_of(caught.value) == ['raise KeyError("of the user\'s")']
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'embed'") as missing:
        Broken()
    assert lines_of(missing.value) == []


class Failing(nn.Module):
    def forward(self, x: Float[Tensor, "batch embed"]):
        raise KeyError("of the user's")


@pytest.mark.any_engine
@pytest.mark.parametrize("run", [check, summary])
def test_what_a_model_raises_while_it_is_checked_shows_no_frame_of_ours(run):
    with pytest.raises(KeyError) as caught:
        run(Failing())
    assert lines_of(caught.value) == ['raise KeyError("of the user\'s")']


@pytest.mark.any_engine
def test_an_operator_that_fails_inside_watch():
    def f():
        with watch():
            f32(2, 3) @ f32(2, 3)

    with pytest.raises(RuntimeError) as caught:
        f()
    assert lines_of(caught.value) == ["f32(2, 3) @ f32(2, 3)"]


def test_an_operator_of_torch_s_that_fails_inside_a_layer_or_function_of_ours():
    words = nn.Embedding(5, 3)
    for call in (lambda: nn.TiedDecoder(words)(f32(2, 3).double()), lambda: F.linear(f32(2, 3), f32(3, 3).double())):
        with pytest.raises(RuntimeError, match="dtype") as caught:
            call()
        assert "dimtyped/nn" not in shown_of(caught.value)


def test_a_bug_of_ours_still_shows_where_it_is(monkeypatch):
    monkeypatch.setattr("dimtyped.flow.checking.target_of", None)
    with pytest.raises(TypeError) as caught:
        check(3)
    assert "dimtyped/flow/checking.py" in shown_of(caught.value)
