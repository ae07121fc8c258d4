"""Scopes in scopes, replaced layers, methods, and modules that are plain torch modules."""

import abc
import copy
import pickle
from typing import Generic

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import DeclarationError, Dim, DimensionError, DimensionWarning, DimSize, nn, typed
from tests.nn.scope_cases import Head, Named, Pair, Plain, T, ones, refuses


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
        with pytest.warns(DimensionWarning, match=r"Head: no layer has the size `\w+` any more, which out had") as told:
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
        with pytest.warns(DimensionWarning, match="no layer has the size `hidden` any more, which layer had"):
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
