"""Which names a `dimtyped.nn.Module` declares, and a second size for one."""

import copy
import dataclasses
import functools
import subprocess
import sys
import textwrap
from collections import OrderedDict
from typing import Optional

import pytest
import torch
from hypothesis import given, strategies as st
from jaxtyping import Float
from torch import Tensor

from dimtyped import DeclarationError, Dim, DimensionError, DimensionWarning, DimSize, nn
from tests.nn.scope_cases import Head, Named, ones, refuses


class TestParameters:
    def test_a_name_means_the_declared_size(self):
        assert Head(4, 3)(ones(2, 4)).shape == (2, 3)
        error = refuses(Head(4, 3), 2, 5)
        assert (error.where, error.expected, error.actual) == ("Head.forward", 4, 5)
        assert "hidden is 5, must be 4" in str(error)

    def test_by_keyword(self):
        refuses(Head(classes=3, hidden=4), 2, 5)

    def test_two_models_of_one_class_have_their_own_sizes(self):
        four, five = Head(4, 3), Head(5, 3)
        assert four(ones(2, 4)).shape == five(ones(2, 5)).shape
        refuses(four, 2, 5)
        refuses(five, 2, 4)

    def test_of_a_module_without_layers(self):
        class Scale(Named):
            def __init__(self, hidden: DimSize):
                super().__init__()

        assert Scale(4)(ones(2, 4)).shape == (2, 4)
        refuses(Scale(4), 2, 5)

    def test_arrive_as_dims(self):
        class Keeps(Named):
            def __init__(self, hidden: DimSize, *, heads: DimSize, other: int):
                super().__init__()
                seen.extend([hidden, heads, other])

        seen = []
        Keeps(4, heads=2, other=3)
        assert [repr(value) for value in seen] == ["hidden=4", "heads=2", "3"]

    def test_defaults(self):
        class Defaults(Named):
            def __init__(self, hidden: DimSize = 4):
                super().__init__()

        refuses(Defaults(), 2, 5)
        refuses(Defaults(5), 2, 4)

    @pytest.mark.parametrize("optional", [DimSize | None, Optional[DimSize]], ids=str)
    def test_optional_ones_declare_nothing_where_none_is_given(self, optional):
        class Maybe(Named):
            def __init__(self, hidden: optional = None):
                super().__init__()

        assert Maybe()(ones(2, 9)).shape == (2, 9)
        assert Maybe(None)(ones(2, 9)).shape == (2, 9)
        refuses(Maybe(4), 2, 5)

    def test_a_dim_of_another_name_keeps_it_and_declares_both(self):
        class Both(nn.Module):
            def __init__(self, hidden: DimSize):
                super().__init__()
                seen.append(hidden)

            def forward(self, x: Float[Tensor, "hidden"], y: Float[Tensor, "width"]):
                return x, y

        seen = []
        module = Both(Dim("width", 4))
        assert seen[0].name == "width"
        module(ones(4), ones(4))
        with pytest.raises(DimensionError, match="hidden is 5, must be 4"):
            module(ones(5), ones(4))
        with pytest.raises(DimensionError, match="width is 5, must be 4"):
            module(ones(4), ones(5))

    def test_plain_ints_declare_nothing(self):
        class Plain(Named):
            def __init__(self, hidden: int):
                super().__init__()
                self.hidden = hidden
                self.first, self.second = nn.Embedding(50257, 768), nn.Embedding(1024, 768)

        assert Plain(4)(ones(2, 9)).shape == (2, 9)

    @pytest.mark.parametrize("size", [-1, True, 2.0, "4"])
    def test_what_is_no_size_is_refused(self, size):
        with pytest.raises(DeclarationError, match="hidden"):
            Head(size, 3)

    def test_python_says_what_arguments_are_missing_or_too_many(self):
        with pytest.raises(TypeError, match=r"Head.__init__\(\) missing 1 required positional argument: 'classes'"):
            Head(4)
        with pytest.raises(TypeError, match=r"Head.__init__\(\) got an unexpected keyword argument 'width'"):
            Head(4, 3, width=2)

    def test_the_signature_stays(self):
        import inspect

        assert list(inspect.signature(Head).parameters) == ["hidden", "classes"]
        assert Head.__init__.__qualname__ == "Head.__init__"

    def test_every_class_of_a_chain_declares_its_own(self):
        class Wider(Head):
            def __init__(self, hidden: DimSize, inner: DimSize):
                super().__init__(hidden, classes=3)
                self.more = nn.Linear(hidden, inner)

            def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch inner"]:
                super().forward(x)
                return self.more(x)

        assert Wider(4, 6)(ones(2, 4)).shape == (2, 6)
        refuses(Wider(4, 6), 2, 5)

    def test_a_chain_that_gives_a_name_two_sizes_is_refused_and_both_are_named(self):
        class Twice(Head):
            def __init__(self, hidden: DimSize):
                super().__init__(2 * hidden, classes=3)

        with pytest.raises(DeclarationError) as caught:
            Twice(4)
        assert "`hidden` has two sizes" in str(caught.value)
        assert "Twice.__init__" in str(caught.value)
        assert "Head.__init__" in str(caught.value)

    def test_making_it_again_declares_anew(self):
        module = Head(4, 3)
        module.__init__(5, 3)
        assert module(ones(2, 5)).shape == (2, 3)
        refuses(module, 2, 4)

    def test_a_dataclass(self):
        @dataclasses.dataclass(eq=False)
        class Data(Named):
            hidden: DimSize
            rate: float = 0.1

            def __post_init__(self):
                super().__init__()
                self.layer = nn.Linear(self.hidden, 3)

        assert Data(4)(ones(2, 4)).shape == (2, 4)
        refuses(Data(4), 2, 5)
        assert type(Data(4).hidden) is int

    def test_an_init_made_by_partialmethod(self):
        class Four(Head):
            __init__ = functools.partialmethod(Head.__init__, 4)

        refuses(Four(3), 2, 5)


STRINGS = """
    from __future__ import annotations

    from typing import TYPE_CHECKING, Optional

    from jaxtyping import Float
    from torch import Tensor, ones

    from dimtyped import DimSize as Size
    from dimtyped import DimensionError, nn

    if TYPE_CHECKING:
        from elsewhere import Config

    class Late(nn.Module):
        def __init__(self, hidden: Size, classes: Optional[Size] = None, config: Config | None = None) -> None:
            super().__init__()
            self.later: Later | None = None

        def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
            return x

    class Loose(nn.Module):
        def forward(self, x, config: Config = None) -> Tensor:
            return x

    def refused(module, *shape):
        try:
            module(ones(shape))
        except DimensionError as error:
            return error.dim

    assert refused(Late(4), 2, 4) is None
    assert refused(Late(4), 2, 5) == "hidden"
    assert refused(Late(4, 3), 2, 4) == "classes"
    assert refused(Late(hidden=4, classes=4), 2, 4) is None
    assert refused(Loose(), 2, 4) is None
"""


def test_a_file_whose_annotations_are_strings(tmp_path):
    file = tmp_path / "strings.py"
    file.write_text(textwrap.dedent(STRINGS))
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, check=False)
    assert done.stderr == ""


class TestStoredDims:
    def test_declare_their_names(self):
        class Stores(Named):
            def __init__(self, sizes):
                super().__init__()
                self.width = sizes

        refuses(Stores(Dim("hidden", 4)), 2, 5)

    def test_are_dims_inside_init_and_plain_ints_after_it(self):
        class Stores(Named):
            def __init__(self, hidden: DimSize):
                super().__init__()
                self.hidden = hidden
                seen.append(repr(self.hidden))

        seen = []
        module = Stores(4)
        assert seen == ["hidden=4"]
        assert (type(module.hidden), module.hidden) == (int, 4)
        refuses(module, 2, 5)

    def test_a_layer_that_is_torchs_own_keeps_plain_ints(self):
        class ValueConstraint(Named):
            def __init__(self, hidden: DimSize):
                super().__init__()
                self.norm = torch.nn.LayerNorm((hidden,))
                self.held = nn.Sequential(torch.nn.Bilinear(hidden, hidden, 2 * hidden))

        module = ValueConstraint(4)
        sizes = [*module.norm.normalized_shape, module.held[0].in1_features, module.held[0].out_features]
        assert [(type(size), size) for size in sizes] == [(int, 4), (int, 4), (int, 8)]

    def test_after_init_too(self):
        module = Named()
        module.width = Dim("hidden", 4)
        assert type(module.width) is int
        refuses(module, 2, 5)

    def test_another_value_under_the_attribute_takes_the_name_back(self):
        module = Named()
        module.width = Dim("hidden", 4)
        with pytest.warns(DimensionWarning, match="no layer has the size `hidden` any more, which width had"):
            module.width = 5
        assert module(ones(2, 7)).shape == (2, 7)

    def test_a_deleted_attribute_takes_the_name_back(self):
        module = Named()
        module.width = Dim("hidden", 4)
        with pytest.warns(DimensionWarning, match="no layer has the size `hidden` any more"):
            del module.width
        assert module(ones(2, 7)).shape == (2, 7)


class TestLayers:
    def test_direct_children_declare_their_named_sizes(self):
        module = Named()
        module.layer = nn.Linear(Dim("hidden", 4), 3)
        error = refuses(module, 2, 5)
        assert "declared by Named.layer: Linear(hidden=4 -> out_features=3)" in str(error)

    @pytest.mark.parametrize(
        "contain",
        [
            pytest.param(lambda layer: nn.Sequential(layer, torch.nn.ReLU()), id="Sequential"),
            pytest.param(lambda layer: nn.Sequential(OrderedDict(first=layer)), id="Sequential of names"),
            pytest.param(lambda layer: nn.ModuleList([torch.nn.ReLU(), layer]), id="ModuleList"),
            pytest.param(lambda layer: nn.ModuleDict({"first": layer}), id="ModuleDict"),
            pytest.param(lambda layer: nn.ModuleList([nn.Sequential(layer)]), id="nested"),
            pytest.param(lambda layer: torch.nn.Sequential(layer), id="torch's Sequential"),
            pytest.param(lambda layer: torch.nn.ModuleList([layer]), id="torch's ModuleList"),
        ],
    )
    def test_containers_are_transparent(self, contain):
        module = Named()
        module.held = contain(nn.Linear(Dim("hidden", 4), 3))
        refuses(module, 2, 5)
        with pytest.warns(DimensionWarning, match="no layer has the size `hidden` any more, which held"):
            module.held = None
        assert module(ones(2, 7)).shape == (2, 7)

    def test_a_container_filled_later_declares_too(self):
        module = Named()
        module.held = nn.ModuleList()
        module.held.append(nn.Linear(Dim("hidden", 4), 3))
        refuses(module, 2, 5)

    def test_a_list_in_a_dict_filled_later(self):
        module = Named()
        module.held = nn.ModuleDict({"inner": nn.ModuleList()})
        module.held["inner"].extend([nn.Linear(Dim("hidden", 4), 3)])
        refuses(module, 2, 5)

    def test_by_add_module_and_register_module(self):
        for add in ("add_module", "register_module"):
            module = Named()
            getattr(module, add)("layer", nn.Linear(Dim("hidden", 4), 3))
            refuses(module, 2, 5)

    def test_a_layer_taken_away_takes_its_names_away(self):
        module = Named()
        module.layer = nn.Linear(Dim("hidden", 4), 3)
        with pytest.warns(DimensionWarning, match="no layer has the size `hidden` any more, which layer had"):
            del module.layer
        assert module(ones(2, 7)).shape == (2, 7)

    def test_a_layer_replaced_brings_its_own(self):
        module = Named()
        module.layer = nn.Linear(Dim("hidden", 4), 3)
        module.layer = nn.Linear(Dim("hidden", 5), 3)
        assert module(ones(2, 5)).shape == (2, 5)
        refuses(module, 2, 4)

    def test_the_same_layer_twice(self):
        module = Named()
        layer = nn.Linear(Dim("hidden", 4), 3)
        module.first = module.second = layer
        del module.first
        refuses(module, 2, 5)


class TestDerivedNames:
    def test_are_what_their_names_make_them(self):
        class Doubles(nn.Module):
            def __init__(self, hidden: DimSize):
                super().__init__()
                self.up = nn.Linear(hidden, 2 * hidden)
                self.down = nn.Linear(2 * hidden, hidden)

            def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch 2*hidden"]:
                return self.up(x)

        assert Doubles(4)(ones(2, 4)).shape == (2, 8)
        refuses(Doubles(4), 2, 5)
        assert "(up): Linear(hidden=4 -> 2*hidden=8, bias=True)" in repr(Doubles(4))

    def test_must_agree_with_the_names_in_them(self):
        module = Named()
        module.first = nn.Linear(Dim("hidden", 4), 3)
        with pytest.raises(DeclarationError, match=r"`2\*hidden` has two sizes: 10 by Named.second, 8 by Named.first"):
            module.second = nn.Linear(2 * Dim("hidden", 5), 3)
        assert not hasattr(module, "second")

    def test_must_agree_whichever_comes_first(self):
        module = Named()
        module.second = nn.Linear(2 * Dim("hidden", 5), 3)
        with pytest.raises(DeclarationError, match="two sizes"):
            module.first = nn.Linear(Dim("hidden", 4), 3)

    def test_of_names_that_nobody_declares_are_let_be(self):
        module = Named()
        module.second = nn.Linear(2 * Dim("other", 5), 3)
        assert module(ones(2, 7)).shape == (2, 7)

    @given(hidden=st.integers(4, 8), heads=st.integers(1, 4))
    def test_of_any_arithmetic(self, hidden, heads):
        class Any(Named):
            def __init__(self, hidden: DimSize, heads: DimSize):
                super().__init__()
                self.layers = nn.ModuleList(
                    nn.Linear(size, 1) for size in (hidden + heads, hidden * heads, hidden // heads, 2 * hidden - 1)
                )

        assert Any(hidden, heads)(ones(2, hidden)).shape == (2, hidden)
        refuses(Any(hidden, heads), 2, hidden + 1)


class TestASecondSize:
    def test_is_refused_at_the_assignment_and_both_owners_are_named(self):
        class Clash(nn.Module):
            def __init__(self):
                super().__init__()
                self.first = nn.Linear(Dim("hidden", 4), 3)
                reached.append("first")
                self.second = nn.Linear(3, Dim("hidden", 5))
                reached.append("second")

        reached = []
        with pytest.raises(DeclarationError) as caught:
            Clash()
        assert reached == ["first"]
        assert str(caught.value).startswith("Clash: `hidden` has two sizes: 5 by Clash.second, 4 by Clash.first")
        assert (caught.value.dim, caught.value.expected, caught.value.actual) == ("hidden", 4, 5)
        assert not isinstance(caught.value, TypeError)

    @pytest.mark.parametrize(
        ("bring", "owner"),
        [
            pytest.param(lambda module, dim: setattr(module, "stored", dim), "Head.stored", id="a stored Dim"),
            pytest.param(lambda module, dim: setattr(module, "more", nn.Linear(dim, 2)), "Head.more", id="a layer"),
            pytest.param(lambda module, dim: module.add_module("more", nn.GRU(dim, 2)), "Head.more", id="add_module"),
            pytest.param(
                lambda module, dim: setattr(module, "more", nn.ModuleList([nn.Linear(dim, 2)])),
                "Head.more.0",
                id="a container",
            ),
        ],
    )
    def test_leaves_the_module_as_it_was(self, bring, owner):
        module = Head(4, 3)
        before = (list(module.__dict__), list(module._modules), list(module.state_dict()))
        with pytest.raises(DeclarationError, match="two sizes") as caught:
            bring(module, Dim("hidden", 5))
        assert owner in str(caught.value)
        assert "parameter `hidden` of Head.__init__" in str(caught.value)
        assert (list(module.__dict__), list(module._modules), list(module.state_dict())) == before
        assert module(ones(2, 4)).shape == (2, 3)
        refuses(module, 2, 5)

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda held, layer: held.append(layer), id="append"),
            pytest.param(lambda held, layer: held.insert(0, layer), id="insert"),
            pytest.param(lambda held, layer: held.extend([layer]), id="extend"),
            pytest.param(lambda held, layer: held.__setitem__(0, layer), id="setitem"),
        ],
    )
    @pytest.mark.parametrize("copied", [lambda module: module, copy.deepcopy], ids=["made", "copied"])
    def test_in_a_container_is_refused_there(self, change, copied):
        module = Head(4, 3)
        module.held = nn.ModuleList([nn.Linear(3, 3)])
        module = copied(module)
        with pytest.raises(DeclarationError, match="two sizes"):
            change(module.held, nn.Linear(Dim("hidden", 5), 3))
        assert len(module.held) == 1
        assert module.held[0].in_features == 3

    def test_of_one_name_in_one_layer(self):
        module = Named()
        with pytest.raises(DeclarationError, match="`hidden` has two sizes"):
            module.layer = nn.Linear(Dim("hidden", 4), Dim("hidden", 5))

    def test_in_another_module_is_no_clash(self):
        class Two(nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.second = Head(4, 3), Head(5, 3)

        Two()
