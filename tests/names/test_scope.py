"""Names over whole models: blocks repeated and shared, encoder and decoder, layers replaced, added and taken away."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from dimtyped import DeclarationError, Dim, DimensionError, DimSize, dims, nn


class Block(nn.Module):
    def __init__(self, width: DimSize, inner: DimSize) -> None:
        super().__init__()
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        return x + self.down(torch.relu(self.up(x)))


class Stack(nn.Module):
    def __init__(self, width: DimSize, inners: list[int], *, shared: bool = False) -> None:
        super().__init__()
        blocks = [Block(width, inner) for inner in inners]
        self.blocks = nn.ModuleList(blocks[:1] * len(blocks) if shared else blocks)

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        for block in self.blocks:
            x = block(x)
        return x


def names(module: Any) -> dict[str, int]:
    return module._dim_scope.names


# Blocks ---------------------------------------------------------------------------------------------------------------


def test_repeated_blocks_each_have_their_own_names() -> None:
    model = Stack(4, [8, 8, 16])
    assert model(torch.ones(2, 4)).shape == (2, 4)
    assert [names(block)["inner"] for block in model.blocks] == [8, 8, 16]
    assert names(model) == {"width": 4}  # the blocks do not agree on `inner`, which the stack does not use
    assert names(Stack(4, [8, 8])) == {"width": 4, "inner": 8}


def test_a_block_of_another_width_is_named_with_its_own_class() -> None:
    model = Stack(4, [8, 8])
    model.blocks.append(Block(5, 8))
    with pytest.raises(DimensionError, match=r"Block\.forward .*: argument `x` does not fit: width is 4, must be 5"):
        model(torch.ones(2, 4))


def test_a_shared_block() -> None:
    model = Stack(4, [8, 8, 8], shared=True)
    assert len({id(block) for block in model.blocks}) == 1
    assert model(torch.ones(2, 4)).shape == (2, 4)
    again = copy.deepcopy(model)
    assert len({id(block) for block in again.blocks}) == 1
    assert names(again) == names(model)


def test_one_layer_in_two_modules_declares_in_both() -> None:
    (embed,) = dims(embed=4)
    shared = nn.Linear(embed, 3)

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = shared

    first, second = Holder(), Holder()
    assert names(first) == names(second) == {"embed": 4}
    second.layer = nn.Linear(5, 3)
    assert (names(first), names(second)) == ({"embed": 4}, {"embed": 5})


# Encoder and decoder --------------------------------------------------------------------------------------------------


class Encoder(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.gru = nn.GRU(embed, hidden, batch_first=True, bidirectional=True)

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "layers batch hidden"]:
        return self.gru(self.embedding(tokens))[1]


class Decoder(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.gru = nn.GRU(embed, hidden, batch_first=True)
        self.out = nn.TiedDecoder(self.embedding, hidden, project=True)

    def forward(
        self, tokens: Int[Tensor, "batch seq"], state: Float[Tensor, "layers batch hidden"]
    ) -> Float[Tensor, "batch seq vocab"]:
        return self.out(self.gru(self.embedding(tokens), state)[0])


class Seq2Seq(nn.Module):
    def __init__(self, source: tuple[int, int, int], target: tuple[int, int, int], *, bridged: bool = True) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(*source), Decoder(*target)
        self.bridge = nn.StateBridge(self.encoder.gru, self.decoder.gru) if bridged else nn.Identity()

    def forward(
        self, source: Int[Tensor, "batch seq"], target: Int[Tensor, "batch out"]
    ) -> Float[Tensor, "batch out words"]:
        return self.decoder(target, self.bridge(self.encoder(source)))


def tokens(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.long)


def test_encoder_and_decoder_have_their_own_sizes() -> None:
    model = Seq2Seq((20, 3, 8), (30, 5, 6))
    assert model(tokens(2, 7), tokens(2, 4)).shape == (2, 4, 30)
    assert (names(model.encoder)["hidden"], names(model.decoder)["hidden"]) == (8, 6)
    assert names(model) == {}  # they agree on nothing, and the model uses none of it
    assert names(Seq2Seq((20, 3, 8), (30, 3, 6))) == {"embed": 3}


def test_without_the_bridge_the_decoder_says_what_it_needs() -> None:
    model = Seq2Seq((20, 3, 8), (30, 5, 6), bridged=False)
    with pytest.raises(
        DimensionError, match=r"Decoder\.forward .*: argument `state` does not fit: hidden is 8, must be 6"
    ):
        model(tokens(2, 7), tokens(2, 4))


def test_a_name_on_which_the_children_do_not_agree() -> None:
    class Using(Seq2Seq):
        def forward(self, source: Int[Tensor, "batch seq"]) -> Float[Tensor, "layers batch hidden"]:  # type: ignore[override]  # another call
            return self.encoder(source)

    with pytest.raises(DeclarationError, match=r"encoder\.hidden=8, decoder\.hidden=6"):
        Using((20, 3, 8), (30, 5, 6))(tokens(2, 7))
    assert Using((20, 3, 8), (30, 5, 8))(tokens(2, 7)).shape == (2, 2, 8)


# Replaced, added, taken away ------------------------------------------------------------------------------------------


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        hidden, classes = dims(hidden=8, classes=3)
        self.body = nn.Linear(4, hidden)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch classes"]:
        return self.head(self.body(x))


def test_a_replaced_layer_declares_its_name_anew() -> None:
    model = Head()
    model.head = nn.Linear(8, Dim("classes", 5))
    assert names(model) == {"hidden": 8, "classes": 5}
    assert model(torch.ones(2, 4)).shape == (2, 5)


def test_a_replaced_layer_whose_name_another_still_holds() -> None:
    model = Head()
    model.body = nn.Linear(4, Dim("hidden", 9))
    assert names(model) == {"classes": 3}
    with pytest.raises(RuntimeError):  # torch's: no annotation uses `hidden`
        model(torch.ones(2, 4))
    model.head = nn.Linear(9, 3)
    assert names(model) == {"hidden": 9, "classes": 3}
    assert model(torch.ones(2, 4)).shape == (2, 3)


BRINGING: dict[str, Callable[[Head, torch.nn.Module], object]] = {
    "assignment": lambda model, layer: setattr(model, "more", layer),
    "add_module": lambda model, layer: model.add_module("more", layer),
    "register_module": lambda model, layer: model.register_module("more", layer),
    "a new container": lambda model, layer: setattr(model, "more", nn.ModuleDict({"a": layer})),
    "a container's update": lambda model, layer: model.named.update({"a": nn.ReLU(), "b": layer}),
    "a container's append": lambda model, layer: model.listed.append(layer),
    "a container in a container": lambda model, layer: model.listed.append(nn.Sequential(layer)),
}


@pytest.mark.parametrize("bring", BRINGING.values(), ids=BRINGING)
def test_each_way_of_bringing_a_layer(bring: Callable[[Head, torch.nn.Module], object]) -> None:
    model = Head()
    model.named, model.listed = nn.ModuleDict(), nn.ModuleList()
    modules = list(model.modules())
    with pytest.raises(DeclarationError, match="`classes` has two sizes: 4 by"):
        bring(model, nn.Linear(2, Dim("classes", 4)))
    assert list(model.modules()) == modules
    bring(model, nn.Linear(2, Dim("other", 4)))
    assert names(model) == {"hidden": 8, "classes": 3, "other": 4}


TAKING: dict[str, Callable[[Head], object]] = {
    "delattr": lambda model: delattr(model, "more"),
    "None": lambda model: setattr(model, "more", None),
    "another": lambda model: setattr(model, "more", nn.Identity()),
    "pop": lambda model: model.more.pop(0),
    "del": lambda model: model.more.__delitem__(slice(None)),
    "slice": lambda model: model.more.__setitem__(slice(None), []),
}


@pytest.mark.parametrize("take", TAKING.values(), ids=TAKING)
def test_each_way_of_taking_a_layer_away(take: Callable[[Head], object]) -> None:
    model = Head()
    model.more = nn.ModuleList([nn.Linear(2, Dim("other", 4))])
    assert names(model)["other"] == 4
    take(model)
    assert names(model) == {"hidden": 8, "classes": 3}


def test_untouched_by_a_deleted_attribute_that_is_no_layer() -> None:
    model = Head()
    model.note = "a note"
    del model.note
    with pytest.raises(AttributeError):
        del model.nothing
    assert names(model) == {"hidden": 8, "classes": 3}


def test_two_embeddings_with_plain_sizes_never_clash() -> None:
    class Gpt(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(50257, 8), nn.Embedding(1024, 8)

    assert names(Gpt()) == {}
