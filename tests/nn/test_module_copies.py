"""A module copied, pickled and compiled keeps its names."""

import copy
import io
import pickle

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import DeclarationError, Dim, DimSize, nn, typed
from tests.nn.scope_cases import Head, Named, Pair, Plain, ones, refuses


def saved_and_loaded(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, copy.copy, lambda module: pickle.loads(pickle.dumps(module)), saved_and_loaded],
    ids=["deepcopy", "copy", "pickle", "torch.save"],
)
class TestCopies:
    def test_keep_their_names(self, copied):
        other = copied(Head(4, 3))
        assert other(ones(2, 4)).shape == (2, 3)
        refuses(other, 2, 5)

    def test_refuse_a_second_size(self, copied):
        with pytest.raises(DeclarationError, match="two sizes"):
            copied(Head(4, 3)).more = nn.Linear(Dim("hidden", 5), 2)

    def test_of_a_parent_and_its_containers(self, copied):
        model = Named()
        model.blocks = nn.ModuleList([Head(4, 3)])
        refuses(copied(model), 2, 5)


def test_a_deep_copy_changes_apart():
    model = Head(4, 3)
    model.stored = Dim("stored", 1)
    other = copy.deepcopy(model)
    other.stored = 2
    other.more = Dim("more", 5)
    model.more = Dim("more", 6)
    assert (other.more, model.more) == (5, 6)


def test_a_model_in_a_subprocess_keeps_its_names():
    import cloudpickle

    class Local(Head):
        pass

    refuses(pickle.loads(cloudpickle.dumps(Local(4, 3))), 2, 5)


class Remembering(nn.Module):
    def __init__(self, hidden: DimSize, classes: DimSize):
        super().__init__()
        self.hidden, self.classes = hidden, classes
        self.out = nn.Linear(hidden, classes)

    @typed
    def scale(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch hidden"]:
        return x * self.hidden

    def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
        self.last = x
        return self.out(self.scale(x))


class TestCompiled:
    @pytest.fixture(autouse=True)
    def fresh(self):
        torch.compiler.reset()

    def test_methods_without_a_decorator(self):
        class Calls(nn.Module):
            def __init__(self, kind, hidden: DimSize):
                super().__init__()
                self.kind = kind

            @property
            def turned(self) -> Float[Tensor, "hidden"]:
                return ones(4)

            @staticmethod
            def still(x: Float[Tensor, "n n"]):
                return x

            def scale(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch hidden"]:
                return x * 2

            def forward(self, x):
                return self.scale(x) if self.kind == "scale" else self.still(x) + self.turned

        assert torch.equal(self.compiled(Calls("scale", 4))(ones(2, 4)), 2 * ones(2, 4))
        assert torch.equal(self.compiled(Calls("still", 4))(ones(4, 4)), 2 * ones(4, 4))
        with pytest.raises(Exception, match="Calls.scale: argument `x` does not fit: hidden is 5, must be 4"):
            self.compiled(Calls("scale", 4))(ones(2, 5))
        with pytest.raises(Exception, match="Calls.still: argument `x` does not fit"):
            self.compiled(Calls("still", 4))(ones(3, 4))
        with pytest.raises(Exception, match="Calls.turned: its result does not fit|Calls.turned"):
            self.compiled(Calls("still", 5))(ones(4, 4))

    def compiled(self, model):
        return torch.compile(model, fullgraph=True, backend="eager")

    def test_a_fresh_model(self):
        model = Remembering(4, 3)
        compiled = self.compiled(model)
        assert torch.equal(compiled(ones(2, 4)), copy.deepcopy(model)(ones(2, 4)))
        assert torch.equal(model.last, ones(2, 4))
        with pytest.raises(Exception, match="hidden is 5, must be 4"):
            compiled(ones(2, 5))

    def test_an_inherited_forward_and_super(self):
        class Heir(Remembering):
            def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
                return super().forward(x) + 1

        assert self.compiled(Heir(4, 3))(ones(2, 4)).shape == (2, 3)

    def test_a_plain_module_whose_layer_is_replaced(self):
        model = Plain(4)
        assert self.compiled(model)(ones(2, 4)).shape == (2, 3)
        model.layer = nn.Linear(Dim("hidden", 5), 3)
        assert self.compiled(model)(ones(2, 5)).shape == (2, 3)
        with pytest.raises(Exception, match="hidden is 4, must be 5"):
            self.compiled(model)(ones(2, 4))

    def test_children_that_do_not_agree(self):
        with pytest.raises(Exception, match="encoder.hidden=4, decoder.hidden=5"):
            self.compiled(Pair(4, 5))(ones(2, 4))
