"""`typed` on functions: parameters of every kind, names that agree, fixed names."""

import functools
from typing import (
    Any,
    Literal,
)

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from dimtyped import DeclarationError, Dim, dims, typed
from tests.helpers.calls import f32, refused

pytestmark = [pytest.mark.any_engine, pytest.mark.usefixtures("engine")]  # each test runs with both


State = Float[Tensor, "layers batch hidden"]


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
