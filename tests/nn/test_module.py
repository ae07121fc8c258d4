"""`Module` as a scope of names: what declares, what a name means in a method's annotation, and when two sizes clash."""

import abc
import copy
import dataclasses
import functools
import io
import pickle
import subprocess
import sys
import textwrap
from collections import OrderedDict
from typing import Generic, Optional, TypeVar

import pytest
import torch
from hypothesis import example, given, strategies as st
from jaxtyping import Float, Int
from torch import Tensor

import dimtyped
from dimtyped import DeclarationError, Dim, DimensionError, DimensionWarning, DimSize, dims, nn, typed
from dimtyped.testing import broken_calls, calls

T = TypeVar("T")


class Head(nn.Module):
    """Declares hidden and classes by its parameters and by its layer."""

    def __init__(self, hidden: DimSize, classes: DimSize):
        super().__init__()
        self.out = nn.Linear(hidden, classes)

    def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
        return self.out(x)


class Named(nn.Module):
    """Declares nothing by itself: its annotations use `hidden`."""

    def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch hidden"]:
        return x


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


def refuses(module, *shape: int, dim: str = "hidden", argument: str = "x") -> DimensionError:
    """The module refuses a tensor of this shape, by this name."""
    with pytest.raises(DimensionError) as caught:
        module(ones(*shape))
    assert (caught.value.dim, caught.value.argument) == (dim, argument)
    return caught.value


# What declares --------------------------------------------------------------------------------------------------------


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
        with pytest.warns(DimensionWarning, match="no layer carries `hidden` any more, which width did"):
            module.width = 5
        assert module(ones(2, 7)).shape == (2, 7)

    def test_a_deleted_attribute_takes_the_name_back(self):
        module = Named()
        module.width = Dim("hidden", 4)
        with pytest.warns(DimensionWarning, match="no layer carries `hidden` any more"):
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
        with pytest.warns(DimensionWarning, match="no layer carries `hidden` any more, which held"):
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
        with pytest.warns(DimensionWarning, match="no layer carries `hidden` any more, which layer did"):
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


# Two sizes ------------------------------------------------------------------------------------------------------------


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


# What is replaced after construction ----------------------------------------------------------------------------------


class TestReplacedLayers:
    def test_a_new_head_of_another_size_is_no_false_alarm(self):
        model = Head(4, classes=3)
        model.out = nn.Linear(4, 7)
        assert model(ones(2, 4)).shape == (2, 7)
        assert "(out): Linear(hidden=4 -> classes=7" in repr(model)

    def test_a_new_head_of_the_same_size_keeps_the_name(self):
        model = Head(4, classes=3)
        model.out = nn.Linear(4, 3)
        refuses(model, 2, 5)

    @pytest.mark.parametrize("head", [torch.nn.Linear(4, 7), nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 7))])
    def test_whatever_the_new_head_is_it_inherits_the_names(self, head):
        model = Head(4, classes=3)
        model.out = head
        assert model(ones(2, 4)).shape == (2, 7)
        refuses(model, 2, 5)
        model.out.forward = lambda x: ones(2, 3)
        with pytest.raises(DimensionError, match="classes is 3, must be 7"):
            model(ones(2, 4))

    def test_a_head_that_has_no_sizes_takes_the_name_away_and_that_is_told(self):
        model = Head(4, classes=3)
        with pytest.warns(DimensionWarning, match=r"Head: no layer carries `\w+` any more, which out did") as told:
            model.out = torch.nn.Identity()
        assert [("`classes`" in str(each.message), each.filename) for each in told] == [
            (True, __file__),
            (False, __file__),
        ]
        assert model(ones(2, 4)).shape == (2, 4)

    def test_a_name_that_no_annotation_uses_goes_without_a_word(self):
        model = Named()
        model.other = nn.Linear(Dim("other", 4), 3)
        model.other = torch.nn.Identity()

    def test_in_a_container(self):
        class Deep(Head):
            def __init__(self, hidden: DimSize, classes: DimSize):
                nn.Module.__init__(self)
                self.out = nn.Sequential(nn.Linear(hidden, hidden), nn.Linear(hidden, classes))

        model = Deep(4, 3)
        model.out[-1] = nn.Linear(4, 7)
        assert model(ones(2, 4)).shape == (2, 7)
        refuses(model, 2, 5)

    def test_a_subclass_may_replace_the_head_in_its_init(self):
        class Finer(Head):
            def __init__(self, hidden: int):
                super().__init__(hidden, classes=3)
                self.out = nn.Linear(hidden, 7)

        assert Finer(4)(ones(2, 4)).shape == (2, 7)


# Scopes in scopes -----------------------------------------------------------------------------------------------------


class Pair(nn.Module):
    """A parent that uses a name only its children declare."""

    def __init__(self, first: int, second: int):
        super().__init__()
        self.encoder, self.decoder = Head(first, 3), Head(second, 3)

    def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
        return self.encoder(x)


class TestNestedScopes:
    def test_a_parent_may_use_its_childrens_names(self):
        assert Pair(4, 4)(ones(2, 4)).shape == (2, 3)
        error = refuses(Pair(4, 4), 2, 5)
        assert error.where == "Pair.forward"

    def test_a_name_that_they_do_not_agree_on_is_an_error_that_lists_the_owners(self):
        with pytest.raises(DeclarationError, match="encoder.hidden=4, decoder.hidden=5") as caught:
            Pair(4, 5)(ones(2, 4))
        assert (caught.value.where, caught.value.dim) == ("Pair.forward", "hidden")

    def test_such_a_name_that_is_not_used_does_no_harm(self):
        class Free(Pair):
            def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch classes"]:
                return self.encoder(x)

        assert Free(4, 5)(ones(2, 4)).shape == (2, 3)

    def test_the_parents_own_word_settles_it(self):
        class Own(Pair):
            def __init__(self, hidden: DimSize):
                super().__init__(4, 5)

        assert Own(4)(ones(2, 4)).shape == (2, 3)
        refuses(Own(4), 2, 5)

    def test_children_in_containers(self):
        class Stack(Named):
            def __init__(self, *sizes):
                super().__init__()
                self.blocks = nn.ModuleList(Head(size, 3) for size in sizes)

        refuses(Stack(4, 4), 2, 5)
        with pytest.raises(DeclarationError, match=r"blocks.0.hidden=4, blocks.1.hidden=5"):
            Stack(4, 5)(ones(2, 4))

    def test_a_child_replaced_is_asked_anew(self):
        model = Pair(4, 5)
        model.decoder = Head(4, 3)
        assert model(ones(2, 4)).shape == (2, 3)

    def test_a_child_changed_below_is_asked_anew(self):
        first, second, model = Named(), Named(), Named()
        first.width, second.width = Dim("hidden", 4), Dim("hidden", 5)
        model.first, model.second = first, second
        with pytest.raises(DeclarationError, match="first.hidden=4, second.hidden=5"):
            model(ones(2, 4))
        model.second.width = Dim("hidden", 4)
        assert model(ones(2, 4)).shape == (2, 4)
        refuses(model, 2, 5)
        model.first.width = model.second.width = Dim("hidden", 6)
        assert model(ones(2, 6)).shape == (2, 6)

    def test_names_do_not_go_down(self):
        class Parent(nn.Module):
            def __init__(self, hidden: DimSize):
                super().__init__()
                self.child, self.width = Named(), 2 * hidden

            def forward(self, x: Float[Tensor, "batch any"]):
                return self.child(x)

        assert Parent(4)(ones(2, 9)).shape == (2, 9)


# Methods --------------------------------------------------------------------------------------------------------------


class TestMethods:
    def test_a_forward_without_annotations_is_left_alone(self):
        def forward(self, x):
            return x

        assert type("Plain", (nn.Module,), {"forward": forward}).forward is forward

    def test_a_forward_whose_annotations_name_no_dimension_is_left_alone(self):
        class Usual(nn.Module):
            def forward(self, x: Tensor, mask: Tensor = None, scale: float = 1) -> Tensor:
                return x if mask is None else x * scale

        assert Usual()(ones(2), None, 1).shape == (2,)

    def test_an_inherited_forward_knows_the_childs_names(self):
        class Heir(Named):
            def __init__(self, hidden: DimSize):
                super().__init__()

        refuses(Heir(4), 2, 5)
        assert Named()(ones(2, 5)).shape == (2, 5)

    def test_super_forward_is_checked_with_the_same_names(self):
        class Heir(Head):
            def forward(self, y: Float[Tensor, "hidden batch"]) -> Float[Tensor, "batch classes"]:
                return super().forward(y if self.wrong else y.T)

        model = Heir(4, 3)
        model.wrong = False
        assert model(ones(4, 2)).shape == (2, 3)
        model.wrong = True
        with pytest.raises(DimensionError) as caught:
            model(ones(4, 2))
        assert (caught.value.where, caught.value.argument, caught.value.dim) == ("Head.forward", "x", "hidden")

    def test_the_result_is_checked(self):
        class Wrong(Head):
            def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
                return x

        with pytest.raises(DimensionError) as caught:
            Wrong(4, 3)(ones(2, 4))
        assert (caught.value.argument, caught.value.dim) == ("return", "classes")

    def test_typed_may_stay_where_it_is(self):
        class Encodes(Head):
            @typed
            def encode(self, x: Float[Tensor, "hidden"]) -> Float[Tensor, "hidden"]:
                return x

        with pytest.raises(DimensionError, match=r"^Encodes.encode: argument `x` does not fit: hidden is 5, must be 4"):
            Encodes(4, 3).encode(ones(5))

    def test_an_abstract_forward_stays_abstract(self):
        class Base(nn.Module, abc.ABC):
            @abc.abstractmethod
            def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch hidden"]: ...

        class Real(Base):
            def __init__(self, hidden: DimSize):
                super().__init__()

            def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch hidden"]:
                return x

        with pytest.raises(TypeError, match="abstract"):
            Base()
        refuses(Real(4), 2, 5)

    @pytest.mark.parametrize("bases", [(nn.Module, Generic[T]), (Generic[T], nn.Module)], ids=["before", "after"])
    def test_a_generic_module(self, bases):
        class Box(*bases):
            def __init__(self, hidden: DimSize):
                super().__init__()

            def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch hidden"]:
                return x

        refuses(Box[int](4), 2, 5)

    def test_mixins_before_and_after(self):
        class Loud:
            def forward(self, x):
                return super().forward(x)

        class Quiet:
            def quiet(self):
                return self

        class Mixed(Loud, Head, Quiet):
            pass

        refuses(Mixed(4, 3), 2, 5)
        assert isinstance(Mixed(4, 3).quiet(), Mixed)

    def test_a_class_may_take_keywords(self):
        class Takes(nn.Module):
            def __init_subclass__(cls, *, label: str = "", **kwargs):
                super().__init_subclass__(**kwargs)
                cls.label = label

        class Labelled(Takes, Named, label="yes"):
            pass

        assert Labelled.label == "yes"

    def test_forward_may_be_wrapped_by_torchs_decorators(self):
        class Frozen(Head):
            @torch.no_grad()
            def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
                return self.out(x)

        assert not Frozen(4, 3)(ones(2, 4)).requires_grad
        refuses(Frozen(4, 3), 2, 5)

    def test_a_static_forward(self):
        class Static(nn.Module):
            @staticmethod
            def forward(x: Float[Tensor, "rows cols"], y: Float[Tensor, "rows"]) -> Float[Tensor, "cols"]:
                return y @ x

        assert Static()(ones(2, 3), ones(2)).shape == (3,)
        with pytest.raises(DimensionError, match="rows is 4, must be 2"):
            Static()(ones(2, 3), ones(4))

    def test_forward_may_set_an_attribute(self):
        class Remembers(Head):
            def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
                self.last = x
                self.calls = getattr(self, "calls", 0) + 1
                return self.out(x)

        model = Remembers(4, 3)
        model(ones(2, 4))
        model(ones(5, 4))
        assert (model.last.shape, model.calls) == ((5, 4), 2)


# Plain torch modules --------------------------------------------------------------------------------------------------


class Plain(torch.nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.layer = nn.Linear(Dim("hidden", hidden), 3)

    @typed
    def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch out"]:
        return self.layer(x)


class TestAPlainTorchModule:
    def test_is_read_at_the_first_call(self):
        refuses(Plain(4), 2, 5)
        assert Plain(4)(ones(2, 4)).shape == (2, 3)

    def test_stored_dims_count(self):
        class Stores(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.width = Dim("hidden", 4)

            @typed
            def forward(self, x: Float[Tensor, "batch hidden"]):
                return x

        refuses(Stores(), 2, 5)

    def test_a_replaced_layer_gives_no_false_alarm(self):
        model = Plain(4)
        model(ones(2, 4))
        model.layer = nn.Linear(Dim("hidden", 5), 3)
        assert model(ones(2, 5)).shape == (2, 3)
        refuses(model, 2, 4)
        model.layer = nn.Linear(6, 3)
        assert model(ones(2, 6)).shape == (2, 3)
        model.layer = nn.Sequential(nn.Linear(Dim("other", 7), 3))
        assert model(ones(2, 7)).shape == (2, 3)

    def test_two_sizes_of_a_name_are_an_error_at_the_first_call(self):
        model = Plain(4)
        model.second = nn.Linear(Dim("hidden", 5), 3)
        with pytest.raises(DeclarationError, match="layer.hidden=4, second.hidden=5"):
            model(ones(2, 4))

    def test_in_a_typed_parent(self):
        class Parent(nn.Module):
            def __init__(self):
                super().__init__()
                self.child = Plain(4)

            def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch out"]:
                return self.child(x)

        model = Parent()
        assert model(ones(2, 4)).shape == (2, 3)
        with pytest.raises(DimensionError, match="hidden is 5, must be 4"):
            model(ones(2, 5))
        model.child.layer = nn.Linear(Dim("hidden", 5), 3)
        assert model(ones(2, 5)).shape == (2, 3)

    def test_copies_and_pickles(self):
        model = Plain(4)
        model(ones(2, 4))
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            refuses(other, 2, 5)


# Copies ---------------------------------------------------------------------------------------------------------------


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


# Compiled -------------------------------------------------------------------------------------------------------------


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


# Any history ----------------------------------------------------------------------------------------------------------

SLOTS, NAMES = st.sampled_from(["first", "second", "third"]), st.sampled_from(["a", "b"])
KINDS = st.sampled_from(["dim", "layer", "list", "plain", "append", "delete", "in place", "deepcopy", "pickle"])
CHANGE = st.tuples(KINDS, SLOTS, NAMES, st.integers(1, 3))
SIZES = st.tuples(st.integers(1, 3), st.integers(1, 3))


class Typed(nn.Module):
    def forward(self, x: Float[Tensor, "a"], y: Float[Tensor, "b"]):
        return x, y


class Lazy(torch.nn.Module):
    @typed
    def forward(self, x: Float[Tensor, "a"], y: Float[Tensor, "b"]):
        return x, y


def changed(module, kind, slot, name, size):
    """The module, or a copy of it, after one change."""
    layer = nn.Linear(Dim(name, size), 7)
    values = {"dim": Dim(name, size), "layer": layer, "list": nn.ModuleList([layer]), "plain": nn.Linear(size, 7)}
    if kind in values:
        if not isinstance(values[kind], torch.nn.Module) and slot in module._modules:
            delattr(module, slot)
        setattr(module, slot, values[kind])
    elif kind == "append" and isinstance(getattr(module, slot, None), nn.ModuleList):
        getattr(module, slot).append(layer)
    elif kind == "delete" and hasattr(module, slot):
        delattr(module, slot)
    elif kind == "in place" and isinstance(getattr(module, slot, None), nn.Linear):
        getattr(module, slot).in_features = size  # as what resizes an embedding does
    elif kind == "deepcopy":
        return copy.deepcopy(module)
    elif kind == "pickle":
        return pickle.loads(pickle.dumps(module))
    return module


class Declared:
    """What a module declares after some changes, by the rules and nothing else.

    A slot holds a kind and the claims of it. A new owner of a name that has another size is refused; what takes an
    owner's place is not. Layers decide, stored sizes count where no layer has the name.
    """

    def __init__(self):
        self.slots: dict[str, tuple[str, list[tuple[str, int]]]] = {}

    def refuses(self, kind, slot, name, size) -> bool:
        """Whether the change is an error, and the slot is left as it was, or emptied where a Dim takes a layer's place."""
        held_kind, held = self.slots.get(slot, ("", []))
        before = [] if kind == "dim" and held_kind != "dim" else held
        claims = {"dim": [(name, size)], "layer": [(name, size)], "list": [(name, size)]}.get(kind, [])
        if kind == "append" and held_kind == "list":
            claims = [*held, (name, size)]
        if len([1 for each, _ in claims if each == name]) <= len([1 for each, _ in before if each == name]):
            return False
        others = [claim for key, (_, found) in self.slots.items() if key != slot for claim in found]
        return any(each == name and other != size for each, other in [*others, *claims])

    def change(self, kind, slot, name, size):
        held_kind, held = self.slots.get(slot, ("", []))
        if kind in ("dim", "layer", "list"):
            self.slots[slot] = (kind, [(name, size)])
        elif kind == "plain":
            heirs = [(each, size) for each, _ in held] if held_kind == "layer" else []
            self.slots[slot] = ("layer", heirs)
        elif kind == "append" and held_kind == "list":
            held.append((name, size))
        elif kind == "delete":
            self.slots.pop(slot, None)
        elif kind == "in place" and held_kind == "layer":
            self.slots[slot] = ("layer", [(each, size) for each, _ in held])

    def verdicts(self, sizes) -> list[str]:
        known = {}
        for name in "ab":
            for kinds in (("layer", "list"), ("dim",)):
                found = {s for kind, claims in self.slots.values() if kind in kinds for n, s in claims if n == name}
                known.setdefault(name, found)
                known[name] = known[name] or found
        two = [f"{name} is two" for name in "ab" if len(known[name]) > 1]
        wrong = [f"{name} is not {size}" for name, size in zip("ab", sizes, strict=True) if known[name] - {size}]
        return two or wrong or ["fits"]


def verdict(module, a: int, b: int) -> str:
    try:
        module(ones(a), ones(b))
    except DimensionError as error:
        return f"{error.dim} is not {error.actual}"
    except DeclarationError as error:
        return f"{error.dim} is two"
    return "fits"


@pytest.mark.filterwarnings("ignore::dimtyped.DimensionWarning")
@given(changes=st.lists(CHANGE, max_size=12), sizes=st.lists(SIZES, min_size=12, max_size=12), calls=st.booleans())
@example(
    changes=[("layer", "first", "a", 1), ("layer", "second", "a", 1), ("layer", "first", "a", 2)],
    sizes=12 * [(1, 1)],
    calls=True,
)
def test_after_any_history_a_module_declares_what_it_holds(changes, sizes, calls):
    module, expected = Typed(), Declared()
    for change, drawn in zip(changes, sizes, strict=False):
        if expected.refuses(*change):
            had_layer = change[1] in module._modules
            with pytest.raises(DeclarationError, match="two sizes"):
                changed(module, *change)
            if change[0] == "dim" and had_layer:
                expected.change("delete", *change[1:])
        else:
            module = changed(module, *change)
            expected.change(*change)
        if calls:
            assert verdict(module, *drawn) in expected.verdicts(drawn)
    assert verdict(module, *sizes[0]) in expected.verdicts(sizes[0])


@pytest.mark.filterwarnings("ignore::dimtyped.DimensionWarning")
@given(changes=st.lists(CHANGE, max_size=12), sizes=SIZES)
@example(changes=[("dim", "first", "a", 1), ("dim", "first", "b", 1)], sizes=(2, 1))
def test_after_any_history_a_plain_module_gives_no_false_alarm(changes, sizes):
    module, history = Lazy(), Declared()
    for change in changes:
        module = changed(module, *change)
        history.change(*change)
        said = verdict(module, *sizes)
        known = {n: {s for _, found in history.slots.values() for name, s in found if name == n} for n in "ab"}
        wrong = [f"{name} is not {size}" for name, size in zip("ab", sizes, strict=True) if known[name] - {size}]
        two = [f"{name} is two" for name in "ab" if len(known[name]) > 1]
        assert said in ("fits", *wrong, *two)


class Outer(Typed):
    """A parent of the modules that change: it knows their names by inheritance alone."""

    def __init__(self):
        super().__init__()
        self.children_ = nn.ModuleList([Typed(), Typed()])


@pytest.mark.filterwarnings("ignore::dimtyped.DimensionWarning")
@given(
    changes=st.lists(st.tuples(st.integers(0, 1), CHANGE), max_size=12),
    sizes=st.lists(SIZES, min_size=13, max_size=13),
)
@example(changes=[(0, ("layer", "first", "a", 1)), (0, ("in place", "first", "a", 2))], sizes=13 * [(1, 1)])
def test_the_verdict_of_a_call_does_not_depend_on_the_calls_before_it(changes, sizes):
    called, quiet = Outer(), Outer()
    for (child, change), drawn in zip(changes, sizes, strict=False):
        for model in (called, quiet):
            try:
                model.children_[child] = changed(model.children_[child], *change)
            except DeclarationError:
                assert change[0] in ("dim", "layer", "list", "append")
        verdict(called, *drawn)
        verdict(called.children_[child], *drawn)
    assert verdict(called, *sizes[-1]) == verdict(quiet, *sizes[-1])
    for mine, other in zip(called.children_, quiet.children_, strict=True):
        assert verdict(mine, *sizes[-1]) == verdict(other, *sizes[-1])


# Everything together --------------------------------------------------------------------------------------------------


class Decoder(nn.Module):
    """The design's first page."""

    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.gru = nn.GRU(embed, hidden, batch_first=True)
        self.out = nn.TiedDecoder(self.embedding, hidden, project=True)

    def forward(
        self, tokens: Int[Tensor, "batch seq"], state: Float[Tensor, "layers batch hidden"]
    ) -> tuple[Float[Tensor, "batch seq vocab"], Float[Tensor, "layers batch hidden"]]:
        output, state = self.gru(self.embedding(tokens), state)
        return self.out(output), state


sizes = st.integers(1, 5)


class TestTheDesignsDecoder:
    @given(st.data(), sizes, sizes, sizes)
    def test_takes_what_fits(self, data, vocab, embed, hidden):
        decoder = Decoder(vocab, embed, hidden)
        (tokens, before), _ = data.draw(calls(decoder, sizes={"layers": 1}))
        logits, state = decoder(tokens, before)
        assert before.shape == (1, len(tokens), hidden)
        assert (logits.shape, state.shape) == ((*tokens.shape, vocab), before.shape)
        output, _ = decoder.gru(decoder.embedding(tokens), before)
        assert torch.equal(logits, decoder.out(output))

    @given(st.data(), sizes, sizes, sizes)
    def test_names_what_does_not(self, data, vocab, embed, hidden):
        decoder = Decoder(vocab, embed, hidden)
        broken = data.draw(broken_calls(decoder, sizes={"layers": 1}).filter(lambda broken: broken.kind != "missing"))
        with pytest.raises(DimensionError) as caught:
            decoder(*broken.args, **broken.kwargs)
        error = caught.value
        assert (error.where, error.argument) == ("Decoder.forward", broken.argument)
        if broken.kind == "size":
            tokens, state = broken.args
            right, wrong = {"hidden": (hidden, state.shape[2]), "batch": (len(tokens), state.shape[1])}[broken.dim]
            assert (error.argument, error.dim, error.expected, error.actual) == ("state", broken.dim, right, wrong)
            assert error.bindings["hidden"] == hidden

    def test_dims_made_outside_declare_too(self):
        with pytest.raises(DimensionError, match="hidden is 5, must be 4"):
            Decoder(*dims(vocab=9, embed=2, hidden=4))(torch.zeros(2, 3, dtype=torch.int64), ones(1, 2, 5))

    def test_with_other_names_for_its_sizes(self):
        decoder = Decoder(*dims(words=9, width=2, memory=4))
        assert "Embedding(words=9 -> width=2)" in repr(decoder)
        with pytest.raises(DimensionError, match="memory is 5, must be 4|hidden is 5, must be 4"):
            decoder(torch.zeros(2, 3, dtype=torch.int64), ones(1, 2, 5))

    def test_status_of_the_module_is_not_disturbed_by_retype(self):
        decoder = dimtyped.retype(dimtyped.untype(Decoder(9, 2, 4)))
        with pytest.raises(DimensionError, match="hidden is 5, must be 4"):
            decoder(torch.zeros(2, 3, dtype=torch.int64), ones(1, 2, 5))
