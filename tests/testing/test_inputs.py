"""The inputs that a model takes: learned by `fuzz`, or given by its user."""

import functools

import pytest
import torch
from hypothesis import find, given
from jaxtyping import Float, Int
from torch import Tensor

from dimtyped import DeclarationError, DimSize, nn, typed
from dimtyped.testing import calls, fuzz, independent, tensors
from tests.testing.user_models import Language

pytestmark = pytest.mark.any_engine


def failure(thing, **options):
    with pytest.raises(AssertionError) as caught:
        fuzz(thing, **options)
    return str(caught.value)


# Found out ------------------------------------------------------------------------------------------------------------


class Decoder(nn.Module):
    """Its state's layers are declared by nobody but the GRU."""

    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize, layers: int = 1):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.gru = nn.GRU(embed, hidden, layers, batch_first=True)
        self.out = nn.TiedDecoder(self.embedding, hidden, project=True)

    def forward(
        self, tokens: Int[Tensor, "batch seq"], state: Float[Tensor, "layers batch hidden"]
    ) -> tuple[Float[Tensor, "batch seq vocab"], Float[Tensor, "layers batch hidden"]]:
        output, state = self.gru(self.embedding(tokens), state)
        return self.out(output), state


@pytest.mark.parametrize("layers", [1, 2])
def test_a_free_name_takes_its_size_from_the_layer_that_refuses_it(layers):
    report = fuzz(Decoder(10, 4, 6, layers), max_examples=20)
    assert report.inputs.sizes == {"layers": layers}
    assert f"learned: `layers` is {layers}" in str(report)


class InAnotherOrder(nn.Module):
    """The layer takes its channels where `seq` stands: with as many steps as channels, it runs."""

    def __init__(self, channels: DimSize):
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "batch seq channels"]) -> Float[Tensor, "batch seq channels"]:
        return self.conv(x)


def test_a_name_that_the_tensor_has_elsewhere_is_not_learned():
    assert "input.permute(0, 2, 1)` fits" in failure(InAnotherOrder(3), max_examples=20)


class Swapped(nn.Module):
    """The layer refuses another tensor than the one that is given, so that says nothing of the inputs."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(4, 4)

    def forward(self, x: Float[Tensor, "batch seq 4"]) -> Float[Tensor, "batch seq 4"]:
        return self.out(x.transpose(1, 2)).transpose(1, 2)


def test_a_layer_that_gets_another_tensor_teaches_nothing():
    assert "argument `input` does not fit: in_features is " in failure(Swapped(), max_examples=20)


class Classes(nn.Module):
    """Integers of three kinds: ids, positions, and labels of a name that says nothing."""

    def __init__(self, words: DimSize, outcomes: DimSize):
        super().__init__()
        self.words, self.places, self.out = nn.Embedding(words, 4), nn.Embedding(5, 4), torch.nn.Linear(4, outcomes)

    def forward(
        self, tokens: Int[Tensor, "batch"], place: int, picked: Int[Tensor, "batch"], taken: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch"]:
        hidden = self.words(tokens) + self.places.weight[place] + self.places(picked)
        return torch.nn.functional.cross_entropy(self.out(hidden), taken, reduction="none")


def test_integers_that_index_are_drawn_in_range_whatever_they_are_called():
    report = fuzz(Classes(9, 3), max_examples=40)
    assert report.inputs.values == {"taken": "outcomes"}
    report = fuzz(Classes(9, 2), max_examples=40)
    assert report.inputs.values == {"taken": "outcomes"}


@typed
def chosen(scores: Float[Tensor, "batch actions"], actions_taken: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
    return scores.gather(1, actions_taken.unsqueeze(1)).squeeze(1)


@typed
def stepped(xs: Float[Tensor, "batch steps"], step: int) -> Float[Tensor, "batch"]:
    return xs[:, step]


@typed
def hot(labels: Int[Tensor, "batch"], rows: Float[Tensor, "num_labels width"]) -> Float[Tensor, "batch width"]:
    return torch.nn.functional.one_hot(labels, rows.shape[0]).float() @ rows


@pytest.mark.parametrize(
    ("function", "values"),
    [(chosen, {"actions_taken": "actions"}), (stepped, {"step": "steps"}), (hot, {"labels": "num_labels"})],
    ids=["gather", "a plain integer", "one hot"],
)
def test_the_size_that_an_integer_indexes_is_found(function, values):
    assert fuzz(function, max_examples=30).inputs.values == values


def test_an_index_out_of_range_that_no_smaller_integer_helps_is_a_failure():
    @typed
    def third(x: Float[Tensor, "batch n"], at: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        return x[:, 0] + at + torch.arange(3)[3]

    assert "IndexError" in failure(third, max_examples=9)


def test_what_was_found_out_stands_in_the_line_that_repeats_a_failure():
    @typed
    def worst(scores: Float[Tensor, "batch kinds"], kind: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        picked = scores.gather(1, kind.unsqueeze(1)).squeeze(1)
        return picked - picked.mean()

    text = failure(worst)
    line = text.rpartition("To repeat it: ")[2]
    assert "values={'kind': 'kinds'}" in line
    with pytest.raises(AssertionError) as again:
        eval(line, {"fuzz": fuzz, "model": worst})
    assert str(again.value) == text


def test_independent_finds_them_out_too():
    independent(chosen)
    independent(Decoder(10, 4, 6))


def test_a_result_s_own_expression_is_a_size_too():
    @typed
    def differences(x: Float[Tensor, "batch seq"]) -> Float[Tensor, "batch seq-1"]:
        return x[:, 1:] - x[:, :-1]

    fuzz(differences, max_examples=20)


# Said by the user -----------------------------------------------------------------------------------------------------


@typed
def indexed(x: Float[Tensor, "batch kinds"], taken: Int[Tensor, "batch"]) -> None: ...


@pytest.mark.parametrize(
    ("values", "highest"), [("kinds", 5), (3, 2), (range(2, 5), 4)], ids=["a name", "a size", "a range"]
)
def test_values_say_what_integers_may_be(values, highest):
    drawn = calls(indexed, values={"taken": values}, sizes={"kinds": 6})
    find(drawn, lambda call: int(call[0][1].max()) == highest)

    @given(drawn)
    def check(call):
        assert int(call[0][1].max()) <= highest
        assert int(call[0][1].min()) >= (2 if isinstance(values, range) else 0)

    check()


@pytest.mark.parametrize("sizes", [(2, 4), range(2, 5, 2)], ids=["a choice", "a range"])
def test_a_size_may_be_a_choice(sizes):
    for size in sizes:
        find(calls(indexed, sizes={"kinds": sizes}), lambda call, size=size: call[0][0].shape[1] == size)
        find(tensors(Float[Tensor, "kinds"], sizes={"kinds": sizes}), lambda x, size=size: len(x) == size)

    @given(calls(indexed, sizes={"kinds": sizes}))
    def check(call):
        assert call[0][0].shape[1] in sizes

    check()


def test_a_size_may_have_a_least():
    @typed
    def nearest(x: Float[Tensor, "batch points"]) -> Float[Tensor, "batch 3"]:
        return x.topk(3).values

    assert failure(nearest).startswith("nearest needs points of at least 3, and fails for batch=")
    assert "sizes={'points': range(3, 9)}" in failure(nearest)
    fuzz(nearest, max_examples=20, sizes={"points": range(3, 9)})


def test_sizes_that_must_divide_are_told_together():
    @typed
    def patches(x: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch _ 4"]:
        batch, height, width = x.shape
        split = x.reshape(batch, height // 2, 2, width // 2, 2)
        return split.transpose(2, 3).reshape(batch, height * width // 4, 4)

    text = failure(patches)
    assert text.startswith("patches needs height of 2, 4 or 6 and width of 2, 4 or 6, and fails for batch=")
    assert "sizes={'height': (2, 4, 6), 'width': (2, 4, 6)}" in text
    fuzz(patches, max_examples=20, sizes={"height": (2, 4, 6), "width": (2, 4, 6)})


def test_a_list_may_have_a_length():
    @typed
    def both(xs: list[Float[Tensor, "batch n"]], *ys: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
        first, second = ys
        return torch.stack(xs[:6]).reshape(6, *xs[0].shape).sum(0) + first + second

    fuzz(both, max_examples=20, lengths={"xs": 6, "ys": 2})
    fuzz(both, max_examples=20, lengths={"xs": range(6, 8), "ys": 2})


def test_what_is_said_is_said_of_something():
    for options, text in [
        ({"values": {"takn": 3}}, "values: indexed has no parameter `takn`, only x, taken"),
        ({"lengths": {"takn": 3}}, "lengths: indexed has no parameter `takn`, only x, taken"),
        ({"values": {"taken": -1}}, "values: `taken` is -1, must be a name, a size or a range"),
        ({"sizes": {"kinds": ()}}, "sizes: `kinds` is (), which holds no size"),
        ({"sizes": {"kinds": (2, -1)}}, "sizes: `kinds` is -1, must be an int of at least 0"),
    ]:
        with pytest.raises(DeclarationError) as caught:
            calls(indexed, **options)
        assert text in str(caught.value)
    with pytest.raises(
        DeclarationError, match="values: `taken` is to be below `kind`, but no axis of indexed has this name"
    ):
        fuzz(indexed, values={"taken": "kind"}, max_examples=3)


class Flat(nn.Module):
    def forward(self, x: Float[Tensor, "batch rows columns"]) -> Float[Tensor, "batch rows*columns"]:
        return x.view(len(x), -1)


def test_tensors_are_contiguous_unless_layouts_are_asked_for():
    fuzz(Flat(), max_examples=30)
    text = failure(Flat(), layouts=True)
    assert "strides (" in text
    assert "The memory layout causes this: with contiguous tensors the same call runs." in text
    assert "sizes=" not in text
    find(calls(Flat(), layouts=True), lambda call: not call[0][0].is_contiguous())


def test_a_failure_is_told_where_no_sizes_differ_too():
    @typed
    def only(x: Float[Tensor, "n 3-n n//n"]) -> Float[Tensor, "n"]:
        return x[:, 0, 0] - x.mean()

    @typed
    def single(x: Float[Tensor, "n 2-n"]) -> Float[Tensor, "n"]:
        return x.sum()

    assert "fails for n=2: axis `n` mixes" in failure(only, independent=["n"])
    assert "fails for n=1: DimensionError" in failure(single)


# What is called -------------------------------------------------------------------------------------------------------


def test_a_call_inside_that_fails_is_told_however_often_it_is_made():
    @typed
    def inner(a: Float[Tensor, "batch 1"]) -> Float[Tensor, "batch"]:
        return a[:, 0]

    @typed
    def outer(a: Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        return inner(a)

    assert "inner: argument `a` does not fit: it has 1 axis, must have 2" in failure(outer)


def test_a_failure_that_does_not_come_again_is_told_as_such():
    made = []

    def forgetful(x: Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        made.append(1)
        if len(made) == 3:
            raise ValueError("the third call")
        return x

    text = failure(forgetful, broken=False)
    assert "ValueError: the third call" in text
    assert "it depends on earlier calls" in text


class Scaler:
    @typed
    def __call__(self, x: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
        return 2 * x


class Centred:
    @typed
    def __call__(self, x: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
        return x - x.mean(0)


def test_an_object_that_is_called_is_tested():
    fuzz(Scaler(), max_examples=20)
    assert "axis `batch` mixes" in failure(Centred())


@typed
def step(model: Decoder, tokens: Int[Tensor, "batch seq"], state: Float[Tensor, "layers batch hidden"]) -> None:
    model(tokens, state)


@typed
def halved(model: nn.Linear, x: Float[Tensor, "batch 4"]) -> Float[Tensor, "batch 4"]:
    return model(x) / 2


def test_a_partial_function_is_tested_with_what_it_gives():
    layer = nn.Linear(4, 4).double()
    fuzz(functools.partial(halved, layer), max_examples=20, grad=True)
    fuzz(functools.partial(halved, model=layer), max_examples=20)
    assert next(layer.parameters()).grad is None
    fuzz(functools.partial(step, Decoder(10, 4, 6)), max_examples=20, sizes={"layers": 1, "hidden": 6})


def test_a_module_is_not_made_by_guessing():
    with pytest.raises(DeclarationError) as caught:
        fuzz(halved)
    assert "`model` is a Linear, which cannot be made" in str(caught.value)
    assert "functools.partial(halved, model=Linear(...))" in str(caught.value)


def test_a_class_is_no_module():
    with pytest.raises(DeclarationError) as caught:
        fuzz(Language)
    assert str(caught.value).startswith("Language is a class, but inputs are made for a module\n  Write Language(")
