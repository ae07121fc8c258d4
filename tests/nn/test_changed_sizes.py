"""Sizes that change once a model is made: the layers decide what a name means, and a call says where they disagree."""

import copy
import os
import subprocess
import sys
import textwrap
import warnings

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

import dimtyped
from dimtyped import DeclarationError, Dim, DimensionError, DimensionWarning, DimSize, VocabularyError, nn


class Model(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.out = nn.TiedDecoder(self.embedding)

    def embed(self, ids: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq embed"]:
        return self.embedding(ids)

    def forward(self, ids: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq vocab"]:
        return self.out(self.embed(ids))


def ids(last: int = 0) -> Tensor:
    return torch.tensor([[0, 1, last]])


DISAGREE = (
    r"^Model.forward: `vocab` in the annotations could mean more than one size: embedding.vocab=35, out.vocab=28\n"
    r"  Give the layers that use `vocab` the same size, or give one of them another name, as in Dim\('vocab_2', 28\); "
    r"resize tied layers together: "
    r"model.embedding, \(model.out,\) = model.embedding.resized\(35\)\.$"
)


class TestResized:
    def test_half_resized_every_call_says_so(self) -> None:
        for calls_before in (0, 1):
            model = Model(28, 4)
            for _ in range(calls_before):
                model(ids())
            model.embedding, _ = model.embedding.resized(35)
            for _ in range(3):
                with pytest.raises(DeclarationError, match=DISAGREE):
                    model(ids())
            assert model.embed(ids(34)).shape == (1, 3, 4)  # it does not use the name
            other = Model(28, 4)
            model.embedding, (model.out,) = other.embedding.resized(35)
            assert model(ids(34)).shape == (1, 3, 35)

    def test_both(self) -> None:
        model = Model(28, 4)
        model.embedding, (model.out,) = model.embedding.resized(35)
        assert model(ids(34)).shape == (1, 3, 35)
        other = copy.deepcopy(model)
        other.out.forward = lambda x: torch.ones(1, 3, 28)
        with pytest.raises(DimensionError, match="vocab is 28, must be 35") as caught:
            other(ids())
        assert "28 is vocab" not in str(caught.value)

    def test_compiled(self) -> None:
        torch.compiler.reset()
        model = Model(28, 4)
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        assert compiled(ids()).shape == (1, 3, 28)
        old = model.embedding
        model.embedding, (out,) = model.embedding.resized(35)
        with pytest.raises(Exception, match=r"embedding.vocab=35, out.vocab=28"):
            compiled(ids())
        model.out = out
        assert compiled(ids(34)).shape == (1, 3, 35)
        with pytest.warns(DimensionWarning, match="vocab shrinks from 35 to 28"):
            model.embedding = old
        with pytest.raises(Exception, match=r"embedding.vocab=28, out.vocab=35"):
            torch.compile(model, fullgraph=True, backend="eager")(ids())

    def test_with_a_stored_size_and_a_head_beside_it(self) -> None:
        class Two(nn.Module):
            def __init__(self, vocab: DimSize) -> None:
                super().__init__()
                self.vocab_size = vocab
                self.words = nn.Embedding(vocab, 4)
                self.head = nn.Linear(4, vocab)

            def forward(self, ids: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq vocab"]:
                return self.head(self.words(ids))

        model = Two(8)
        model.words = model.words.resized(12).embedding
        with pytest.raises(DeclarationError, match=r"words.vocab=12, head.vocab=8"):
            model(ids())
        model.head = nn.Linear(4, 12)
        assert model(ids(11)).shape == (1, 3, 12)

    def test_fewer_rows_of_a_declared_vocabulary_are_told(self) -> None:
        model = Model(12, 4)
        text = r"Model.embedding: vocab shrinks from 12 to 9: ids 9 to 11 have no row any more"
        with pytest.warns(DimensionWarning, match=text) as told:
            model.embedding, (model.out,) = model.embedding.resized(9)
        assert [each.filename for each in told] == [__file__]
        with pytest.warns(DimensionWarning, match=r"shrinks from 9 to 8: id 8 has no row any more"):
            model.embedding = nn.Embedding(8, 4)
        plain = torch.nn.ModuleDict({"words": nn.Embedding(12, 4)})
        plain["words"] = nn.Embedding(9, 4)  # no declared vocabulary


class TestReplacedByPlainLayers:
    @pytest.mark.parametrize("embedding", [nn.Embedding, torch.nn.Embedding])
    @pytest.mark.parametrize("linear", [nn.Linear, torch.nn.Linear])
    def test_they_inherit_the_names(self, embedding, linear) -> None:
        model = Model(28, 4)
        model.embedding, model.out = embedding(35, 4), linear(4, 35)
        for changed in (model, copy.deepcopy(model)):
            assert changed(ids(34)).shape == (1, 3, 35)
            changed.out = linear(4, 99)
            for _ in range(2):
                with pytest.raises(DeclarationError, match=r"embedding.vocab=35, out.vocab=99"):
                    changed(ids())

    def test_in_a_subclass_s_init(self) -> None:
        class Finer(Model):
            def __init__(self) -> None:
                super().__init__(28, 4)
                self.embedding = nn.Embedding(35, 4)
                self.out = nn.Linear(4, 35)

        assert Finer()(ids(34)).shape == (1, 3, 35)
        assert "(out): Linear(embed=4 -> vocab=35, bias=True)" in repr(Finer())

    def test_in_a_container(self) -> None:
        class Deep(nn.Module):
            def __init__(self, hidden: DimSize, classes: DimSize) -> None:
                super().__init__()
                self.layers = nn.Sequential(nn.Linear(hidden, hidden), nn.Linear(hidden, classes))

            def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
                return self.layers(x)

        model = Deep(4, 3)
        model.layers[1] = nn.Linear(4, 7)
        assert model(torch.ones(2, 4)).shape == (2, 7)
        assert "classes=7" in repr(model)
        model.layers.append(nn.Linear(7, 5))  # a further layer has no names to inherit
        with pytest.raises(DimensionError, match="classes is 5, must be 7"):
            model(torch.ones(2, 4))
        model = Deep(4, 3)
        model.layers = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 9))
        assert model(torch.ones(2, 4)).shape == (2, 9)
        with pytest.raises(DimensionError, match="hidden is 5, must be 4"):
            model(torch.ones(2, 5))
        assert "(0): Linear(hidden=4 -> out_features=6" in repr(model)

    def test_a_name_that_was_both_sides_of_a_layer(self) -> None:
        class Square(nn.Module):
            def __init__(self, hidden: DimSize) -> None:
                super().__init__()
                self.first, self.second = nn.Linear(hidden, hidden), nn.Linear(hidden, 3)

            def forward(self, x: Float[Tensor, "batch hidden"]) -> Tensor:
                return self.second(self.first(x))

        model = Square(4)
        model.first, model.second = nn.Linear(4, 6), nn.Linear(6, 3)
        with pytest.raises(DeclarationError, match=r"first.hidden=6, first.hidden=4, second.hidden=6"):
            model(torch.ones(2, 4))
        model.first, model.second = nn.Linear(4, 6), nn.Linear(Dim("inner", 6), 3)
        model.first = nn.Linear(Dim("hidden", 4), Dim("inner", 6))
        assert model(torch.ones(2, 4)).shape == (2, 3)

    def test_layers_that_move_up_in_a_list_inherit_nothing(self) -> None:
        model = nn.Module()
        model.layers = nn.ModuleList([nn.Linear(Dim("first", 2), 3), nn.Linear(4, 5)])
        del model.layers[0]
        assert model._dim_scope.names == {}


# transformers ---------------------------------------------------------------------------------------------------------


class Config(PretrainedConfig):
    model_type = "tiny-dimtyped"

    def __init__(self, vocab_size: int = 50, embed: int = 8, **more) -> None:
        super().__init__(**more)
        self.vocab_size, self.embed = vocab_size, embed


class GPT(PreTrainedModel, nn.Module):
    config_class = Config
    _tied_weights_keys = {"head.weight": "wte.weight"}  # noqa: RUF012  # as transformers has it

    def __init__(self, config: Config, vocab: DimSize = 50, embed: DimSize = 8) -> None:
        super().__init__(config)
        self.wte = nn.Embedding(vocab, embed)
        self.head = nn.Linear(embed, vocab)
        self.post_init()

    def get_input_embeddings(self):
        return self.wte

    def set_input_embeddings(self, value):
        self.wte = value

    def get_output_embeddings(self):
        return self.head

    def set_output_embeddings(self, new_embeddings):
        self.head = new_embeddings

    def forward(self, ids: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq vocab"]:
        return self.head(self.wte(ids))


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_resize_token_embeddings_of_transformers(tied: bool) -> None:
    model = GPT(Config(tie_word_embeddings=tied))
    assert model(ids(49)).shape == (1, 3, 50)
    for size in (60, 55):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DimensionWarning)  # 55 is fewer than 60
            model.resize_token_embeddings(size)
        assert model(ids(size - 1)).shape == (1, 3, size)
        assert model._dim_scope.names == {"vocab": size, "embed": 8}
        assert (model.head.weight is model.wte.weight) == tied
    model.wte = model.wte.resized(70).embedding
    with pytest.raises(DeclarationError, match=r"wte.vocab=70, head.vocab=55"):
        model(ids())


# Data that was changed in place ---------------------------------------------------------------------------------------


class TestDataChangedInPlace:
    def test_fewer_rows(self) -> None:
        layer = nn.Embedding(10, 4)
        layer.weight.data = torch.ones(8, 4)
        assert layer(torch.tensor([7])).shape == (1, 4)
        with pytest.raises(VocabularyError, match=r"1 token id outside the vocabulary: 9, must be 0 to 7") as caught:
            layer(torch.tensor([9]))
        assert "Its weight is (8, 4), declared (vocab=10, embed=4): use embedding.resized(8)" in str(caught.value)
        [row] = dimtyped.status(layer).rows
        assert row.why.startswith("its weight is (8, 4), declared (vocab=10, embed=4): use embedding.resized(8)")

    def test_in_the_mode_that_looks_at_values(self) -> None:
        source = """
            import torch
            from dimtyped import VocabularyError, nn
            layer = nn.Embedding(10, 4)
            layer.weight.data = torch.ones(8, 4)
            try:
                layer(torch.tensor([9]))
            except VocabularyError as error:
                print(str(error).partition("\\n")[0])
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(source)],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"DIMTYPED": "values"},
        )
        assert "9, must be 0 to 7" in done.stdout

    def test_a_tied_bias_that_was_forgotten(self) -> None:
        embedding = nn.Embedding(10, 4)
        out = nn.TiedDecoder(embedding)
        embedding.weight.data, embedding.num_embeddings = torch.ones(12, 4), 12
        with pytest.raises(
            DimensionError, match=r"its weight is \(12, 4\), declared \(vocab=10, embed=4\): its data was replaced"
        ):
            out(torch.ones(2, 4))

    def test_any_layer(self) -> None:
        layer = nn.GRU(3, 4)
        layer.weight_ih_l0.data = torch.ones(12, 5)
        with pytest.raises(
            DimensionError, match=r"its weight_ih_l0 is \(12, 5\), declared .*Make a new layer|weight_ih_l0"
        ):
            layer(torch.ones(2, 1, 3))


# The reference engine -------------------------------------------------------------------------------------------------

REFERENCE = """
    from dimtyped import DeclarationError
    from tests.nn.test_changed_sizes import Model, ids, nn

    model = Model(28, 4)
    model.embedding, (out,) = model.embedding.resized(35)
    for _ in range(2):
        try:
            model(ids())
        except DeclarationError as error:
            print(error.dim, error.actual)
    model.out = out
    print(model(ids(34)).shape[-1])
    model.embedding, model.out = nn.Embedding(40, 4), nn.Linear(4, 40)
    print(model(ids(34)).shape[-1])
"""


def test_by_the_reference_engine() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(REFERENCE)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"DIMTYPED": "reference"},
    )
    disagree = "vocab embedding.vocab=35, out.vocab=28"
    assert done.stdout.splitlines() == [disagree, disagree, "35", "40"]


def test_the_hint_does_not_ask_for_a_parameter_that_there_is():
    class Part(nn.Module):
        def __init__(self, vocab: DimSize):
            super().__init__()
            self.embedding = nn.Embedding(vocab, 4)

    class Whole(nn.Module):
        def __init__(self, vocab: DimSize):
            super().__init__()
            self.first, self.second, self.head = Part(vocab), Part(vocab), nn.Linear(4, vocab)

        def forward(self, x: Float[Tensor, "batch vocab"]) -> Float[Tensor, "batch vocab"]:
            return x

    model = Whole(8)
    model.head = nn.Identity()
    model.first.embedding = model.first.embedding.resized(9).embedding
    with pytest.raises(DeclarationError, match="first.vocab=9, second.vocab=8") as caught:
        model(torch.ones(2, 9))
    assert caught.value.hint == (
        "give first and second one size of `vocab`, or store the size that Whole means: model.vocab = Dim('vocab', size)"
    )
    model.vocab = Dim("vocab", 9)
    assert model(torch.ones(2, 9)).shape == (2, 9)


def test_a_new_head_after_the_old_one_is_deleted_has_its_own_size():
    class Model(nn.Module):
        def __init__(self, hidden: DimSize, classes: DimSize):
            super().__init__()
            self.head = nn.Linear(hidden, classes)

        def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
            return self.head(x)

    model = Model(4, 3)
    del model.head
    model.head = nn.Linear(Dim("hidden", 4), Dim("classes", 5))
    assert model(torch.ones(2, 4)).shape == (2, 5)
    with pytest.raises(DimensionError, match="hidden is 3, must be 4"):
        model(torch.ones(2, 3))
    model = Model(4, 3)
    del model.head
    with pytest.warns(DimensionWarning, match="no layer has the size `classes` any more"):
        model.head = nn.Linear(4, 7)
    assert model(torch.ones(2, 4)).shape == (2, 7)


def test_a_deleted_layer_leaves_the_name_to_the_parameter():
    class Model(nn.Module):
        def __init__(self, hidden: DimSize):
            super().__init__()
            self.head = nn.Linear(hidden, 3)

        def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch hidden"]:
            return x

    model = Model(4)
    del model.head
    with pytest.raises(DimensionError, match="hidden is 3, must be 4"):
        model(torch.ones(2, 3))
