"""What a compiled model asks before each call: the guards that checks add to torch's own."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from dimtyped import DimensionError, DimSize, nn, unchecked

ROOT = Path(__file__).parents[2]


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


def test_the_dtypes_of_an_annotation_are_constants_of_the_code():
    assert not [guard for guard in guards_of(Head(4, 3), torch.ones(2, 4)) if "dtypes" in guard]
    compiled = torch.compile(Head(4, 3), backend="eager")
    compiled(torch.ones(2, 4))
    with pytest.raises(DimensionError, match="its dtype is int64, must be a float dtype"):
        compiled(torch.ones(2, 4, dtype=torch.long))


class Model(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize, classes: DimSize):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.layers = nn.Sequential(nn.Linear(embed, embed), nn.LayerNorm(embed))
        self.head = Head(embed, classes)
        self.out = nn.TiedDecoder(self.embedding)

    def forward(self, ids: Int[Tensor, "batch"]) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch vocab"]]:
        x = self.layers(self.embedding(ids))
        return self.head(x), self.out(x)


@pytest.mark.any_engine
def test_the_checks_of_a_module_and_those_of_all_layers_have_their_globals_in_one_dictionary():
    """In a process of its own: the class of a layer that a test switched off asks for that first, in another module."""
    code = """
import torch
from tests.engine.test_guards import Model, guards_of
print(*guards_of(Model(7, 4, 3), torch.tensor([1, 2])), sep="\\n")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    guards = run.stdout.splitlines()
    assert len(guards) > 50
    assert len(set(re.findall(r"___unnamed_scope\w+", "\n".join(guards)))) == 1
    classes = [guard for guard in guards if re.search(r"_dt_(Tensor|class)", guard) and guard.startswith("ID_MATCH")]
    assert len(classes) <= 2, classes


def classes_searched(model, *inputs):
    """The bases in which a trace looked for an attribute, by place, each with how often."""
    with torch._dynamo.config.patch(allow_rnn=True):
        return Counter(re.findall(r"__mro__\[\d+\]", "\n".join(guards_of(model, *inputs))))


def test_a_trace_searches_no_more_classes_of_a_container_than_of_torchs():
    typed, untyped = (
        classes_searched(kind.Sequential(kind.ReLU(), kind.ReLU()), torch.ones(2)) for kind in (nn, torch.nn)
    )
    assert typed.total() <= untyped.total()


@pytest.mark.any_engine
def test_a_trace_searches_no_more_classes_of_a_recurrent_layer_than_of_torchs():
    """In a process of its own: what TorchDynamo looks up depends on what it has traced of torch's layers before."""
    code = """
import torch
from dimtyped import nn
from tests.engine.test_guards import classes_searched
for name in ("RNN", "GRU"):
    for inputs in [(torch.ones(2, 3, 4),), (torch.ones(2, 3, 4), torch.ones(1, 3, 5))]:
        torch._dynamo.reset()
        print(*(classes_searched(getattr(kind, name)(4, 5), *inputs).total() for kind in (nn, torch.nn)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    found = [tuple(map(int, line.split())) for line in run.stdout.splitlines()]
    assert len(found) == 4
    assert all(typed <= untyped for typed, untyped in found), found


LAYERS = {
    "Linear": (lambda kind: kind.Linear(4, 3), (2, 4), (2, 5)),
    "LayerNorm": (lambda kind: kind.LayerNorm(4), (2, 4), (2, 5)),
    "RMSNorm": (lambda kind: kind.RMSNorm(4), (2, 4), (2, 5)),
    "Conv1d": (lambda kind: kind.Conv1d(4, 3, 1), (2, 4, 6), (2, 5, 6)),
    "Conv2d": (lambda kind: kind.Conv2d(4, 3, 1), (2, 4, 6, 6), (2, 5, 6, 6)),
    "Conv3d": (lambda kind: kind.Conv3d(4, 3, 1), (2, 4, 6, 6, 6), (2, 5, 6, 6, 6)),
    "Conv1d, circular": (lambda kind: kind.Conv1d(4, 3, 3, padding=1, padding_mode="circular"), (2, 4, 6), (2, 5, 6)),
}
each_layer = pytest.mark.parametrize("name", LAYERS)


@each_layer
def test_a_layer_that_torch_refuses_wrong_calls_of_has_no_guard_of_its_sizes(name):
    make, right, _ = LAYERS[name]
    typed, untyped = (guards_of(make(kind), torch.ones(right)) for kind in (nn, torch.nn))
    of_layer = [[guard for guard in found if "L['self']" in guard] for found in (typed, untyped)]
    assert sorted(of_layer[0]) == sorted(of_layer[1])


@each_layer
@pytest.mark.parametrize("dynamic", [None, True])
def test_such_a_layer_still_tells_its_error_in_compiled_code(name, dynamic, capfd):
    make, right, wrong = LAYERS[name]
    layer = make(nn)
    with pytest.raises(DimensionError) as eager:
        layer(torch.ones(wrong))
    text = re.sub(r"\n    called at .*", "", str(eager.value))
    for fullgraph in (False, True):
        torch._dynamo.reset()
        compiled = torch.compile(layer, backend="eager", fullgraph=fullgraph, dynamic=dynamic)
        compiled(torch.ones(right))
        with pytest.raises(DimensionError) as found:
            compiled(torch.ones(wrong))
        assert re.sub(r"\n    called at .*", "", str(found.value)).startswith(text)
    assert "failed while attempting to run meta" not in capfd.readouterr().err  # torch's log of its own refusal


def test_a_switched_off_layer_in_compiled_code_raises_torchs_error():
    layer = nn.Linear(4, 3)
    compiled = torch.compile(layer, backend="eager")
    with unchecked(layer), pytest.raises(RuntimeError) as found:
        compiled(torch.ones(2, 5))
    assert not isinstance(found.value, DimensionError)
    with pytest.raises(DimensionError):
        compiled(torch.ones(2, 5))


def test_a_size_that_depends_on_data_meets_a_layer_as_in_torch():
    def call(layer):
        return torch.compile(lambda x: layer(x[x > 0]), backend="eager", fullgraph=True)(torch.ones(4))

    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        layer = nn.Linear(4, 3)
        assert torch.equal(call(layer), layer(torch.ones(4)))


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
