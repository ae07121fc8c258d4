"""`check` finds nothing in right programs, learns the sizes that layers ask for, and changes nothing."""

import copy
import random
import threading

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from dimtyped import DimSize, check, nn, typed
from tests.flow.check_cases import Gpt


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


class Skipping(nn.Module):
    """A U-Net of two levels, whose sides must be multiples of 4."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.up = nn.Upsample(scale_factor=2)
        self.out = nn.Conv2d(11, 3, 1)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        half = self.first(x)
        half = half + self.up(self.second(half))
        return self.out(torch.cat([self.up(half), x], 1))


def test_joined_levels_that_take_multiples_alone_are_no_finding():
    report = check(Skipping())
    assert report.ok, report
    assert "ran with batch=64, height=96, width=160" in report.notes[0]


def test_joined_tensors_whose_sizes_only_agree_with_a_number_are_a_finding():
    @typed
    def padded(x: Float[Tensor, "batch channels length"]) -> Float[Tensor, "batch channels length"]:
        return x + torch.zeros(96, 1)

    assert not check(padded).ok


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


class Seven(torch.nn.Module):
    """Its plain weight has a size that check takes for names."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(7, 9))

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        return torch.mm(x, self.weight)


class Flat(torch.nn.Module):
    """It takes images of one size alone: 28, or 64."""

    def __init__(self, side):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 5, 3, stride=2, padding=1)
        self.out = torch.nn.Linear(5 * (side // 2) ** 2, 10)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        return self.out(self.convolution(x).flatten(1))


def test_a_size_that_fits_a_weight_by_chance_is_not_taken():
    report = check(Seven())
    assert report.ok, str(report)
    assert report.notes == ["features=7: a layer takes no other size"]


@pytest.mark.parametrize("side", [28, 64])
def test_an_image_of_the_size_that_the_model_is_made_for_is_found(side):
    report = check(Flat(side))
    assert report.ok, str(report)
    note = f"height={side}, width={side}: a layer takes no other of the sizes that were tried"
    assert report.notes == ["channels=3: a layer takes no other size", note]


def test_an_image_that_no_usual_size_fits_is_refused():
    assert [found.kind for found in check(Flat(70)).findings] == ["refused"]


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


def _states(model):
    """What a user may have set on a model and in torch."""
    modules = dict(model.named_modules())
    return {
        "modes": {name: module.training for name, module in modules.items()},
        "hooks": {name: [*module._forward_hooks, *module._forward_pre_hooks] for name, module in modules.items()},
        "parameters": {name: (id(p), p.requires_grad, id(p.grad)) for name, p in model.named_parameters()},
        "buffers": {name: (id(b), b._version) for name, b in model.named_buffers()},
        "gradients": [p.grad.clone().tolist() for p in model.parameters() if p.grad is not None],
        "torch": (torch.is_grad_enabled(), torch.get_default_dtype(), torch.is_autocast_enabled("cpu")),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002  # the generator that all share
    }


class Meddling(Stateful):
    """Sets in `forward` what it can."""

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
        self.norm.eval()
        self.norm.weight.requires_grad_(False)
        self.norm.weight.grad = None
        self.norm.register_forward_hook(lambda *_: None)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        np.random.rand()  # noqa: NPY002  # the generator that all share
        return self.drop(self.norm(x))


@pytest.mark.parametrize("kind", [Stateful, Meddling])
@pytest.mark.parametrize("training", [True, False])
def test_what_a_model_does_to_itself_and_to_torch_is_not_done(kind, training):
    model = kind(6).train(training)
    model.norm.requires_grad_(training)
    model.norm.register_forward_hook(lambda *_: None)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = _states(model)
    assert check(model).ok
    assert check(model, torch.rand(3, 6)).ok
    assert _states(model) == before


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


class Patches(nn.Module):
    """An image as patches beside a class token, with a table of positions for one size of image."""

    def __init__(self, channels: DimSize, embed: DimSize, classes: DimSize, side: int, patch: int = 4):
        super().__init__()
        self.patches = nn.Conv2d(channels, embed, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, embed))
        self.positions = nn.Parameter(torch.zeros(1, (side // patch) ** 2 + 1, embed))
        self.attention = nn.MultiheadAttention(embed, 2, batch_first=True)
        self.out = nn.Linear(embed, classes)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.out(self.attention(x, x, x)[0][:, 0])


@pytest.mark.parametrize("side", [32, 40, 12])
def test_the_size_of_images_is_found_by_a_table_of_positions(side):
    report = check(Patches(3, 16, 10, side))
    assert report.ok, str(report)
    assert f"height={side}, width={side}: a layer takes no other of the sizes that were tried" in report.notes


class FlatPatches(nn.Module):
    """Patches cut by `reshape`, of which a Linear takes all channels, and the first rows of a table of positions."""

    def __init__(self, embed: DimSize, side: int = 32, patch: int = 8, channels: int = 3):
        super().__init__()
        self.patch = patch
        self.up = nn.Linear(channels * patch**2, embed)
        self.positions = nn.Parameter(torch.zeros(1, (side // patch) ** 2, embed))

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch patches embed"]:
        (batch, channels, height, width), side = x.shape, self.patch
        x = x.reshape(batch, channels, height // side, side, width // side, side).permute(0, 2, 4, 3, 5, 1)
        x = self.up(x.reshape(batch, (height // side) * (width // side), side * side * channels))
        return x + self.positions[:, : x.shape[1]]


@pytest.mark.parametrize("channels", [3, 1, 5])
def test_a_size_is_found_whose_product_with_others_a_weight_has(channels):
    report = check(FlatPatches(24, channels=channels))
    assert report.ok, str(report)
    assert f"channels={channels}: a layer takes no other size" in report.notes
    assert "height=32, width=32: a layer takes no other of the sizes that were tried" in report.notes


def test_a_size_that_a_class_is_made_with_is_also_that_of_a_name_which_no_layer_declares():
    report = check(FlatPatches, sizes={"channels": 5, "height": 32, "width": 32})
    assert report.ok, str(report)
    assert "channels=5" in report.notes[0]


STATE = Float[Tensor, "2 batch hidden"]


class Recurrent(nn.Module):
    """Its state is one tensor of a GRU, and two of an LSTM."""

    def __init__(self, inputs: DimSize, hidden: DimSize, kind: str):
        super().__init__()
        self.rnn = getattr(nn, kind)(inputs, hidden, 2)

    def forward(
        self, x: Float[Tensor, "seq batch inputs"], state: STATE | tuple[STATE, STATE]
    ) -> Float[Tensor, "seq batch hidden"]:
        return self.rnn(x, state)[0]


@pytest.mark.parametrize("of", [nn, torch.nn], ids=["ours", "torchs"])
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_another_annotation_of_a_union_is_taken_where_the_model_raises(kind, of, monkeypatch):
    monkeypatch.setattr(nn, kind, getattr(of, kind))
    report = check(Recurrent(5, 6, kind))
    assert report.ok, str(report)
    assert check(Recurrent, arguments={"kind": kind}).ok


def test_a_finding_with_the_first_annotation_of_a_union_is_reported():
    class Wrong(nn.Module):
        def forward(self, x: Float[Tensor, "batch seq"] | Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
            return x if x.dim() == 1 else x @ x

    assert [found.kind for found in check(Wrong()).findings] == ["refused"]


def test_each_annotation_of_a_union_is_run_and_one_that_the_model_refuses_is_a_note():
    class Mean(nn.Module):
        def __init__(self, embed: DimSize):
            super().__init__()
            self.out = nn.Linear(embed, embed)

        def forward(
            self, x: Float[Tensor, "batch embed"] | Float[Tensor, "batch seq embed"]
        ) -> Float[Tensor, "batch embed"]:
            if x.dim() == 3:
                x = x.softmax(0).mean(1)
            return self.out(x)

    assert [(found.kind, found.source) for found in check(Mean).findings] == [("mixing", "x.softmax(0)")]

    class Words(nn.Module):
        def __init__(self, vocab: DimSize, embed: DimSize):
            super().__init__()
            self.embedding = nn.Embedding(vocab, embed)

        def forward(
            self, x: Int[Tensor, "batch seq"] | Float[Tensor, "batch seq embed"]
        ) -> Float[Tensor, "batch seq embed"]:
            return self.embedding(x)

    report = check(Words)
    assert report.ok, report
    assert any(note.startswith("with the next annotation of a union") for note in report.notes)


class Steps(torch.nn.Module):
    """A decoder whose sizes are plain ints, and whose step runs several times."""

    def __init__(self):
        super().__init__()
        self.words, self.signs = torch.nn.Embedding(50, 24), torch.nn.Embedding(9, 24)
        self.hidden, self.out = torch.nn.Linear(24, 24), torch.nn.Linear(24, 89)

    @typed
    def forward(
        self, words: Int[Tensor, "batch seq"], signs: Int[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch steps classes"]:
        x = self.encoded(self.words(words)) + self.encoded(self.signs(signs))
        return torch.cat([self.step(x[:, :1]), self.step(x[:, -1:]) + self.bias(words)], 1)

    @typed
    def encoded(self, x: Float[Tensor, "batch seq width"]) -> Float[Tensor, "batch seq inner"]:
        return self.hidden(x)

    @typed
    def step(self, x: Float[Tensor, "batch 1 width"]) -> Float[Tensor, "batch 1 classes"]:
        return self.out(x)

    @typed
    def bias(self, words: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch 1 classes"]:
        return torch.zeros(len(words), 1, 89)


class Generating(torch.nn.Module):
    """A decoder that makes its first input itself, with the size of its state."""

    def __init__(self):
        super().__init__()
        self.words, self.cell, self.out = torch.nn.Embedding(50, 24), torch.nn.GRUCell(24, 24), torch.nn.Linear(24, 50)

    @typed
    def forward(self, state: Float[Tensor, "samples 24"]) -> Float[Tensor, "samples steps 50"]:
        word, scores = torch.zeros(len(state), dtype=torch.long), list[Tensor]()
        for _ in range(3):
            made, state = self.step(word, state)
            scores.append(made)
            word = made.argmax(1)
        return torch.stack(scores, 1)

    @typed
    def step(
        self, word: Int[Tensor, "samples"], state: Float[Tensor, "samples 24"]
    ) -> tuple[Float[Tensor, "samples 50"], Float[Tensor, "samples 24"]]:
        state = self.cell(self.words(word), state)
        return self.out(state), state


def test_a_name_of_the_calling_method_is_that_of_a_tensor_without_names():
    report = check(Generating())
    assert report.ok, report


def test_a_name_for_the_size_of_a_layer_is_one_dimension_in_all_calls_of_a_module():
    report = check(Steps())
    assert report.ok, report
