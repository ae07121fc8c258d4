import asyncio
import dataclasses
import functools
import random
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import InitVar, dataclass
from typing import (
    Annotated,
    Any,
    Generic,
    List,
    Literal,
    NamedTuple,
    NewType,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    Union,
)

import jaxtyping
import numpy as np
import pytest
import torch
from beartype.vale import Is
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from dimtyped import DeclarationError, Dim, DimensionError, configure, dims, typed
from dimtyped.runtime import config as _config

pytestmark = pytest.mark.any_engine  # each test runs with both
State = Float[Tensor, "layers batch hidden"]


@pytest.fixture(params=["on", "reference"], autouse=True)
def _engine(request):
    """Each test runs with each engine, whatever DIMTYPED says: it decorates its functions itself."""
    before = _config._chosen
    configure(request.param)
    yield
    configure(before)


def f32(*shape: int) -> Tensor:
    return torch.zeros(shape)


def refused(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> DimensionError:
    """The error of a call that must be refused."""
    with pytest.raises(DimensionError) as caught:
        function(*arguments, **keywords)
    return caught.value


class TestFunctions:
    def test_names_agree_across_arguments(self):
        @typed
        def add(x: Float[Tensor, "batch hidden"], y: Float[Tensor, "hidden"]):
            return x + y

        assert add(f32(2, 3), f32(3)).shape == (2, 3)
        error = refused(add, f32(2, 3), f32(4))
        assert (error.where, error.argument, error.dim) == ("add", "y", "hidden")
        assert (error.expected, error.actual) == (3, 4)
        assert error.bindings == {"batch": 2, "hidden": 3}
        assert str(error).startswith("add: argument `y` does not fit: hidden is 4, must be 3\n")

    def test_names_agree_with_the_result(self):
        @typed
        def transposed(x: Float[Tensor, "rows cols"]) -> Float[Tensor, "cols rows"]:
            return x if x.shape[0] == 7 else x.T

        assert transposed(f32(2, 3)).shape == (3, 2)
        error = refused(transposed, f32(7, 3))
        assert error.argument == "return"
        assert str(error).startswith(
            "transposed: the result does not fit: cols is 7, must be 3; rows is 3, must be 7\n"
        )

    @pytest.mark.parametrize(
        ("value", "problem", "expected", "actual"),
        [
            (f32(2), "it has 1 axis, must have 2", 2, 1),
            (f32(2, 3).int(), "its dtype is int32, must be a float dtype", "Float", "int32"),
            (None, "it is None, must be a Tensor", 'Float[Tensor, "n m"]', "None"),
            (np.zeros((2, 3)), "it is a ndarray, must be a Tensor", 'Float[Tensor, "n m"]', "ndarray"),
            ([f32(2, 3)], "it is a list of 1, must be a Tensor", 'Float[Tensor, "n m"]', "list"),
        ],
        ids=["rank", "dtype", "none", "array", "list"],
    )
    def test_says_what_is_wrong(self, value, problem, expected, actual):
        @typed
        def f(x: Float[Tensor, "n m"]): ...

        error = refused(f, value)
        assert str(error).splitlines()[0] == f"f: argument `x` does not fit: {problem}"
        assert (error.where, error.argument, error.expected, error.actual) == ("f", "x", expected, actual)

    def test_what_is_no_tensor_is_checked_by_beartype(self):
        @typed
        def f(x: Float[Tensor, "n"], mode: Literal["sum", "mean"], sizes: list[int], scale: float = 1.0): ...

        f(f32(2), "sum", [1, 2], scale=2.0)
        assert refused(f, f32(2), "max", [1]).argument == "mode"
        assert refused(f, f32(2), "sum", ["one"]).argument == "sizes"
        error = refused(f, f32(2), "sum", [1], scale="large")
        assert (error.argument, error.expected, error.actual) == ("scale", "float", "str")
        assert str(error).startswith("f: argument `scale` does not fit: it is 'large', must be float\n")

    def test_a_wrong_number_of_arguments_is_python_s_own_error(self):
        @typed
        def f(x: Float[Tensor, "n"], *, y: int): ...

        for arguments, keywords in [
            ((), {"y": 1}),
            ((f32(2),), {}),
            ((f32(2), 1), {"y": 1}),
            ((f32(2),), {"y": 1, "z": 2}),
        ]:
            with pytest.raises(TypeError, match="argument") as caught:
                f(*arguments, **keywords)
            assert type(caught.value) is TypeError

    def test_an_error_of_the_function_itself_passes_through(self):
        @typed
        def f(x: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
            raise KeyError("mine")

        for _ in range(2):
            with pytest.raises(KeyError, match="mine"):
                f(f32(2))

    def test_an_unannotated_function_stays_itself(self):
        def f(x):
            return x

        assert typed(f) is f

    def test_twice_is_once(self):
        @typed
        def f(x: Float[Tensor, "n"]): ...

        assert typed(f) is f
        method = typed(staticmethod(f))
        assert typed(method) is method

        @typed
        @property
        def size(self) -> Int[Tensor, ""]: ...

        assert typed(size) is size

    def test_what_is_no_function_is_refused_at_decoration(self):
        with pytest.raises(
            DeclarationError, match=r"^typed\(\) takes a function, a method or a class, not <built-in function len>"
        ):
            typed(len)
        with pytest.raises(DeclarationError, match="before anything wraps it"):
            typed(functools.partial(print))

    def test_no_type_check_is_respected(self):
        import typing

        @typed
        @typing.no_type_check
        def f(x: Float[Tensor, "n"]):
            return x

        assert f(3) == 3


class TestParameters:
    def test_every_kind(self):
        @typed
        def f(
            a: Float[Tensor, "n"],
            /,
            b: Float[Tensor, "n"],
            c: Float[Tensor, "n"] | None = None,
            *args: Float[Tensor, "n"],
            d: Float[Tensor, "n"],
            e: Float[Tensor, "n"] | None = None,
            **kwargs: Float[Tensor, "n"],
        ):
            return (a, b, c, args, d, e, kwargs)

        x = f32(2)
        assert f(x, b=x, d=x)[2:4] == (None, ())
        a, b, c, args, d, e, kwargs = f(x, x, x, x, x, d=x, e=x, more=x)
        assert (len(args), list(kwargs)) == (2, ["more"])
        assert all(value is x for value in (a, b, c, *args, d, e, kwargs["more"]))
        wrong = f32(3)
        assert refused(f, x, wrong, d=x).argument == "b"
        assert refused(f, x, x, wrong, d=x).argument == "c"
        assert str(refused(f, x, x, x, x, wrong, d=x)).startswith(
            "f: argument `args[1]` does not fit: n is 3, must be 2"
        )
        assert refused(f, x, x, d=wrong).argument == "d"
        assert refused(f, x, x, d=x, e=wrong).argument == "e"
        error = refused(f, x, x, d=x, more=x, most=wrong)
        assert (error.argument, error.dim) == ("kwargs", "n")

    def test_a_default_is_not_checked_and_binds_nothing(self):
        """As in beartype: a default is the author's, not the caller's."""
        default = f32(5, 5)

        @typed
        def f(x: Float[Tensor, "n"] = default, y: Float[Tensor, "n"] = None) -> Float[Tensor, "n"]:
            return f32(3) if x is default else x

        assert f().shape == (3,)
        assert f(y=f32(3)).shape == (3,)
        assert f(f32(2)).shape == (2,)
        assert refused(f, default).argument == "x"
        assert refused(f, y=f32(2)).argument == "return"
        assert refused(f, f32(2), None).argument == "y"

    def test_a_positional_only_name_may_be_a_keyword_too(self):
        @typed
        def f(x: Int[Tensor, ""], /, **kwargs: Float[Tensor, "n"]):
            return kwargs

        assert list(f(torch.tensor(1), x=f32(2))) == ["x"]

    @pytest.mark.parametrize("name", ["min", "entry", "function", "result", "isinstance", "len", "self"])
    def test_a_parameter_may_have_any_name(self, name):
        scope: dict[str, Any] = {"Annotation": Float[Tensor, "n max(n,2)"], "typed": typed}
        exec(f"@typed\ndef f({name}: Annotation, other: Annotation) -> Annotation: return other", scope)
        assert scope["f"](f32(2, 2), f32(2, 2)).shape == (2, 2)
        assert refused(scope["f"], f32(1, 1), f32(1, 2)).argument == name

    def test_expressions_use_builtins_whatever_the_parameters_are_called(self):
        @typed
        def f(min: Float[Tensor, "n"], sum: Float[Tensor, "m"]) -> Float[Tensor, "min(n,m) sum((n,m))"]:
            return f32(2, 5)

        f(f32(2), f32(3))
        assert refused(f, f32(1), f32(4)).argument == "return"


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


class TestDims:
    def test_fix_names_in_a_free_function(self):
        vocab, embed = dims(vocab=10, embed=4)

        @typed(dims=[vocab, embed])
        def logits(x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch vocab 2*embed"]:
            return f32(x.shape[0], 10, 8)

        logits(f32(3, 4))
        error = refused(logits, f32(3, 5))
        assert (error.dim, error.expected) == ("embed", 4)
        assert "embed = 4  fixed by typed(dims=...)" in str(error)

    def test_a_name_fixed_is_not_bound_by_a_star_of_the_same_name(self):
        @typed(dims=[Dim("n", 2)])
        def f(x: Float[Tensor, "*n"], y: Float[Tensor, "n"]): ...

        f(f32(5, 6), f32(2))
        assert refused(f, f32(5, 6), f32(3)).argument == "y"

    def test_dims_given_to_a_typed_function_count(self):
        @typed
        def f(x: Float[Tensor, "n"]): ...

        fixed = typed(dims=[Dim("n", 2)])(f)
        f(f32(3))
        fixed(f32(2))
        assert refused(fixed, f32(3)).expected == 2

    def test_two_sizes_for_a_name_are_refused(self):
        with pytest.raises(DeclarationError, match=r"^typed\(dims=...\) gives `n` two sizes: 2 and 3"):
            typed(dims=[Dim("n", 2), Dim("n", 3)])(lambda x: x)

    def test_only_dims(self):
        with pytest.raises(DeclarationError, match="takes Dims, not 3"):
            typed(dims=[3])(lambda x: x)


class TestContainers:
    def test_optional_and_none(self):
        @typed
        def f(x: Float[Tensor, "n"] | None, y: Float[Tensor, "n"] | None) -> None: ...

        f(None, None)
        f(None, f32(3))
        assert refused(f, f32(2), f32(3)).dim == "n"
        assert refused(f, 3, None).argument == "x"

    def test_a_union_takes_the_option_that_fits(self):
        @typed
        def f(x: Float[Tensor, "n"] | Float[Tensor, "n m"] | Int[Tensor, ""], y: Float[Tensor, "n"]): ...

        f(f32(2), f32(2))
        f(f32(2, 5), f32(2))
        f(torch.tensor(3), f32(7))
        assert refused(f, f32(2, 5), f32(3)).argument == "y"
        assert refused(f, f32(2, 5, 6), f32(2)).argument == "x"

    def test_a_refused_option_binds_nothing(self):
        @typed
        def f(x: Float[Tensor, "n m m"] | Float[Tensor, "m _ k"], y: Float[Tensor, "n"], z: Float[Tensor, "k"]): ...

        f(f32(2, 3, 4), f32(9), f32(4))
        f(f32(2, 3, 3), f32(2), f32(9))
        assert refused(f, f32(2, 3, 4), f32(9), f32(5)).argument == "z"

    def test_a_tuple(self):
        @typed
        def f(x: tuple[Float[Tensor, "n"], Float[Tensor, "n m"], int]) -> tuple[Float[Tensor, "m"], int]:
            return f32(x[2]), 3

        f((f32(2), f32(2, 4), 4))
        assert str(refused(f, (f32(2), f32(3, 4), 4))).startswith("f: argument `x[1]` does not fit: n is 3, must be 2")
        assert refused(f, (f32(2), f32(2, 4))).argument == "x"
        assert refused(f, [f32(2), f32(2, 4), 4]).argument == "x"
        assert refused(f, (f32(2), f32(2, 4), "four")).argument == "x"
        assert str(refused(f, (f32(2), f32(2, 4), 5))).startswith(
            "f: `[0]` of the result does not fit: m is 5, must be 4"
        )

    @pytest.mark.parametrize("make", [list, tuple, deque], ids=["list", "tuple", "deque"])
    @pytest.mark.parametrize("place", range(4))
    def test_every_item_of_a_sequence(self, make, place):
        """A stated difference: beartype looks at one item, at random."""
        annotations = {
            list: list[Float[Tensor, "n"]],
            tuple: tuple[Float[Tensor, "n"], ...],
            deque: deque[Float[Tensor, "n"]],
        }

        def f(x): ...

        f.__annotations__ = {"x": annotations[make]}
        f = typed(f)
        f(make([]))
        f(make([f32(2)] * 4))
        wrong = [f32(2)] * 4
        wrong[place] = f32(3)
        assert refused(f, make(wrong)).dim == "n"
        wrong[place] = None
        assert refused(f, make(wrong)).argument == "x"
        assert refused(f, f32(2)).argument == "x"

    def test_items_bind_names_for_what_follows(self):
        @typed
        def f(x: Sequence[Float[Tensor, "n"]], y: Float[Tensor, "n"]): ...

        f([], f32(5))
        assert refused(f, [f32(2)], f32(5)).argument == "y"

    @pytest.mark.parametrize("hint", [dict[str, Float[Tensor, "n"]], Mapping[str, Float[Tensor, "n"]]], ids=str)
    def test_every_value_and_key_of_a_mapping(self, hint):
        def f(x): ...

        f.__annotations__ = {"x": hint}
        f = typed(f)
        f({})
        f(OrderedDict(a=f32(2), b=f32(2)))
        assert str(refused(f, {"a": f32(2), "b": f32(3)})).startswith(
            "f: argument `x['b']` does not fit: n is 3, must be 2"
        )
        assert str(refused(f, {"a": f32(2), 3: f32(2)})).startswith(
            "f: argument `x[key 3]` does not fit: it is 3, must be str"
        )
        assert refused(f, [f32(2)]).argument == "x"

    def test_an_iterable_is_looked_into_only_if_that_does_not_use_it_up(self):
        @typed
        def f(x: Iterable[Float[Tensor, "n"]]):
            return list(x)

        assert len(f(iter([f32(2), f32(3)]))) == 2
        assert len(f(x for x in [f32(2)])) == 1
        assert refused(f, [f32(2), f32(3)]).argument == "x"
        assert refused(f, 3).argument == "x"

    def test_records_are_looked_into(self):
        """A stated difference: beartype looks at the class alone."""

        class Pair(NamedTuple):
            x: Float[Tensor, "n"]
            y: Float[Tensor, "n"]

        @dataclass
        class Batch:
            pair: Pair
            z: Float[Tensor, "n"] | None
            name: str = ""

        @typed
        def f(pair: Pair, batch: Batch) -> Float[Tensor, "n"]:
            return f32(2)

        good = Pair(f32(2), f32(2))
        f(good, Batch(good, f32(2)))
        f(good, Batch(good, None))
        assert str(refused(f, Pair(f32(2), f32(3)), Batch(good, None))).startswith("f: argument `pair.y` does not fit")
        assert str(refused(f, good, Batch(good, f32(3)))).startswith(
            "f: argument `batch.z` does not fit: n is 3, must be 2"
        )
        assert str(refused(f, good, Batch(good, None, name=3))).startswith("f: argument `batch.name` does not fit")
        assert refused(f, (f32(2), f32(2)), Batch(good, None)).argument == "pair"

    def test_a_record_that_holds_its_own_kind(self):
        f = typed(depth)
        assert f(Tree(f32(2), Tree(f32(2), None))) == 2
        assert refused(f, Tree(f32(2, 2), None)).argument == "tree"
        assert refused(f, Tree(f32(2), f32(2))).argument == "tree"

    def test_nested(self):
        @typed
        def f(x: list[tuple[dict[str, Float[Tensor, "n"]] | None, Int[Tensor, "m"]]]) -> list[list[Float[Tensor, "n"]]]:
            return [[f32(2)], [], [f32(2), f32(2)]]

        ids = torch.zeros(3, dtype=torch.int)
        f([({"a": f32(2)}, ids), (None, ids), ({}, ids)])
        error = refused(f, [({"a": f32(2)}, ids), ({"a": f32(2), "b": f32(4)}, ids)])
        assert (
            str(error).startswith("f: argument `x[1][0]['b']` does not fit: n is 4, must be 2") or error.argument == "x"
        )
        assert refused(f, [({"a": f32(4)}, ids)]).argument == "return"


class Tree(NamedTuple):
    x: Float[Tensor, "n"]
    below: "Tree | None"


def depth(tree: Tree) -> int:
    return 1 + (depth(tree.below) if tree.below else 0)


class TestOtherHints:
    """Hints that beartype cannot check, or checks by their class alone, stop nobody."""

    def test_self_and_paramspec_and_unbound_type_variables(self):
        P, T = ParamSpec("P"), TypeVar("T")

        class Box(Generic[T]):
            @typed
            def put(self, x: Float[Tensor, "n"], other: T, *args: P.args, **kwargs: P.kwargs) -> Self:
                return self

        box: Box[int] = Box()
        assert box.put(f32(2), 3, "more", even=1) is box
        assert refused(box.put, f32(2, 2), 3).argument == "x"

    def test_a_protocol_that_cannot_be_checked(self):
        class Sized(Protocol):
            def size(self) -> int: ...

        @typed
        def f(x: Float[Tensor, "n"], y: Sized): ...

        f(f32(2), 3)

    def test_a_callable_of_tensors_is_a_callable(self):
        @typed
        def f(x: Float[Tensor, "n"], y: Callable[[Float[Tensor, "n"]], Float[Tensor, "m"]]): ...

        f(f32(2), len)
        assert refused(f, f32(2), 3).argument == "y"

    def test_the_old_names_of_typing_warn_nobody(self):
        @typed
        def f(x: List[Float[Tensor, "n"]], y: List[int], z: Union[List[str], None] = None): ...  # noqa: UP006

        f([f32(2)], [3])
        assert refused(f, [f32(2)], ["three"]).argument == "y"

    def test_names_for_annotations(self):
        Hidden = NewType("Hidden", Float[Tensor, "n"])
        T = TypeVar("T", bound=Float[Tensor, "n"])

        def f(x, y): ...

        f.__annotations__ = {"x": Hidden, "y": T}
        f = typed(f)
        f(f32(2), f32(2))
        assert refused(f, f32(2), f32(3)).argument == "y"

    def test_annotated(self):
        @typed
        def f(
            x: Annotated[Float[Tensor, "n"], "documented"], y: Annotated[Float[Tensor, "n"], Is[lambda y: y.sum() == 0]]
        ): ...

        f(f32(2), f32(2))
        assert refused(f, f32(2), f32(3)).argument == "y"
        assert refused(f, f32(2), f32(2) + 1).argument == "y"

    def test_an_annotation_of_several_array_types(self):
        @typed
        def f(x: Float[Tensor | np.ndarray, "n"], y: Float[Tensor, "n"]): ...

        f(np.zeros(2), f32(2))
        assert refused(f, np.zeros(3), f32(2)).argument == "y"
        assert refused(f, np.zeros((2, 2)), f32(2)).argument == "x"

    def test_an_annotation_extended_by_another(self):
        @typed(dims=[Dim("m", 3)])
        def f(x: Shaped[Float[Tensor, "m"], "n"], y: list[Shaped[Int[Tensor, "m"], "n"]]): ...

        ids = torch.zeros(2, 3, dtype=torch.int)
        f(f32(2, 3), [ids])
        assert refused(f, ids, [ids]).argument == "x"
        assert refused(f, f32(2, 3), [f32(2, 3)]).argument == "y"
        assert refused(f, f32(2, 4), [ids]).expected == 3

    def test_a_record_that_cannot_be_resolved_and_has_no_tensors_is_not_looked_into(self):
        @dataclass
        class Config:
            model: "NotImported"
            width: int = 3

        @typed
        def f(x: Float[Tensor, "n"], config: Config): ...

        f(f32(2), Config(None))
        assert refused(f, f32(2), None).argument == "config"


class TestCoroutinesAndGenerators:
    def test_a_coroutine_function(self):
        @typed
        async def f(x: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
            await asyncio.sleep(0)
            return x[:2]

        async def both():
            return await asyncio.gather(f(f32(2)), f(f32(1)))

        assert [x.shape for x in asyncio.run(both())] == [(2,), (1,)]
        assert refused(lambda: asyncio.run(f(f32(2, 2)))).argument == "x"
        assert refused(lambda: asyncio.run(f(f32(3)))).argument == "return"

    def test_a_generator_function_checks_each_item(self):
        @typed
        def f(x: Float[Tensor, "n m"]) -> Iterator[Float[Tensor, "m k"]]:
            yield f32(3, 1)
            yield f32(3, 2)
            yield x

        items = f(f32(2, 3))
        assert (next(items).shape, next(items).shape) == ((3, 1), (3, 2))
        error = refused(next, items)
        assert (error.argument, error.dim, error.expected) == ("return", "m", 3)
        assert list(items) == []
        unstarted = f(f32(2))
        assert refused(next, unstarted).argument == "x"

    def test_send_throw_close_and_the_returned_value(self):
        closed = []

        @typed
        def f(x: Float[Tensor, "n"]) -> Generator[Float[Tensor, "n"], str, str]:
            said = []
            try:
                while len(said) < 3:
                    try:
                        said.append((yield x))
                    except KeyError as error:
                        said.append(f"thrown {error.args[0]}")
            finally:
                closed.append(True)
            return " ".join(map(str, said))

        generator = f(f32(2))
        next(generator)
        generator.send("sent")
        generator.throw(KeyError("in"))
        with pytest.raises(StopIteration) as stopped:
            next(generator)
        assert (stopped.value.value, closed) == ("sent thrown in None", [True])

        another = f(f32(2))
        next(another)
        another.close()
        assert closed == [True, True]
        third = f(f32(2))
        next(third)
        with pytest.raises(ValueError, match="passes through"):
            third.throw(ValueError("passes through"))
        assert len(closed) == 3

    def test_a_generator_function_without_tensors_in_its_result(self):
        @typed
        def f(x: Float[Tensor, "n"]) -> Iterator[int]:
            yield from range(len(x))

        assert list(f(f32(3))) == [0, 1, 2]
        assert refused(list, f(f32(3, 3))).argument == "x"

    def test_an_async_generator_function(self):
        events = []

        @typed
        async def f(x: Float[Tensor, "n"]) -> AsyncIterator[Float[Tensor, "n"]]:
            try:
                while True:
                    try:
                        events.append((yield x[:2]))
                    except KeyError as error:
                        events.append(str(error))
            finally:
                events.append("closed")

        async def drive():
            for _ in range(2):
                items = f(f32(2))
                assert (await anext(items)).shape == (2,)
                await items.asend("sent")
                await items.athrow(KeyError("thrown"))
                await items.aclose()

        asyncio.run(drive())
        assert events == ["sent", "'thrown'", "closed"] * 2

        async def first(items):
            return [item async for item in items]

        assert refused(lambda: asyncio.run(first(f(f32(3))))).argument == "return"
        assert events[-1] == "closed"
        assert refused(lambda: asyncio.run(first(f(f32(3, 2))))).argument == "x"

    def test_an_async_generator_that_ends(self):
        @typed
        async def f(x: Float[Tensor, "n"]) -> AsyncIterator[Float[Tensor, ""]]:
            for item in x:
                yield item

        async def all_of(items):
            return [item async for item in items]

        assert len(asyncio.run(all_of(f(f32(3))))) == 3
        assert len(asyncio.run(all_of(f(f32(2))))) == 2

    def test_a_context_manager_either_way(self):
        @contextmanager
        @typed
        def below(x: Float[Tensor, "n"]) -> Iterator[Float[Tensor, "n"]]:
            yield x[:2]

        @typed
        @contextmanager
        def above(x: Float[Tensor, "n"]) -> Iterator[Float[Tensor, "n"]]:
            yield x

        with below(f32(2)) as inner, above(f32(3)) as outer:
            assert (inner.shape, outer.shape) == ((2,), (3,))
        assert refused(lambda: below(f32(3)).__enter__()).argument == "return"
        assert refused(above, f32(3, 3)).argument == "x"

    def test_a_generator_annotated_as_a_tensor_is_a_wrong_declaration(self):
        @typed
        def f(x: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
            yield x

        with pytest.raises(DeclarationError, match=r"f: it yields, so its result is annotated as Iterator\[...\]"):
            list(f(f32(2)))


class TestDeclarations:
    """What is wrong with the annotations themselves, and never with a value."""

    def test_an_expression_before_its_names(self):
        @typed
        def f(x: Float[Tensor, "n+1"], y: Float[Tensor, "n"]): ...

        with pytest.raises(DeclarationError, match="n"):
            f(f32(3), f32(2))

    def test_a_name_bound_by_nobody_in_the_result(self):
        @typed
        def f(x: Float[Tensor, "n"] | None) -> Float[Tensor, "2*n"]:
            return f32(4)

        f(f32(2))
        with pytest.raises(DeclarationError, match="n"):
            f(None)

    def test_braces_that_name_no_parameter(self):
        @typed
        def f(x: Float[Tensor, "{size}"]): ...

        with pytest.raises(DeclarationError, match="size"):
            f(f32(3))

    def test_a_question_mark_outside_a_tree(self):
        @typed
        def f(x: Float[Tensor, "?n"]): ...

        with pytest.raises(DeclarationError, match=r"\?"):
            f(f32(3))

    @pytest.mark.parametrize("axis", ["n+", "n*m)", "2n", "(n"])
    def test_an_axis_that_is_no_python(self, axis):
        @typed
        def f(x: Float[Tensor, "n m"], y: Float[Tensor, axis]): ...

        with pytest.raises(DeclarationError, match="f: an axis is no expression"):
            f(f32(2, 3), f32(3))

    def test_a_division_by_a_size_of_zero_is_the_caller_s(self):
        @typed
        def f(x: Float[Tensor, "n m"]) -> Float[Tensor, "n//m"]:
            return f32(2)

        f(f32(4, 2))
        error = refused(f, f32(4, 0))
        assert "the axis `n//m` cannot be worked out: ZeroDivisionError" in str(error)

    def test_a_string_that_names_nothing(self):
        @typed
        def f(x: "Float[Tensor, 'n']", y: "Nothing"): ...

        for _ in range(2):
            with pytest.raises(
                DeclarationError, match="f: an annotation cannot be resolved: NameError: name 'Nothing'"
            ):
                f(f32(2), 3)

    def test_a_string_that_jaxtyping_refuses(self):
        @typed
        def f(x: "Float[Tensor, '*n *m']"): ...

        with pytest.raises(DeclarationError, match="f: an annotation cannot be resolved: ValueError"):
            f(f32(2))

    def test_a_record_with_a_tensor_that_cannot_be_resolved(self):
        @dataclass
        class Batch:
            x: "Float[Tensor, NotThere]"

        @typed
        def f(batch: Batch): ...

        with pytest.raises(DeclarationError, match=r"Batch.x: the annotation .* cannot be resolved: NameError"):
            f(Batch(f32(2)))


class TestTwoEnginesInOrder:
    """What the random test cannot say by itself, or has found."""

    def test_lists_of_several_kinds_in_one_function_are_not_mixed_up(self):
        """beartype takes hints of one `repr` for the same hint: so ours must differ in it."""

        @typed
        def f(x: tuple[list[Float[Tensor, "n"]], int], y: tuple[list[Int[Tensor, "n"]], int]): ...

        ids = torch.zeros(2, dtype=torch.int)
        f(([f32(2)], 1), ([ids], 1))
        assert refused(f, ([f32(2)], 1), ([f32(2)], 1)).argument == "y"

    def test_attributes_put_side_by_side_are_text(self):
        @typed
        def f(x: Float[Tensor, "{a}{b}"], a: int, b: int): ...

        f(f32(12), 1, 2)
        assert refused(f, f32(3), 1, 2).argument == "x"

    def test_an_option_that_fails_half_way_leaves_nothing_behind(self):
        @typed
        def f(
            x: tuple[list[Float[Tensor, "n"]], int] | tuple[list[Float[Tensor, "m"]], str], y: Float[Tensor, "n"]
        ): ...

        f(([f32(2)], 1), f32(2))
        if (
            _config.mode() == "on"
        ):  # jaxtyping keeps what the first option has bound: only the fast engine is right here
            f(([f32(2)], "one"), f32(3))

    def test_a_size_that_broadcasts_is_kept_from_one_argument_to_the_next(self):
        """Found by reading: where nothing but equal axes used `n`, what the first tensor other than 1 gave was lost."""

        @typed
        def f(x: Float[Tensor, "#n"], *args: Float[Tensor, "#n"]): ...

        @typed
        def g(x: Float[Tensor, "#n"], y: Float[Tensor, "#n"] | None, z: Float[Tensor, "#n"]): ...

        f(f32(1), f32(5), f32(1), f32(5))
        assert str(refused(f, f32(1), f32(5), f32(6))).startswith(
            "f: argument `args[1]` does not fit: n is 6, must be 5"
        )
        g(f32(1), None, f32(6))
        assert refused(g, f32(1), f32(5), f32(6)).argument == "z"

    def test_an_error_names_the_default_s_neighbour_not_the_default(self):
        """A default is filled in only for the function: the diagnosis does not see it."""

        @typed
        def f(x: Float[Tensor, "n"] = torch.zeros(4, 4), y: Float[Tensor, "m"] = None): ...

        error = refused(f, y=f32(2, 2))
        assert error.argument == "y"
        assert "`x" not in str(error)

    def test_jaxtyping_s_own_error_is_the_base_class(self):
        @typed
        def f(x: Float[Tensor, "n"]): ...

        assert isinstance(refused(f, 3), jaxtyping.TypeCheckError)


def test_random_order_of_calls_makes_no_difference():
    """The first call compiles; which one it is does not matter."""
    calls = [((f32(2), None), True), ((f32(2), f32(2)), True), ((f32(2), f32(3)), False), ((3, None), False)]
    for seed in range(6):

        @typed
        def f(x: Float[Tensor, "n"], y: Float[Tensor, "n"] | None): ...

        for arguments, fits in random.Random(seed).sample(calls, len(calls)):
            if fits:
                f(*arguments)
            else:
                refused(f, *arguments)
