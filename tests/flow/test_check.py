"""`check`: what it finds, in which runs, and that nothing of the target is changed."""

import copy
import inspect
import random
import threading
from collections.abc import Callable

import pytest
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dimtyped import CheckError, DeclarationError, DimSize, check, nn, typed
from dimtyped.cli.demo.model import Seq2Seq


class Attention(nn.Module):
    """Right if `transposed`."""

    def __init__(self, embed: DimSize, heads: DimSize, transposed: bool = True):
        super().__init__()
        self.heads, self.transposed = heads, transposed
        self.qkv = nn.Linear(embed, 3 * embed)
        self.out = nn.Linear(embed, embed)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        batch, seq, embed = x.shape
        q, k, v = self.qkv(x).view(batch, seq, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        o = (q @ k.transpose(-1, -2)).softmax(-1) @ v
        if self.transposed:
            o = o.transpose(1, 2)
        return self.out(o.reshape(batch, seq, embed))


class Gpt(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize, heads: DimSize, blocks: int, transposed: bool = True):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.blocks = nn.ModuleList(Attention(embed, heads, transposed) for _ in range(blocks))
        self.out = nn.Linear(embed, vocab)

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq vocab"]:
        x = self.embedding(tokens)
        for block in self.blocks:
            x = x + block(x)
        return self.out(x)


def line_of(code: Callable[..., object], text: str) -> int:
    """The number of the line of a function's source that has a text."""
    lines, first = inspect.getsourcelines(code)
    [found] = [number for number, line in enumerate(lines, first) if text in line]
    return found


# Targets --------------------------------------------------------------------------------------------------------------


def test_a_module_with_inputs_made_from_its_annotations():
    report = check(Gpt(100, 12, 2, 3))
    assert report.ok, str(report)
    assert report.sizes == {"batch": 5, "seq": 7}
    assert not report.unfollowed


def test_a_module_with_given_inputs():
    report = check(Gpt(100, 12, 2, 1), torch.zeros(4, 6, dtype=torch.long))
    assert report.ok
    assert report.sizes == {"batch": 4, "seq": 6}
    assert check(Gpt(100, 12, 2, 1), tokens=torch.zeros(4, 6, dtype=torch.long)).ok


def test_a_class_gets_sizes_that_differ():
    report = check(Gpt, arguments={"blocks": 2})
    assert report.ok, str(report)
    assert report.notes[0] == "made with heads=2, vocab=24, embed=48"


def test_a_class_with_some_sizes_given():
    report = check(Gpt, sizes={"vocab": 50, "embed": 30, "heads": 5, "seq": 9}, arguments={"blocks": 1})
    assert report.ok
    assert report.sizes == {"batch": 7, "seq": 9}


def test_a_factory():
    def make(embed: DimSize, heads: DimSize) -> nn.Module:
        return Attention(embed, heads, transposed=False)

    assert [found.kind for found in check(make).findings] == ["scramble"]
    assert check(lambda: Attention(12, 2), arguments={}).ok


def test_a_typed_function():
    @typed
    def gram(x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch batch"]:
        return x @ x.T

    assert check(gram).ok


def test_a_function_that_is_annotated_and_not_typed():
    def norm(x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        return x.softmax(0)

    assert [found.kind for found in check(norm).findings] == ["mixing"]


def test_a_method():
    model = Seq2Seq(50, 16, 24)
    assert check(model.write, start=1, length=4).ok
    assert check(Seq2Seq).ok


def test_a_plain_module_with_given_inputs():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())
    report = check(model, torch.ones(2, 3))
    assert report.ok
    assert report.followed["linear"] == 1


# Kinds ----------------------------------------------------------------------------------------------------------------


def test_heads_joined_without_transpose_are_told_once_at_the_line():
    report = check(Gpt(100, 12, 2, 3, transposed=False))
    [found] = report.findings
    assert found.kind == "scramble"
    assert found.line == line_of(Attention.forward, "o.reshape(")
    assert found.source == "o.reshape(batch, seq, embed)"
    assert found.where == "Attention.forward"
    assert found.times == 3
    assert found.file == __file__


class Annotated(nn.Module):
    def __init__(self, hidden: DimSize):
        super().__init__()
        self.layer = nn.Linear(hidden, hidden)
        self.hidden = hidden

    def forward(self, x: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "seq batch hidden"]:
        return self.layer(x)


def test_annotation_at_a_return():
    report = check(Annotated(8), torch.ones(3, 3, 8))
    [found] = report.findings
    assert (found.kind, found.source) == ("annotation", "return self.layer(x)")
    assert found.message.endswith(
        "what is returned is (batch=3, seq=3, hidden=8), and is annotated "
        'Float[..., "seq batch hidden"]: batch where it says seq and seq where it says batch'
    )
    report = check(Annotated(8))
    [found] = report.findings
    assert (found.kind, found.line) == ("refused", line_of(Annotated.forward, "return self.layer"))
    assert "Annotated.forward: returned" in found.message or "return" in found.message


class Caller(nn.Module):
    def __init__(self, embed: DimSize, seq_first: bool):
        super().__init__()
        self.block = Attention(embed, 2)
        self.seq_first = seq_first

    def forward(self, x: Float[Tensor, "batch embed seq"]) -> Float[Tensor, "batch seq embed"]:
        return self.block(x if self.seq_first else x.mT)


def test_annotation_at_an_argument():
    x = torch.ones(2, 8, 8)
    assert check(Caller(8, seq_first=False), x).ok
    found = check(Caller(8, seq_first=True), x).findings[0]
    assert found.kind == "annotation"
    assert found.line == line_of(Caller.forward, "return self.block")
    assert found.message.endswith(
        '`x` is (batch=2, embed=8, seq=8), and is annotated Float[..., "batch seq embed"]: seq where it says embed'
    )


def test_refused_by_torch_has_the_operands():
    @typed
    def scores(
        q: Float[Tensor, "batch seq dim"], k: Float[Tensor, "batch other dim"]
    ) -> Float[Tensor, "batch seq other"]:
        return q @ k

    [found] = check(scores).findings
    assert found.kind == "refused"
    assert found.source == "q @ k"
    assert found.operands == ("float32 (batch=5, seq=7, dim=11)", "float32 (batch=5, other=13, dim=11)")


def test_a_batch_written_into_the_code():
    @typed
    def flatten(x: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch height*width"]:
        return x.view(32, -1)

    [found] = check(flatten).findings
    assert (found.kind, found.names) == ("fixed", ("batch",))
    assert found.message.startswith("it runs with batch=32 only; batch=5 is refused")


def test_a_length_written_into_a_buffer_that_the_first_run_does_not_reach():
    class Positions(nn.Module):
        def __init__(self, embed: DimSize):
            super().__init__()
            self.table = torch.nn.Parameter(torch.zeros(8, embed))

        def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
            return x + self.table[: x.shape[1]]

    [found] = check(Positions(6)).findings
    assert found.kind == "fixed"
    assert "it runs with batch=5, seq=7, and not with batch=7, seq=11" in found.message


def test_squeeze_that_takes_the_batch_away():
    @typed
    def mean(x: Float[Tensor, "batch seq 1"]) -> Float[Tensor, "batch seq"]:
        return x.squeeze()

    found = check(mean).findings
    assert [(each.kind, each.names, each.source) for each in found] == [
        ("degenerate", ("batch",), "x.squeeze()"),
        ("degenerate", ("seq",), "x.squeeze()"),
    ]

    @typed
    def right(x: Float[Tensor, "batch seq 1"]) -> Float[Tensor, "batch seq"]:
        return x.squeeze(-1)

    assert check(right).ok


def test_mixing_along_another_name():
    @typed
    def norm(x: Float[Tensor, "sample dim"]) -> Float[Tensor, "sample dim"]:
        return x.softmax(0)

    assert check(norm).ok
    assert [found.kind for found in check(norm, independent=["sample"]).findings] == ["mixing"]


def test_optional_arguments_are_tried_too():
    @typed
    def masked(
        x: Float[Tensor, "batch seq dim"], mask: Bool[Tensor, "batch seq"] | None = None
    ) -> Float[Tensor, "batch seq dim"]:
        return x if mask is None else x.masked_fill(mask, 0.0)

    [found] = check(masked).findings
    assert (found.kind, found.source) == ("refused", "x.masked_fill(mask, 0.0)")


def test_sides_that_must_be_longer_or_divisible_are_no_finding():
    class Down(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 9, stride=4)

        def forward(self, x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 4"]:
            return self.conv(x).mean((2, 3))

    report = check(Down())
    assert report.ok
    assert "ran with batch=67, height=71, width=73; with batch=5" in report.notes[0]

    @typed
    def patches(x: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch patches 16"]:
        batch, height, width = x.shape
        return x.view(batch, height // 4, 4, width // 4, 4).transpose(2, 3).reshape(batch, -1, 16)

    assert check(patches).ok


class Plain(torch.nn.Module):
    """A model of torch's own layers: its sizes are plain ints."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.out = torch.nn.Linear(8, 5)

    @typed
    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        return self.out(self.conv(x).mean((2, 3)))


class Inner(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.out = nn.Linear(embed, embed)

    def forward(self, x: Float[Tensor, "*batch embed"]) -> Float[Tensor, "*batch embed"]:
        return self.out(x)


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner(8)

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        return self.inner(x)


@pytest.mark.parametrize(("make", "note"), [(Plain, "channels=3"), (Outer, "width=8")])
def test_sizes_that_layers_ask_for_are_learned(make, note):
    report = check(make())
    assert report.ok, str(report)
    assert report.notes == [f"{note}: a layer takes no other size"]


class Stacked(nn.Module):
    def __init__(self, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.lstm = nn.LSTM(embed, hidden, 2, batch_first=True)

    def forward(
        self, x: Float[Tensor, "batch seq embed"], state: tuple[Float[Tensor, "layers batch hidden"], ...] | None = None
    ) -> Float[Tensor, "batch seq hidden"]:
        return self.lstm(x, state)[0]


def test_sizes_of_optional_arguments_are_learned_too():
    report = check(Stacked(3, 4))
    assert report.ok, str(report)
    assert report.notes == ["layers=2: a layer takes no other size"]


def test_a_class_that_copies_its_layers():
    class Encoder(nn.Module):
        def __init__(self, embed: DimSize):
            super().__init__()
            layer = nn.TransformerEncoderLayer(embed, 4, 4 * embed, batch_first=True)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
            return self.layers(x)

    report = check(Encoder)
    assert report.ok, str(report)
    assert report.notes == ["made with embed=24"]


class Twice(nn.Module):
    """Two scopes with the same names for other sizes, or for the same ones."""

    def __init__(self, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.one, self.other = Mlp(embed, hidden), Mlp(hidden, embed)
        self.middle = nn.Linear(embed, hidden)

    def forward(self, x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch hidden"]:
        return self.other(self.middle(self.one(x)))


class Mlp(nn.Module):
    def __init__(self, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.up, self.down = nn.Linear(embed, hidden), nn.Linear(hidden, embed)

    def forward(self, x: Float[Tensor, "*batch embed"]) -> Float[Tensor, "*batch embed"]:
        return self.down(self.up(x).relu())


def test_scopes_may_call_one_dimension_differently():
    for report in (check(Twice), check(Twice(8, 8)), check(Twice(8, 6))):
        assert report.ok, str(report)
        assert not any("were not read" in note for note in report.notes)


def test_right_programs_with_nothing_to_find():
    @typed
    def distances(x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch batch"]:
        return (x**2).sum(1, keepdim=True) + (x**2).sum(1) - 2 * x @ x.T

    @typed
    def rotated(x: Float[Tensor, "batch seq 8"]) -> Float[Tensor, "batch seq 8"]:
        angles = torch.outer(torch.arange(x.shape[1]).float(), torch.arange(4.0)).repeat(1, 2)
        left, right = x.chunk(2, -1)
        return x * angles.cos() + torch.cat([-right, left], -1) * angles.sin()

    @typed
    def packed(x: Float[Tensor, "batch seq dim"], lengths: Int[Tensor, "batch"]) -> Float[Tensor, "batch seq dim"]:
        steps = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return torch.nn.utils.rnn.pad_packed_sequence(steps, batch_first=True)[0]

    for function in (distances, rotated, packed):
        report = check(function)
        assert report.ok, str(report)


# What is left as it was -----------------------------------------------------------------------------------------------


class Stateful(nn.Module):
    """Counts its calls, keeps its last input, has running means and dropout, and a hook."""

    def __init__(self, features: DimSize):
        super().__init__()
        self.norm = nn.BatchNorm1d(features)
        self.drop = nn.Dropout(0.5)
        self.calls = []
        self.last = None
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
        self.calls.append(len(x))
        self.last = x
        self.count += 1
        self.count = self.count * 2
        return self.drop(self.norm(x)) * random.random()


@pytest.mark.parametrize("reads_values", [False, True])
def test_nothing_is_changed(reads_values):
    model = Stateful(6)
    if reads_values:
        model.register_forward_hook(lambda _module, _args, result: result * result.sum().item())
    torch.manual_seed(3)
    random.seed(3)
    before = copy.deepcopy(model.state_dict()), torch.get_rng_state(), random.getstate(), torch.is_grad_enabled()
    attributes = {name: dict(vars(module)) for name, module in model.named_modules()}
    report = check(model)
    assert report.ok
    assert bool(report.notes) == reads_values
    after = model.state_dict(), torch.get_rng_state(), random.getstate(), torch.is_grad_enabled()
    assert after[0].keys() == before[0].keys()
    assert all(torch.equal(after[0][key], before[0][key]) for key in before[0])
    assert torch.equal(after[1], before[1])
    assert after[2:] == before[2:]
    assert model.calls == []
    assert model.last is None
    for name, module in model.named_modules():
        assert vars(module).keys() == attributes[name].keys()
        assert all(value is attributes[name][key] for key, value in vars(module).items() if key != "_dim_scope")


def test_gradients_and_modules_that_a_function_finds_around_it():
    model = Stateful(6)

    @typed
    def step(x: Float[Tensor, "batch features"]) -> Float[Tensor, ""]:
        loss = model(x).sum()
        loss.backward()
        return loss.detach()

    before = copy.deepcopy(model.state_dict())
    assert check(step, sizes={"features": 6}).ok
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_model_on_meta():
    with torch.device("meta"):
        model = Gpt(50_000, 768, 12, 2)
    report = check(model)
    assert report.ok
    assert all(parameter.is_meta for parameter in model.parameters())


class Uncopyable(nn.Module):
    def __init__(self, dim: DimSize):
        super().__init__()
        self.lock, self.generator = threading.Lock(), torch.Generator()
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        with self.lock:
            return self.out(x) + torch.rand(x.shape, generator=self.generator)


def test_what_cannot_be_copied_is_shared_and_a_generator_is_not_drawn_from():
    model = Uncopyable(4)
    before = model.generator.get_state()
    assert check(model).ok
    assert torch.equal(model.generator.get_state(), before)


def test_a_compiled_module_is_checked_as_it_was_before():
    report = check(torch.compile(Gpt(10, 4, 2, 1, transposed=False), backend="eager"))
    assert [found.kind for found in report.findings] == ["scramble"]


def test_python_that_reads_values():
    @typed
    def chosen(x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        return x if x.sum().item() > 0 else -x

    report = check(chosen)
    assert report.ok
    assert report.notes == [
        "ran on real tensors, on a copy, since fake ones raised DataDependentOutputException: "
        "aten._local_scalar_dense.default"
    ]


def test_what_only_values_show_is_for_fuzz():
    @typed
    def beams(x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch 2 dim"]:
        return x.repeat(2, 1).view(x.shape[0], 2, x.shape[1])

    @typed
    def right(x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch 2 dim"]:
        return x.repeat_interleave(2, 0).view(x.shape[0], 2, x.shape[1])

    assert check(right, fuzz=True).ok
    [found] = check(beams, fuzz=True).findings
    assert found.kind in ("mixing", "scramble")
    assert "batch" in found.message


# Fixes -----------------------------------------------------------------------------------------------------------------


def test_fixes_are_tried_on_names():
    @typed
    def joined(x: Float[Tensor, "batch heads seq head"]) -> Float[Tensor, "batch seq _"]:
        return x.reshape(x.shape[0], x.shape[2], -1)

    @typed
    def split(x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch 4 seq _"]:
        return x.view(x.shape[0], 4, x.shape[1], -1)

    @typed
    def moved(x: Float[Tensor, "batch height width channels"]) -> Float[Tensor, "batch channels height width"]:
        return x.reshape(x.shape[0], x.shape[3], x.shape[1], x.shape[2])

    @typed
    def difference(x: Float[Tensor, "batch"], y: Float[Tensor, "batch 1"]) -> Float[Tensor, "batch _"]:
        return x - y

    fixes = [check(joined), check(split, sizes={"embed": 8}), check(moved), check(difference)]
    assert [report.findings[0].fix for report in fixes] == [
        "x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1)",
        "x.view(x.shape[0], x.shape[1], 4, -1).transpose(1, 2)",
        "x.permute(0, 3, 1, 2)",
        "x - y.squeeze(-1)",
    ]


# The report -----------------------------------------------------------------------------------------------------------


def test_raise_if_any():
    check(Gpt(10, 4, 2, 1)).raise_if_any()
    with pytest.raises(CheckError, match="scramble: `o.reshape") as caught:
        check(Gpt(10, 4, 2, 1, transposed=False)).raise_if_any()
    assert isinstance(caught.value, AssertionError)


# Bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [3, "model", None, torch.ones(2)])
def test_what_is_no_target(target):
    with pytest.raises(DeclarationError, match="check takes a module, a function, or what makes a module"):
        check(target)


def test_a_class_that_needs_more():
    with pytest.raises(DeclarationError, match=r"Gpt needs `blocks`.*\n.*arguments=\{'blocks': \.\.\.\}"):
        check(Gpt)
    with pytest.raises(DeclarationError, match="Gpt has no parameter `depth`"):
        check(Gpt, arguments={"blocks": 1, "depth": 2})


def test_inputs_that_do_not_bind():
    with pytest.raises(DeclarationError, match="does not take what check was given: too many positional arguments"):
        check(Gpt(10, 4, 2, 1), torch.ones(2), torch.ones(2))


def test_no_annotation_and_no_inputs():
    with pytest.raises(DeclarationError, match="no annotation says which tensors it takes, and no inputs were given"):
        check(torch.nn.Linear(2, 3))
    with pytest.raises(DeclarationError, match="no annotation says which tensors it takes"):
        check(lambda x: x)


def test_an_input_that_cannot_be_made():
    @typed
    def apply(x: Float[Tensor, "batch dim"], function: Callable[[Tensor], Tensor]) -> Float[Tensor, "batch dim"]:
        return function(x)

    with pytest.raises(DeclarationError, match=r"no input can be made for `function`.*\n.*check\(target, function="):
        check(apply)
    assert check(apply, function=torch.relu).ok


def test_a_lazy_layer_without_sizes():
    with pytest.raises(DeclarationError, match=r"Sequential\.0 has no sizes yet"):
        check(torch.nn.Sequential(torch.nn.LazyLinear(3)), torch.ones(2, 2))


def test_what_the_target_raises_itself_stays_what_it_is():
    @typed
    def stubborn(x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        raise KeyError("no such key")

    with pytest.raises(KeyError) as caught:
        check(stubborn)
    assert caught.value.__notes__ == ["dimtyped: check ran stubborn with batch=5, dim=7; the target raised this itself"]


@pytest.mark.parametrize("size", [0, -1, True, 2.0, "3"])
def test_sizes_that_are_none(size):
    with pytest.raises(DeclarationError, match="must be an int of at least 1"):
        check(Gpt(10, 4, 2, 1), sizes={"seq": size})


def test_arguments_of_a_module_that_is_made():
    with pytest.raises(DeclarationError, match="arguments= are for a class or a factory"):
        check(Gpt(10, 4, 2, 1), arguments={"blocks": 1})
