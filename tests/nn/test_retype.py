import copy

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

import dimtyped
from dimtyped import DeclarationError, DimensionError, nn, retype, untype


class Foreign(torch.nn.Linear):
    """A subclass by another."""


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Embedding(20, 8), torch.nn.Linear(8, 12), torch.nn.ReLU(), Foreign(12, 12), torch.nn.Linear(12, 20)
    )


def test_retype_changes_classes_in_place_and_nothing_else() -> None:
    plain = model()
    parameters = dict(plain.named_parameters())
    modules = list(plain.modules())
    assert retype(plain) is plain
    assert [type(layer) for layer in plain] == [nn.Embedding, nn.Linear, torch.nn.ReLU, Foreign, nn.Linear]
    assert all(a is b for a, b in zip(plain.modules(), modules, strict=True))
    assert all(parameter is parameters[name] for name, parameter in plain.named_parameters())


def test_untype_gives_every_class_back() -> None:
    plain = model()
    classes = [type(module) for module in plain.modules()]
    assert [type(module) for module in untype(retype(plain)).modules()] == classes


def test_a_retyped_model_computes_the_same_and_checks() -> None:
    plain = model()
    typed = retype(copy.deepcopy(plain))
    tokens = torch.randint(0, 20, (3, 5))
    assert torch.equal(typed(tokens), plain(tokens))
    with pytest.raises(DimensionError, match=r"argument `input` does not fit: in_features is 9, must be 8"):
        typed[1](torch.ones(3, 9))


def test_a_retyped_recurrent_layer_computes_the_same() -> None:
    torch.manual_seed(0)
    plain = torch.nn.GRU(4, 6, bidirectional=True, batch_first=True)
    inputs = torch.randn(2, 3, 4)
    output, state = retype(copy.deepcopy(plain))(inputs)
    assert torch.equal(output, plain(inputs)[0])
    assert torch.equal(state, plain(inputs)[1])


def test_names_go_to_sizes_that_only_one_of_them_has() -> None:
    typed = retype(model(), names={"embed": 8, "hidden": 12})
    assert repr(typed[1]) == "Linear(embed=8 -> hidden=12, bias=True)"
    assert repr(typed[0]) == "Embedding(vocab=20 -> embed=8)"


def test_a_size_that_two_names_have_gets_neither() -> None:
    typed = retype(torch.nn.Sequential(torch.nn.Linear(8, 4)), names={"embed": 8, "heads": 8})
    assert repr(typed[0]) == "Linear(in_features=8, out_features=4, bias=True)"


def test_a_layer_whose_weight_contradicts_its_sizes_stays_plain_and_says_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    layer = torch.nn.Linear(256, 100)
    layer.weight = torch.nn.Parameter(torch.zeros(100, 128))  # tied to a narrower embedding; torch runs it
    plain = retype(torch.nn.Sequential(layer))
    assert type(plain[0]) is torch.nn.Linear
    dimtyped.status(plain)
    assert "skipped: its weight is (100, 128), declared (100, 256)" in capsys.readouterr().out


def test_a_module_around_retyped_layers_learns_their_names() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = torch.nn.Linear(8, 4)

        def forward(self, x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch classes"]:
            return self.out(x)

    net = retype(Net(), names={"embed": 8})
    net(torch.ones(2, 8))
    with pytest.raises(DimensionError, match="embed is 9, must be 8"):
        net(torch.ones(2, 9))


@pytest.mark.parametrize("function", [retype, untype, dimtyped.status])
def test_something_that_is_no_module_is_refused(function: object) -> None:
    with pytest.raises(DeclarationError, match=r"takes a torch.nn.Module, not \[1\] of type list"):
        function([1])  # type: ignore[operator]
