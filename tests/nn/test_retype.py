import contextlib
import copy
import re
from typing import Any

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


def test_a_layer_that_has_lost_a_size_stays_plain_and_says_why() -> None:
    layer = torch.nn.Linear(8, 4)
    del layer.in_features
    model = retype(torch.nn.Sequential(layer))
    assert type(model[0]) is torch.nn.Linear
    assert dimtyped.status(model).rows[1].why == "it has no `in_features`, which its declaration uses"


def test_a_second_retype_names_what_the_first_has_typed() -> None:
    typed = retype(retype(model()), names={"embed": 8})
    assert repr(typed[1]) == "Linear(embed=8 -> out_features=12, bias=True)"


def test_a_name_that_was_given_stays() -> None:
    layer = nn.Linear(dimtyped.Dim("hidden", 8), 4)
    assert repr(retype(layer, names={"embed": 8, "classes": 4})) == "Linear(hidden=8 -> classes=4, bias=True)"


def test_a_count_is_not_called_by_a_widths_name() -> None:
    attention = retype(torch.nn.MultiheadAttention(8, 8), names={"embed": 8})
    assert repr(attention).startswith("MultiheadAttention(\n")
    assert attention._dim_text() == "MultiheadAttention(embed=8, heads=8)"
    gru = retype(torch.nn.GRU(2, 3, num_layers=2), names={"embed": 2})
    assert gru._dim_names == {"embed": 2}


def test_a_name_that_the_module_around_declares_with_another_size_is_not_given() -> None:
    class Net(nn.Module):
        def __init__(self, embed: dimtyped.DimSize):
            super().__init__()
            self.parts = torch.nn.ModuleList([torch.nn.Linear(9, 4)])
            self.same = torch.nn.Linear(embed, 4)

    net = retype(torch.nn.Sequential(Net(5), torch.nn.Linear(9, 4)), names={"embed": 9, "classes": 4})
    assert repr(net[0].parts[0]) == "Linear(in_features=9 -> classes=4, bias=True)"
    assert repr(net[1]) == "Linear(embed=9 -> classes=4, bias=True)"


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([("embed", 8)], "as a mapping, not [('embed', 8)] of type list\n  Write {\"embed\": 768}."),
        ({"2embed": 8}, "the name of a Dim, '2embed', is no identifier"),
        ({"embed": -8}, "the size of Dim 'embed', -8, is negative"),
    ],
)
def test_names_that_are_none_are_refused_before_anything_changes(names: Any, told: str) -> None:
    plain = torch.nn.Linear(8, 4)
    with pytest.raises(DeclarationError, match=re.escape(told)):
        retype(plain, names=names)
    assert type(plain) is torch.nn.Linear


def test_a_lazy_layer_becomes_typed_at_its_first_call() -> None:
    plain, typed = (torch.nn.Sequential(torch.nn.LazyLinear(4), torch.nn.LazyBatchNorm1d()) for _ in range(2))
    retype(typed)
    inputs = torch.randn(3, 8)
    torch.manual_seed(1)
    ours = typed(inputs)
    torch.manual_seed(1)
    assert torch.equal(ours, plain(inputs))
    assert [type(layer) for layer in typed] == [nn.Linear, nn.BatchNorm1d]
    with pytest.raises(DimensionError, match="in_features is 9, must be 8"):
        typed(torch.ones(3, 9))


def test_a_lazy_layer_goes_back() -> None:
    plain = torch.nn.Sequential(torch.nn.LazyLinear(4))
    before = set(vars(plain[0]))
    untype(retype(plain))
    assert type(plain[0]) is torch.nn.LazyLinear
    assert set(vars(plain[0])) == before
    plain(torch.ones(3, 8))
    assert type(plain[0]) is torch.nn.Linear


# Every class of torch.nn ----------------------------------------------------------------------------------------------

CLASSES = {
    cls.__name__: cls
    for cls in vars(torch.nn).values()
    if isinstance(cls, type) and issubclass(cls, torch.nn.Module) and cls not in (torch.nn.Module, torch.nn.Container)
}
ARGUMENTS: list[tuple[Any, ...]] = [(), (4,), (4, 4), (2, 4), (4, 4, 2), (4, 4, 4), ("GRU", 4, 4), (4, 5, [2])]
SPECIAL = {
    "TransformerEncoder": lambda: (torch.nn.TransformerEncoderLayer(4, 2, batch_first=True), 1),
    "TransformerDecoder": lambda: (torch.nn.TransformerDecoderLayer(4, 2), 1),
    "Transformer": lambda: (4, 2, 1, 1, 4, 0.1, "relu", None, None, 1e-5, True),
    "FractionalMaxPool2d": lambda: (2, 1),
    "FractionalMaxPool3d": lambda: (2, 1),
    "RNNCellBase": lambda: (4, 4, True, 1),
    "AdaptiveLogSoftmaxWithLoss": lambda: (4, 5, [2]),
    "Unflatten": lambda: (1, (2, 2)),
    "DataParallel": lambda: (torch.nn.ReLU(),),
}


def made(cls: type[torch.nn.Module]) -> torch.nn.Module:
    """A module of this class, of the first arguments that it takes."""
    if cls.__name__ in SPECIAL:
        return cls(*SPECIAL[cls.__name__]())
    for arguments in ARGUMENTS:
        with contextlib.suppress(TypeError, ValueError, AssertionError):
            return cls(*arguments)
    raise AssertionError(f"{cls.__name__} takes none of these arguments: give it some in SPECIAL")


@pytest.mark.filterwarnings("ignore:`NLLLoss2d` has been deprecated")
@pytest.mark.parametrize("name", CLASSES)
def test_every_class_of_torch_is_typed_and_goes_back_or_says_why_not(name: str) -> None:
    plain = made(CLASSES[name])
    before = {path: (type(module), set(vars(module))) for path, module in plain.named_modules()}
    typed = retype(plain)
    ours = getattr(nn, name)
    is_lazy = name.startswith("Lazy")
    for row in dimtyped.status(typed).rows:
        assert row.state == "checked" or (row.why and row.why != "forward is not annotated")
        if row.path == "(model)" and ours is not CLASSES[name] and not issubclass(ours, CONTAINERS):
            assert type(typed) is ours
            assert row.state == ("skipped" if is_lazy else "checked")
    assert {path: (type(module), set(vars(module))) for path, module in untype(typed).named_modules()} == before


CONTAINERS = (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict)


@pytest.mark.parametrize("function", [retype, untype, dimtyped.status])
def test_something_that_is_no_module_is_refused(function: object) -> None:
    with pytest.raises(DeclarationError, match=r"takes a torch.nn.Module, not \[1\] of type list"):
        function([1])  # type: ignore[operator]
