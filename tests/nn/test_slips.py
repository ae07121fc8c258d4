"""What is legal and most likely a slip: an unused size, a padding index from the end, a tie the wrong way round."""

import copy
import warnings

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

import dimtyped
from dimtyped import DeclarationError, Dim, DimensionError, DimensionWarning, DimSize, TyingError, dims, nn

# Sizes that nothing uses ----------------------------------------------------------------------------------------------


class Encoder(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)


class TestUnusedSizes:
    def test_a_size_that_was_given_to_nothing(self) -> None:
        class Translator(nn.Module):
            def __init__(self, vocab: DimSize, source: DimSize, target: DimSize) -> None:
                super().__init__()
                self.encoder, self.decoder = Encoder(vocab, source), Encoder(vocab, source)

            def forward(self, x: Float[Tensor, "batch source"]) -> Tensor:
                return x

        model = Translator(10, 4, 6)  # what uses it may come above
        with pytest.warns(DimensionWarning) as told:
            model(torch.ones(2, 4))
        model(torch.ones(2, 4))
        assert [(str(each.message), each.filename) for each in told] == [
            (
                "Translator: the DimSize parameter `target`, here 6, is used neither in __init__ nor in an annotation. "
                "Pass it to the layer that it is for, or remove it.",
                __file__,
            )
        ]

    def test_each_use_counts(self) -> None:
        class Used(nn.Module):
            def __init__(
                self,
                stored: DimSize,
                given: DimSize,
                passed: DimSize,
                computed: DimSize,
                inside: DimSize,
                annotated: DimSize,
                elsewhere: DimSize,
                absent: DimSize | None = None,
            ) -> None:
                super().__init__()
                self.width = stored
                self.layer = nn.Linear(given, 2 * computed)
                self.encoder = Encoder(passed, embed=3)
                self.made = [inside for _ in range(2)]

            def forward(self, x: Float[Tensor, "batch annotated"]) -> Float[Tensor, "batch 2*elsewhere"]:
                return x

        Used(1, 2, 3, 4, 5, 6, 3)

    def test_a_subclass_uses_it_in_its_annotation(self) -> None:
        class Base(nn.Module):
            def __init__(self, hidden: DimSize) -> None:
                super().__init__()

        class Real(Base):
            def forward(self, x: Float[Tensor, "batch hidden"]) -> Tensor:
                return x

        Real(4)(torch.ones(2, 4))

    def test_a_module_above_uses_it(self) -> None:
        class Part(nn.Module):
            def __init__(self, hidden: DimSize) -> None:
                super().__init__()

            def forward(self, x: Float[Tensor, "batch _"]) -> Tensor:
                return x

        class Middle(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.parts = torch.nn.ModuleList([Part(4)])

        class Whole(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.middle = torch.nn.Sequential(Part(4))

            def forward(self, x: Float[Tensor, "batch hidden"]) -> Tensor:
                return self.middle(x)

        whole, other = Whole(), Whole()
        whole(torch.ones(2, 4))
        other.middle[0](torch.ones(2, 4))
        with pytest.warns(DimensionWarning, match="Part: the DimSize parameter `hidden`"):
            Middle().parts[0](torch.ones(2, 4))

    def test_the_first_call_may_be_compiled(self) -> None:
        class Part(nn.Module):
            def __init__(self, hidden: DimSize) -> None:
                super().__init__()

            def forward(self, x: Float[Tensor, "batch _"]) -> Tensor:
                return x * 2

        model = Part(4)
        torch.compile(model, backend="eager", fullgraph=True)(torch.ones(2, 4))
        with pytest.warns(DimensionWarning, match="the DimSize parameter `hidden`"):  # a trace warns of nothing
            model(torch.ones(2, 4))

    def test_code_that_may_read_all_of_them_is_let_be(self) -> None:
        class Keeps(nn.Module):
            def __init__(self, hidden: DimSize) -> None:
                super().__init__()
                self.config = dict(locals())

        Keeps(4)


# A padding index from the end -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [nn.Embedding, nn.EmbeddingBag])
def test_a_negative_padding_index_is_told(layer: type[torch.nn.Module]) -> None:
    text = (
        f"{layer.__name__}: padding_idx=-1 is counted from the end: row 9 of 10 is zero and never trains. "
        "For no padding leave padding_idx out; for that row give 9."
    )
    with pytest.warns(DimensionWarning) as told:
        made = layer(10, 4, padding_idx=-1)
    assert [(str(each.message), each.filename) for each in told] == [(text, __file__)]
    assert made.padding_idx == 9
    copy.deepcopy(made)
    layer(10, 4, padding_idx=9)
    layer(10, 4)


# A tie the wrong way round --------------------------------------------------------------------------------------------


class TestTransposedTies:
    def test_of_a_square_weight_whose_sizes_are_named(self) -> None:
        feat, hidden = dims(feat=16, hidden=16)
        enc, dec = nn.Linear(feat, hidden), nn.Linear(hidden, feat)
        with pytest.raises(TyingError) as caught:
            dec.weight = enc.weight
        assert str(caught.value) == (
            "Linear.weight: cannot be the weight of Linear(feat=16 -> hidden=16), whose axes are in reverse order\n"
            "    must be  (feat=16, hidden=16)    declared by Linear(hidden=16 -> feat=16)\n"
            "    got      (hidden=16, feat=16)\n\n"
            "  Both are 16, so torch would compute with a transposed weight. "
            "Transpose the other layer's weight where you use it, as in F.linear(x, other.weight.T)."
        )
        assert dec.weight is not enc.weight

    def test_of_an_embedding(self) -> None:
        vocab, embed = dims(vocab=16, embed=16)
        embedding = nn.Embedding(vocab, embed)
        wrong, right = nn.Linear(vocab, embed, bias=False), nn.Linear(embed, vocab, bias=False)
        for tied in (lambda: setattr(wrong, "weight", embedding.weight), lambda: dimtyped.tie(wrong, embedding)):
            with pytest.raises(TyingError, match="in reverse order"):
                tied()
        assert dimtyped.tie(right, embedding).weight is embedding.weight

    @pytest.mark.parametrize("sizes", [(16, 16), (Dim("hidden", 16), 16), (Dim("hidden", 16), Dim("hidden", 16))])
    def test_nothing_is_said_of_sizes_without_two_names(self, sizes: tuple[int, int]) -> None:
        enc, dec = nn.Linear(*sizes), nn.Linear(*sizes[::-1])
        dec.weight = enc.weight
        assert dec.weight is enc.weight

    def test_nor_where_the_names_are_others(self) -> None:
        feat, hidden, out = dims(feat=16, hidden=16, out=16)
        first, second, same = nn.Linear(feat, hidden), nn.Linear(hidden, out), nn.Linear(feat, hidden)
        second.weight = same.weight = first.weight
        assert second.weight is same.weight is first.weight


# Layers and directions ------------------------------------------------------------------------------------------------


class Tagger(nn.Module):
    def __init__(self, hidden: DimSize, layers: DimSize, *, both: bool) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, hidden, num_layers=layers, bidirectional=both)

    def forward(
        self, x: Float[Tensor, "seq batch 3"], state: Float[Tensor, "directions*layers batch hidden"]
    ) -> Float[Tensor, "seq batch directions*hidden"]:
        return self.rnn(x, state)[0]


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
class TestLayersAndDirections:
    def test_a_named_number_of_layers_declares_them(self, layer: type[nn.GRU]) -> None:
        module = nn.Module()
        module.rnn = layer(3, 4, num_layers=Dim("layers", 5), bidirectional=True)
        assert module._dim_scope.names == {"layers": 5, "directions": 2}
        assert type(module.rnn.num_layers) is int
        module.rnn = layer(3, 4, num_layers=Dim("layers", 5))
        assert module._dim_scope.names == {"layers": 5}
        module.rnn = layer(3, 4, num_layers=5, bidirectional=True)

    def test_a_named_number_of_directions(self, layer: type[nn.GRU]) -> None:
        for count in (1, 2):
            made = layer(3, 4, bidirectional=Dim("ways", count))
            assert made.bidirectional is (count == 2)
            assert made._dim_names == {"ways": count}
        with pytest.raises(DeclarationError, match=r"bidirectional=3 is not a number of directions"):
            layer(3, 4, bidirectional=Dim("ways", 3))

    def test_two_of_them_in_one_module(self, layer: type[nn.GRU]) -> None:
        class Two(nn.Module):
            def __init__(self, layers: DimSize) -> None:
                super().__init__()
                self.encoder = layer(3, 4, num_layers=layers, bidirectional=True)
                self.decoder = layer(3, 4, num_layers=layers)

        assert Two(2)._dim_scope.names == {"layers": 2, "directions": 2}


def test_the_state_of_a_bidirectional_layer_by_its_names() -> None:
    model = Tagger(4, 3, both=True)
    x = torch.ones(5, 2, 3)
    assert model(x, torch.ones(6, 2, 4)).shape == (5, 2, 8)
    assert copy.deepcopy(model)(x, torch.ones(6, 2, 4)).shape == (5, 2, 8)
    with pytest.raises(DimensionError, match=r"directions\*layers is 3, must be 6"):
        model(x, torch.ones(3, 2, 4))


def test_nothing_is_told_of_right_code() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Tagger(4, 3, both=True)
