"""An axis to which nothing can give a size is refused once the module is made, and not before that is certain."""

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import DeclarationError, Dim, DimSize, nn

pytestmark = pytest.mark.any_engine
STATE = Float[Tensor, "directions*layers batch hidden"]


class Network(nn.Module):
    """A module with a layer; `layers` declares it where it is given."""

    def __init__(self, hidden: DimSize, layers: DimSize | None = None) -> None:
        super().__init__()
        self.gru = nn.GRU(hidden, hidden, layers or 1, bidirectional=True)


class Stateful(Network):
    def forward(self, state: STATE) -> STATE:
        return state


def test_it_is_refused_at_construction():
    with pytest.raises(DeclarationError) as caught:
        Stateful(4)
    assert str(caught.value) == (
        "Stateful.forward: the axis `directions*layers` can have no size: nothing binds `directions` and `layers`\n"
        "  Declare `directions` or `layers` as a DimSize parameter, or give a tensor an axis of that name."
    )
    assert (caught.value.argument, caught.value.dim) == ("state", "directions")
    assert Stateful(4, layers=2)(torch.ones(4, 1, 4)).shape == (4, 1, 4)


def test_another_method_of_the_class():
    class Other(Network):
        def decode(self, x: Float[Tensor, "batch hidden"]) -> STATE:
            return x

    with pytest.raises(DeclarationError, match=r"Other.decode: the axis `directions\*layers` can have no size"):
        Other(4)


def test_a_name_that_is_misspelt():
    class Misspelt(Network):
        def forward(self, x: Float[Tensor, "batch hiden*layer"]): ...

    with pytest.raises(DeclarationError, match="nothing binds `hiden` and `layer`\n  Did you mean `hidden`?"):
        Misspelt(4)


class NotPassed(Network):
    """The state is left out by its callers."""

    def forward(self, x: Float[Tensor, "batch hidden"], state: STATE | None = None, *others: STATE) -> Tensor:
        return x


class Overridden(Stateful):
    """The method that no call could take is replaced."""

    def forward(self, x: Float[Tensor, "batch hidden"]) -> Tensor:
        return x


class Decoding(Network):
    """A base class, of which one method is for classes that declare more."""

    def decode(self, state: STATE) -> STATE:
        return state


class Unused(Decoding):
    """It never calls that method."""

    def forward(self, x: Float[Tensor, "batch hidden"]) -> Tensor:
        return x


class SetUpLater(nn.Module):
    """The layers come after `__init__`."""

    def __init__(self, hidden: DimSize) -> None:
        super().__init__()
        self.start = nn.Linear(hidden, hidden)

    def setup(self) -> None:
        self.gru = nn.GRU(4, 4, Dim("layers", 2), bidirectional=True)

    def forward(self, state: STATE) -> STATE:
        return state


class Empty(nn.Module):
    """Its users give it layers."""

    def forward(self, state: STATE) -> STATE:
        return state


class Lazy(nn.Module):
    """A layer has no sizes yet."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.LazyLinear(4)

    def forward(self, state: STATE) -> STATE:
        return state


class NotYetDefined(Network):
    def forward(self, state: "Later") -> "Later":  # resolved at the first call
        return state


@pytest.mark.parametrize(
    "make", [NotPassed, Overridden, Unused, SetUpLater, NotYetDefined], ids=lambda cls: cls.__name__
)
def test_what_may_be_right_is_made(make):
    model = make(4)
    if make is not SetUpLater and make is not NotYetDefined:
        assert model(torch.ones(2, 4)).shape == (2, 4)


def test_names_that_come_later_count():
    model, empty = SetUpLater(4), Empty()
    model.setup()
    empty.gru = nn.GRU(4, 4, Dim("layers", 2), bidirectional=True)
    for made in (model, empty):
        assert made(torch.ones(4, 1, 4)).shape == (4, 1, 4)
    with pytest.raises(DeclarationError, match=r"directions\*layers"):
        Lazy()(torch.ones(4, 1, 4))
