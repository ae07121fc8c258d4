"""A fix fits the names that are known, and where two explanations fit there is none."""

from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from dimtyped import DimensionError, DimSize, nn, typed


def hint_of(call) -> str:
    with pytest.raises(DimensionError) as caught:
        call()
    return caught.value.hint


def ones(*shape):
    return torch.ones(shape)


def test_a_mask_in_the_order_of_the_inputs_is_transposed_and_the_inputs_stay():
    layer, x = nn.MultiheadAttention(8, 2), ones(5, 3, 8)
    mask = torch.zeros(5, 3, dtype=torch.bool)
    assert hint_of(lambda: layer(x, x, x, key_padding_mask=mask)) == "It is transposed: `key_padding_mask.T` fits."
    layer(x, x, x, key_padding_mask=mask.T)


def test_inputs_with_the_batch_first_are_still_told():
    layer, mask = nn.MultiheadAttention(8, 2), torch.zeros(3, 7, dtype=torch.bool)
    hint = hint_of(lambda: layer(ones(3, 5, 8), ones(3, 7, 8), ones(3, 7, 8), key_padding_mask=mask))
    assert "batch_first=True" in hint


def test_parts_in_a_list_are_joined_and_none_of_them_is_reshaped():
    layer, parts = nn.Conv2d(6, 2, 1), [ones(2, channels, 5, 5) for channels in (2, 3, 1)]
    assert hint_of(lambda: layer(parts)) == "It is a list of parts: `torch.cat(input, 1)` fits."
    layer(torch.cat(parts, 1))

    @typed
    def made() -> Float[Tensor, "batch 6 height width"]:
        return parts  # type: ignore[return-value]  # that is the fault

    assert hint_of(made) == "It is a list of parts: `torch.cat(result, 1)` fits."


def test_a_reduction_over_another_axis_is_told_by_its_dim():
    @typed
    def norm_of(w: Float[Tensor, "inputs outputs"], dim: int = 1) -> Float[Tensor, "outputs"]:
        return w.norm(dim=dim)

    assert hint_of(lambda: norm_of(ones(3, 4))) == "Axis 1 of `w` was reduced, axis 0 should be: dim=0."
    norm_of(ones(3, 4), 0)


def test_a_reduction_that_two_arguments_explain_is_not_told():
    @typed
    def f(x: Float[Tensor, "rows cols"], y: Float[Tensor, "rows cols"]) -> Float[Tensor, "rows"]:
        return x.sum(0) + y.sum(0)

    assert hint_of(lambda: f(ones(3, 4), ones(3, 4))) == ""


@pytest.mark.parametrize("kind", ["CrossEntropyLoss", "NLLLoss"])
@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ([4, 5, 6, 7], "Classes are numbered from 0: give the layer before this one 8 classes."),
        ([1, 2, 255, 0], "If 255 marks positions to ignore, make this {}(..., ignore_index=255)."),
        ([1, 2, -1, 0], "If -1 marks positions to ignore, make this {}(..., ignore_index=-1)."),
        ([1, 2, 3, 4], "Are the classes numbered from 1? They must be numbered from 0: `target - 1` fits."),
        ([1, -2, -1, 0], "Classes are numbered from 0: none may be negative."),
    ],
    ids=str,
)
def test_a_class_that_there_is_not_is_the_target_s_fault(kind, target, hint):
    loss = getattr(nn, kind)()
    with pytest.raises(
        DimensionError, match=r"argument `target` does not fit: .* is none of the classes, 0 to 3"
    ) as caught:
        loss(ones(4, 4), torch.tensor(target))
    assert isinstance(caught.value, IndexError)
    assert caught.value.hint == hint.format(kind)


def test_what_is_ignored_is_no_class():
    loss = nn.CrossEntropyLoss(ignore_index=255)
    with pytest.raises(DimensionError, match="5 is none of the classes, 0 to 3"):
        loss(ones(3, 4), torch.tensor([5, 255, 0]))
    loss(ones(3, 4), torch.tensor([3, 255, 0]))


@pytest.mark.parametrize("rows", [19, 7])
def test_one_feature_is_neither_repeated_nor_transposed(rows):
    assert hint_of(lambda: nn.Linear(19, 1)(ones(rows, 1))) == "Make this layer with in_features=1."


@pytest.mark.parametrize(
    ("annotation", "value", "shown"),
    [
        (Float[Any, "1 1024"], ones(2, 1024), "got      float32 (2, 1024)"),
        (Float[np.ndarray, "n 3"], np.ones((2, 4), np.float32), "got      ndarray of float32 (2, 4)"),
    ],
    ids=["Any", "ndarray"],
)
def test_what_is_no_tensor_is_shown_with_its_shape(annotation, value, shown):
    def f(x, y: Float[Tensor, "a b"]): ...

    f.__annotations__["x"] = annotation
    with pytest.raises(DimensionError, match="argument `x` does not fit") as caught:
        typed(f)(value, ones(5, 6))
    assert shown in str(caught.value)
    assert "got      float32 (5, 6)" in str(caught.value)


class Tagger(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize):
        super().__init__()
        self.words = nn.Embedding(vocab, embed)

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq embed"]:
        return self.words(tokens)


def test_one_hot_ids():
    tokens = torch.nn.functional.one_hot(torch.zeros(2, 5, dtype=torch.long), 11)
    assert hint_of(lambda: Tagger(11, 4)(tokens)) == "Is `tokens` one-hot? Ids are expected: `tokens.argmax(-1)` fits."
    Tagger(11, 4)(tokens.argmax(-1))


def test_axes_are_not_joined_where_any_shape_would_do():
    assert hint_of(lambda: Tagger(11, 4)(torch.zeros(2, 5, 3, dtype=torch.long))) == ""


class Reader(nn.Module):
    def __init__(self, embed: DimSize, hidden: DimSize, *, batch_first: bool):
        super().__init__()
        self.rnn = nn.GRU(embed, hidden, batch_first=batch_first)

    def forward(
        self, x: Float[Tensor, "batch seq embed"], state: Float[Tensor, "1 batch hidden"] | None = None
    ) -> Float[Tensor, "batch hidden"]:
        return self.rnn(x, state)[1].squeeze(0)


@pytest.mark.parametrize("state", [None, torch.zeros(1, 6, 8)], ids=["no state", "state"])
def test_a_batch_first_that_was_forgotten(state):
    x = ones(6, 15, 4)
    assert "GRU(..., batch_first=True)" in hint_of(lambda: Reader(4, 8, batch_first=False)(x, state))
    Reader(4, 8, batch_first=True)(x, state)


def test_a_squeeze_that_took_the_batch():
    @typed
    def f(x: Float[Tensor, "batch 1 n"]) -> Float[Tensor, "batch n"]:
        return x.squeeze()

    assert hint_of(lambda: f(ones(1, 1, 4))).startswith("`batch` is 1 here: did a squeeze() remove it?")
    f(ones(2, 1, 4))


def test_every_pair_where_a_row_is_wanted():
    @typed
    def f(p: Float[Tensor, "batch"], t: Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        return p[:, None] - t

    assert hint_of(lambda: f(ones(5), ones(5))).startswith("(5, 5) comes from broadcasting (5, 1) with (5,)")


def test_a_product_of_names_is_told():
    @typed
    def f(x: Float[Tensor, "batch classes"], y: Float[Tensor, "batch"]): ...

    with pytest.raises(DimensionError, match=r"32 is batch\*classes"):
        f(ones(8, 4), ones(32))


def test_a_loss_speaks_of_shapes():
    with pytest.raises(DimensionError, match=r"its shape is \(4, 5\), must be \(3, 4\)"):
        nn.MSELoss()(ones(3, 4), ones(4, 5))


def test_a_loss_has_no_words_of_its_own_for_several_axes():
    losses = {
        nn.MSELoss(): (ones(3, 4), ones(4, 5)),
        nn.CrossEntropyLoss(): (ones(3, 6, 5), ones(3, 4).long()),
        nn.KLDivLoss(): (ones(3, 4), ones(3, 5)),
    }
    for loss, arguments in losses.items():
        with pytest.raises(DimensionError) as caught:
            loss(*arguments)
        assert "shape = " not in str(caught.value)
        assert "place" not in str(caught.value)
    with pytest.raises(DimensionError, match=r"its axes after `batch` are \(4,\), must be \(5,\)"):
        nn.CrossEntropyLoss()(ones(3, 6, 5), ones(3, 4).long())


class Pooled(nn.Module):
    """`head` takes seven features; the mean over an axis is what it gets."""

    def __init__(self, embed: DimSize, hidden: DimSize, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.rnn, self.head = nn.GRU(embed, hidden, batch_first=True), nn.Linear(7, 2)

    def forward(self, x: Float[Tensor, "batch seq embed"]):
        return self.head(self.rnn(x)[0].mean(self.axis))


class Bare(Pooled):
    def forward(self, x):
        return self.head(self.rnn(x)[0].mean(self.axis))


def test_a_size_of_the_module_is_named_where_it_is_no_size_of_the_call():
    for make, hidden in ((Pooled, 4), (Bare, 40)):
        with pytest.raises(DimensionError, match=f"{hidden} is hidden, declared by {make.__name__}.rnn") as caught:
            make(3, hidden, axis=1)(ones(5, 6, 3))
        assert f"Make this layer with hidden={hidden}" in str(caught.value)


@pytest.mark.parametrize(("make", "axis", "seq"), [(Pooled, 2, 4), (Pooled, 1, 4), (Bare, 2, 4)])
def test_a_size_that_agrees_by_chance_is_no_cause(make, axis, seq):
    with pytest.raises(DimensionError, match="Make this layer with in_features=4") as caught:
        make(3, 4, axis)(ones(5, seq, 3))
    assert "4 is hidden" not in str(caught.value)


def test_two_arguments_that_disagree_are_not_explained_by_a_layer():
    class Reading(Pooled):
        def forward(self, x: Float[Tensor, "batch seq embed"], state: Float[Tensor, "layers batch hidden"]): ...

    with pytest.raises(DimensionError, match="batch is 4, must be 5") as caught:
        Reading(3, 4, 1)(ones(5, 6, 3), ones(1, 4, 4))
    assert "4 is hidden" not in str(caught.value)


def test_a_product_that_lacks_a_step():
    @typed
    def loss(logits: Float[Tensor, "batch seq vocab"], ids: Float[Tensor, "batch seq"]):
        return nn.CrossEntropyLoss()(logits.flatten(0, 1), ids[:, 1:].flatten().long())

    with pytest.raises(DimensionError, match=r"120 is batch\*seq, 114 is batch\*\(seq-1\)\n +in loss: batch=6, seq=20"):
        loss(ones(6, 20, 9), ones(6, 20))


def test_axes_are_joined_to_a_product_of_names():
    @typed
    def merge(x: Float[Tensor, "batch seq heads*width"], of_head: Float[Tensor, "heads width"]): ...

    with pytest.raises(DimensionError) as caught:
        merge(torch.ones(2, 3, 4, 5), torch.ones(4, 5))
    assert caught.value.hint == "Axes 2 and 3 should be one axis: `x.flatten(2)` fits."


@pytest.mark.parametrize(
    ("axis", "size", "wanted"),
    [
        ("2*n+1", 4, "1 more than a multiple of 2"),
        ("2*n-1", 4, "1 less than a multiple of 2"),
        ("1-2*n", 8, "1 minus a multiple of 2"),
        ("2*n", 3, "a multiple of 2"),
    ],
)
def test_the_sizes_that_an_expression_can_have(axis, size, wanted):
    @typed
    def f(x: Float[Tensor, axis]): ...

    with pytest.raises(DimensionError, match=f" is {size}, must be {wanted}\n"):
        f(torch.ones(size))
