"""`typed` on methods and classes."""

import dataclasses
import functools
from dataclasses import InitVar, dataclass
from typing import (
    NamedTuple,
)

import pytest
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from dimtyped import Dim, typed
from tests.helpers.calls import f32, refused

pytestmark = [pytest.mark.any_engine, pytest.mark.usefixtures("engine")]  # each test runs with both


class TestMethods:
    def test_a_method_of_a_plain_class(self):
        class Box:
            @typed
            def put(self, x: Float[Tensor, "n"], y: Float[Tensor, "n"]):
                return self

        box = Box()
        assert box.put(f32(2), f32(2)) is box
        error = refused(box.put, f32(2), f32(3))
        assert error.where == "Box.put"

    @pytest.mark.parametrize("outside", [True, False], ids=["typed outside", "typed inside"])
    @pytest.mark.parametrize("kind", [staticmethod, classmethod])
    def test_static_and_class_methods(self, kind, outside):
        def f(x: Float[Tensor, "n"], y: Float[Tensor, "n"]):
            return x

        def g(cls, x: Float[Tensor, "n"], y: Float[Tensor, "n"]):
            return cls

        function = f if kind is staticmethod else g

        class Box:
            method = typed(kind(function)) if outside else kind(typed(function))

        assert isinstance(vars(Box)["method"], kind)
        assert Box.method(f32(2), f32(2)) is Box().method(f32(2), f32(2)) or kind is staticmethod
        assert refused(Box.method, f32(2), f32(3)).argument == "y"
        assert refused(Box().method, f32(2), f32(3)).argument == "y"

    def test_a_static_method_that_takes_a_module_does_not_take_its_names(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden = Dim("hidden", 4)

            @staticmethod
            @typed
            def width(model, x: Float[Tensor, "hidden"]):
                return x.shape[0]

        assert Model.width(Model(), f32(3)) == 3

    def test_properties(self):
        class Box:
            def __init__(self, x):
                self._x = x

            @typed
            @property
            def x(self) -> Float[Tensor, "2 n"]:
                """The content."""
                return self._x

            @x.setter
            @typed
            def x(self, x: Float[Tensor, "2 n"]):
                self._x = x

            @property
            @typed
            def y(self) -> Float[Tensor, "3"]:
                return self._x

            @typed
            @functools.cached_property
            def z(self) -> Float[Tensor, "3"]:
                return self._x

        box = Box(f32(2, 5))
        assert box.x.shape == (2, 5)
        assert Box.x.__doc__ == "The content."
        assert refused(setattr, box, "x", f32(5)).argument == "x"
        assert refused(lambda: box.y).where == "Box.y"
        assert refused(lambda: box.z).where == "Box.z"
        assert Box(f32(3)).z.shape == (3,)

    def test_a_method_shared_by_a_module_and_another_class(self):
        """The module's names count for the module, whichever of the two comes first."""
        for order in [(0, 1), (1, 0)]:

            class Mixin:
                @typed
                def width(self, x: Float[Tensor, "hidden"]):
                    return x.shape[0]

            class Plain(Mixin):
                __slots__ = ()

            class Model(Mixin, nn.Module):
                def __init__(self):
                    super().__init__()
                    self.hidden = Dim("hidden", 4)

            both = (Plain(), Model())
            for index in order:
                assert both[index].width(f32(4)) == 4
            assert both[0].width(f32(3)) == 3
            assert refused(both[1].width, f32(3)).expected == 4

    def test_attributes_in_braces(self):
        class Box:
            width = 4

            @typed
            def put(self, x: Float[Tensor, "n {self.width}-1"]) -> Float[Tensor, "2*{self.width} n"]:
                return f32(8, x.shape[0])

        assert Box().put(f32(2, 3)).shape == (8, 2)
        error = refused(Box().put, f32(2, 4))
        assert (error.dim, error.expected, error.actual) == ("{self.width}-1", 3, 4)
        Box.width = None
        assert refused(Box().put, f32(2, 4)).argument == "x"
        del Box.width
        assert "AttributeError" in str(refused(Box().put, f32(2, 4)))

    def test_braces_read_a_default(self):
        @typed
        def f(x: Float[Tensor, "{size}"], size: int = 3, *, y: Float[Tensor, "{size}+1"] | None = None): ...

        f(f32(3), y=f32(4))
        f(f32(2), 2, y=f32(3))
        assert refused(f, f32(2)).expected == 3
        assert refused(f, f32(2), size=2, y=f32(4)).expected == 3


class TestClasses:
    def test_every_method_that_the_class_defines(self):
        @typed
        class Data:
            def __init__(self, x: Float[Tensor, "n m"]):
                self.x = x

            def __getitem__(self, index: int) -> Float[Tensor, "m"]:
                return self.x[index]

            def __len__(self):
                return len(self.x)

            @staticmethod
            def make(x: Float[Tensor, "n m"]):
                return Data(x)

            @property
            def square(self) -> Float[Tensor, "n n"]:
                return self.x

        data = Data.make(f32(2, 3))
        assert (len(data), data[0].shape) == (2, (3,))
        assert refused(Data, f32(2)).where == "Data.__init__"
        assert refused(data.__getitem__, "one").argument == "index"
        assert refused(Data.make, f32(2)).where == "Data.make"
        assert refused(lambda: data.square).dim == "n"

    @pytest.mark.parametrize("options", [{}, {"frozen": True}, {"slots": True}, {"kw_only": True}], ids=str)
    def test_a_dataclass(self, options):
        @typed
        @dataclass(**options)
        class Batch:
            x: Float[Tensor, "batch seq"]
            lengths: Int[Tensor, "batch"]
            mask: Bool[Tensor, "batch seq"] | None = None
            extra: list[Float[Tensor, "batch"]] = dataclasses.field(default_factory=list)

        x, lengths = f32(2, 3), torch.zeros(2, dtype=torch.int)
        assert Batch(x=x, lengths=lengths).extra == []
        Batch(x=x, lengths=lengths, mask=torch.zeros(2, 3, dtype=torch.bool), extra=[f32(2)])
        assert refused(Batch, x=x, lengths=lengths[:1]).dim == "batch"
        assert refused(Batch, x=x, lengths=lengths, extra=[f32(2), f32(3)]).argument == "extra"
        changed = dataclasses.replace(Batch(x=x, lengths=lengths), x=f32(2, 9))
        assert changed.x.shape == (2, 9)
        assert refused(dataclasses.replace, changed, x=f32(1, 9)).where == "Batch.__init__"

    def test_a_dataclass_with_an_init_only_field(self):
        @typed
        @dataclass
        class Batch:
            x: Float[Tensor, "n"]
            y: InitVar[Float[Tensor, "n"]]

            def __post_init__(self, y):
                self.x = self.x + y

        Batch(f32(2), f32(2))
        assert refused(Batch, f32(2), f32(3)).argument == "y"

    def test_a_named_tuple(self):
        @typed
        class Pair(NamedTuple):
            x: Float[Tensor, "n"]
            y: Float[Tensor, "n"]

        assert Pair(f32(2), f32(2))._fields == ("x", "y")
        assert refused(Pair, f32(2), f32(3)).argument == "y"

    def test_a_subclass_is_not_the_decorated_class(self):
        @typed
        class Base:
            def put(self, x: Float[Tensor, "n n"]):
                return self

        class Child(Base):
            def put(self, x: Float[Tensor, "n n"]):
                return x.shape

        assert Child().put(f32(2, 3)) == (2, 3)
