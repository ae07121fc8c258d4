"""A user's own subclass of a typed layer or container: its annotated methods are checked, its names are known."""

import copy
import pickle
import typing

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

import dimtyped
from dimtyped import Dim, DimensionError, DimSize, nn
from tests.nn.scope_cases import ones


class Adapted(nn.Linear):
    """A linear layer with a low rank beside it."""

    def __init__(self, embed: DimSize, hidden: DimSize, rank: DimSize = 2):
        super().__init__(embed, hidden)
        self.down = nn.Linear(embed, rank, bias=False)
        self.up = nn.Linear(rank, hidden, bias=False)

    def forward(self, input: Float[Tensor, "*batch embed"]) -> Float[Tensor, "*batch hidden"]:
        return super().forward(input) + self.up(self.down(input))

    def narrow(self, input: Float[Tensor, "*batch embed"]) -> Float[Tensor, "*batch rank"]:
        return self.down(input)

    @property
    def matrix(self) -> Float[Tensor, "embed hidden"]:
        return self.weight  # as a mistake: it is the other way round

    @typing.no_type_check
    def free(self, input: Float[Tensor, "*batch embed"]) -> Float[Tensor, "*batch rank"]:
        return input


class Words(nn.Embedding):
    """Its names come from what it is made with."""

    def forward(self, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq embed"]:
        return super().forward(tokens)

    @staticmethod
    def mean(x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch embed"]:
        return x.mean(1)


class Head(nn.Sequential):
    def forward(self, x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch classes"]:
        return super().forward(x)


class Pair(nn.ModuleList):
    def forward(self, x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch embed"]:
        return self[0](x)


class Bottle(torch.nn.Module):
    """A mixin by another, as public models have it."""

    def forward(self, input: Float[Tensor, "batch *_ embed"]) -> Tensor:
        return super().forward(input)


class Mixed(Bottle, nn.Linear):
    pass


def test_right_calls_pass():
    layer = Adapted(3, 4)
    assert layer(ones(2, 5, 3)).shape == (2, 5, 4)
    assert layer.narrow(ones(2, 3)).shape == (2, 2)
    assert Words(9, 4)(torch.zeros(2, 3, dtype=torch.int64)).shape == (2, 3, 4)
    assert Head(nn.Linear(3, 4), nn.Linear(4, 5))(ones(2, 3)).shape == (2, 5)
    assert Mixed(3, 4)(ones(2, 5, 3)).shape == (2, 5, 4)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: Adapted(3, 4)(ones(2, 5)), "Adapted.forward: argument `input` does not fit: embed is 5, must be 3"),
        (lambda: Adapted(3, 4).narrow(ones(2, 5)), "Adapted.narrow: argument `input` .*embed is 5, must be 3"),
        (lambda: Adapted(3, 4).matrix, "Adapted.matrix: the result .*embed is 4, must be 3; hidden is 3, must be 4"),
        (lambda: Words(9, Dim("embed", 4))(torch.zeros(3, dtype=torch.int64)), "Words.forward.*1 axis, must have 2"),
        (lambda: Words.mean(ones(2, 4)), "it has 2 axes, must have 3"),
        (lambda: Head(nn.Linear(Dim("embed", 3), 5))(ones(2, 4)), "Head.forward.*embed is 4, must be 3"),
        (lambda: Pair([nn.Linear(Dim("embed", 3), 5)])(ones(2, 3)), "Pair.forward: the result .*embed is 5, must be 3"),
        (lambda: Mixed(Dim("embed", 3), 4)(ones(2, 4)), "Mixed.forward.*embed is 4, must be 3"),
    ],
)
def test_wrong_calls_are_refused(call, match):
    with pytest.raises(DimensionError, match=match):
        call()


def test_the_error_tells_the_layer_itself_as_the_owner():
    with pytest.raises(DimensionError, match=r"embed = 3  declared by Adapted\(embed=3 -> hidden=4\)"):
        Adapted(3, 4)(ones(2, 5))


def test_no_type_check_leaves_one_out():
    assert Adapted(3, 4).free(ones(2, 7)).shape == (2, 7)


def test_a_layer_of_plain_ints_declares_nothing():
    layer = Words(9, 4)
    assert Words.mean(ones(2, 3, 7)).shape == (2, 7)
    assert layer(torch.zeros(2, 3, dtype=torch.int64)).shape == (2, 3, 4)


def test_its_names_are_known_above():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = Adapted(3, 4)

        def forward(self, x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch rank"]:
            return self.layer.narrow(x)

    assert Model()(ones(2, 3)).shape == (2, 2)
    with pytest.raises(DimensionError, match="Model.forward.*embed is 4, must be 3"):
        Model()(ones(2, 4))


def test_a_size_that_changes_is_followed():
    layer = Words(*dimtyped.dims(vocab=9, embed=4))
    layer.weight = torch.nn.Parameter(ones(9, 4))
    assert layer(torch.zeros(2, 3, dtype=torch.int64)).shape == (2, 3, 4)
    bigger = layer.resized(12).embedding
    assert (type(bigger), bigger(torch.full((2, 3), 11)).shape) == (Words, (2, 3, 4))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_check_too(copied):
    with pytest.raises(DimensionError, match="embed is 5, must be 3"):
        copied(Adapted(3, 4))(ones(2, 5))


def test_it_is_compiled_whole_at_its_first_call():
    compiled = torch.compile(Adapted(3, 4), fullgraph=True, backend="eager")
    assert compiled(ones(2, 3)).shape == (2, 4)
    with pytest.raises(Exception, match="embed is 5, must be 3"):
        compiled(ones(2, 5))


def test_status_lists_its_methods(capsys):
    found = dimtyped.status(Adapted(3, 4))
    assert (found.rows[0].state, found.rows[0].methods) == ("checked", ("forward", "narrow", "matrix"))
    assert "free (typing.no_type_check excludes it)" in capsys.readouterr().out


def test_a_subclass_without_annotations_stays_as_it_is():
    class Plain(nn.Linear):
        def forward(self, input):
            return super().forward(input) * 2

    assert Plain.forward.__code__.co_filename == __file__
    assert "_dim_scope" not in Plain(3, 4).__dict__
    assert Plain(3, 4)(ones(2, 3)).shape == (2, 4)
