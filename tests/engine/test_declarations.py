"""Annotations that cannot be right, and two engines that decide alike whatever the order of calls."""

import random
from dataclasses import dataclass

import jaxtyping
import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from dimtyped import DeclarationError, typed
from dimtyped.runtime import config as _config
from tests.helpers.calls import f32, refused

pytestmark = [pytest.mark.any_engine, pytest.mark.usefixtures("engine")]  # each test runs with both


class TestDeclarations:
    """What is wrong with the annotations themselves, and never with a value."""

    def test_an_expression_of_two_names_that_nothing_binds(self):
        def f(x: Float[Tensor, "n+m"]): ...

        with pytest.raises(DeclarationError, match="n"):
            typed(f)

    def test_a_name_bound_by_nobody_in_the_result(self):
        @typed
        def f(x: Float[Tensor, "n"] | None) -> Float[Tensor, "n*n"]:
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

        with pytest.raises(DeclarationError, match="f: an axis is not an expression"):
            f(f32(2, 3), f32(3))

    def test_a_division_by_a_size_of_zero_is_the_caller_s(self):
        @typed
        def f(x: Float[Tensor, "n m"]) -> Float[Tensor, "n//m"]:
            return f32(2)

        f(f32(4, 2))
        error = refused(f, f32(4, 0))
        assert "the axis `n//m` cannot be evaluated: ZeroDivisionError" in str(error)

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

    def test_an_error_names_the_default_s_neighbor_not_the_default(self):
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
