"""`assert_dims`: in a typed call's body it shares the call's names, with either engine; elsewhere it stands alone."""

from typing import Annotated, Any, NamedTuple

import pytest
import torch
from beartype.vale import Is
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from dimtyped import DeclarationError, Dim, DimensionError, DimSize, assert_dims, dims, nn, typed
from tests.helpers.calls import ones, refuses

FITTING = [
    (ones(2, 3), Float[Tensor, "batch seq"]),
    (ones(2, 2), Float[Tensor, "n n"]),
    (ones(2, 4), Float[Tensor, "n 2*n"]),
    (ones(2, 1), Float[Tensor, "n #n"]),
    (ones(), Float[Tensor, ""]),
    (ones(2), Shaped[Tensor, "..."]),
    (None, Float[Tensor, "n"] | None),
    (ones(3), Float[Tensor, "n n"] | Float[Tensor, "n"]),
    ((ones(2), ones(2, 3)), tuple[Float[Tensor, "n"], Float[Tensor, "n m"]]),
    ([ones(2), ones(2)], list[Float[Tensor, "n"]]),
    ({"a": ones(2)}, dict[str, Float[Tensor, "n"]]),
    (3, int),
    ([1, 2], list[int]),
    (ones(3), Annotated[Float[Tensor, "n"], Is[lambda x: len(x) < 5]]),
    (ones(3), Any),
]


MISFITS = [
    (ones(2), Float[Tensor, "batch seq"], "it has 1 axis, must have 2"),
    (ones(2, 3), Float[Tensor, "n n"], "n is 3, must be 2"),
    (ones(2, 3), Int[Tensor, "n m"], "its dtype is float32"),
    (ones(2, 5), Float[Tensor, "n 2*n"], r"2\*n is 5, must be 4"),
    (None, Float[Tensor, "n"], "it is None, must be a Tensor"),
    ((ones(2), ones(3)), tuple[Float[Tensor, "n"], Float[Tensor, "n"]], "n is 3, must be 2"),
    ([ones(2), ones(3)], list[Float[Tensor, "n"]], "n is 3, must be 2"),
    ("3", int, "it is '3', must be int"),
    (["a"], list[int], "list"),
    (ones(7), Annotated[Float[Tensor, "n"], Is[lambda x: len(x) < 5]], "does not fit"),
]


@pytest.mark.usefixtures("engine")
class TestAlone:
    @pytest.mark.parametrize(("value", "annotation"), FITTING, ids=lambda part: str(part)[:40])
    def test_gives_back_what_fits(self, value, annotation):
        assert assert_dims(value, annotation) is value

    @pytest.mark.parametrize(("value", "annotation", "message"), MISFITS, ids=lambda part: str(part)[:40])
    def test_refuses_what_does_not(self, value, annotation, message):
        with refuses(message):
            assert_dims(value, annotation)

    def test_shares_nothing_with_another_one(self):
        assert_dims(ones(2), Float[Tensor, "n"])
        assert_dims(ones(3), Float[Tensor, "n"])

    def test_an_expression_over_an_unknown_name_is_a_wrong_declaration(self):
        with pytest.raises(DeclarationError, match=r"n\*n"):
            assert_dims(ones(4), Float[Tensor, "n*n"])
        assert assert_dims(ones(4), Float[Tensor, "2*n"]).shape == (4,)

    def test_a_placeholder_needs_a_typed_call(self):
        with pytest.raises(DeclarationError, match=r"`\{width\}` is not a parameter of a typed function around"):
            assert_dims(ones(4), Float[Tensor, "{width}"])


@pytest.mark.parametrize("wrong", ["batch seq", 5, (2, 3), ones(2), torch.float32, [Float[Tensor, "n"]]], ids=str)
def test_what_is_no_annotation_is_a_wrong_declaration(wrong):
    with pytest.raises(
        DeclarationError, match="^assert_dims takes a value and its annotation, not .* as the annotation"
    ):
        assert_dims(ones(2), wrong)


@pytest.mark.usefixtures("engine")
class TestInACall:
    def test_shares_the_names_of_the_arguments(self):
        @typed
        def attend(q: Float[Tensor, "batch query"], k: Float[Tensor, "batch key"], scores: Any) -> Any:
            return assert_dims(scores, Float[Tensor, "batch query key"])

        q, k = ones(2, 3), ones(2, 4)
        assert attend(q, k, ones(2, 3, 4)).shape == (2, 3, 4)
        with refuses("query is 4, must be 3; key is 3, must be 4"):
            attend(q, k, ones(2, 4, 3))

    def test_a_name_bound_there_holds_for_later_ones(self):
        @typed
        def split(x: Float[Tensor, "batch"], parts: Any) -> None:
            for part in parts:
                assert_dims(part, Float[Tensor, "batch new"])

        split(ones(2), [ones(2, 3), ones(2, 3)])
        with refuses("new is 4, must be 3"):
            split(ones(2), [ones(2, 3), ones(2, 4)])
        split(ones(2), [ones(2, 4)])

    def test_a_name_bound_there_holds_for_the_result(self):
        @typed
        def cut(x: Float[Tensor, "n"], width: int, given: int) -> Float[Tensor, "new 2*new"]:
            assert_dims(x[:width], Float[Tensor, "new"])
            return ones(given, 2 * given)

        assert cut(ones(5), 3, 3).shape == (3, 6)
        with refuses(r"cut: the result does not fit: new is 4, must be 3(.|\n)*new += 3  bound by assert_dims"):
            cut(ones(5), 3, 4)

    def test_a_name_that_the_call_left_unbound(self):
        @typed
        def f(x: Float[Tensor, "n"] | None, y: Tensor, z: Tensor) -> Float[Tensor, "n"]:
            assert_dims(y, Float[Tensor, "n"])
            return z

        f(None, ones(2), ones(2))
        f(ones(2), ones(2), ones(2))
        with refuses("n is 3, must be 2"):
            f(ones(2), ones(3), ones(3))
        with refuses("the result does not fit: n is 3, must be 2"):
            f(None, ones(2), ones(3))

    def test_expressions_and_placeholders_read_the_call(self):
        @typed
        def f(x: Float[Tensor, "n"], y: Tensor, width: int = 3) -> None:
            assert_dims(y, Float[Tensor, "2*n {width}"])

        f(ones(2), ones(4, 3))
        f(ones(2), ones(4, 5), 5)
        with refuses(r"\{width\} is 5, must be 3"):
            f(ones(2), ones(4, 5))
        with refuses(r"2\*n is 3, must be 4"):
            f(ones(2), ones(3, 3))

    def test_several_axes(self):
        @typed
        def f(x: Float[Tensor, "*batch n"], y: Tensor, z: Tensor) -> Float[Tensor, "*other"]:
            assert_dims(y, Float[Tensor, "*batch m"])
            assert_dims(y[..., 0], Float[Tensor, "*#batch"])
            assert_dims(y, Float[Tensor, "*other"])
            return z

        f(ones(2, 3, 4), ones(2, 3, 5), ones(2, 3, 5))
        with refuses(r"\*batch is \(2, 5\), must be \(2, 3\)"):
            f(ones(2, 3, 4), ones(2, 5, 5), ones(2, 5, 5))
        with refuses(r"its shape is \(2, 3\), must be \(2, 3, 5\)"):
            f(ones(2, 3, 4), ones(2, 3, 5), ones(2, 3))

    def test_broadcasting_axes_of_the_call(self):
        @typed
        def f(x: Float[Tensor, "*#batch n"], y: Tensor) -> None:
            assert_dims(y, Float[Tensor, "*#batch n"])
            assert_dims(y, Float[Tensor, "#n *_"])

        f(ones(2, 1, 4), ones(1, 3, 4))
        with refuses(r"\*batch"):
            f(ones(2, 4), ones(3, 4))

    def test_fixed_names(self):
        @typed(dims=dims(embed=4))
        def f(x: Tensor) -> None:
            assert_dims(x, Float[Tensor, "batch embed"])

        f(ones(2, 4))
        with refuses(r"embed is 5, must be 4(.|\n)*fixed by typed"):
            f(ones(2, 5))

    def test_names_that_a_module_declares(self):
        class Plain(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden = Dim("hidden", 4)

            @typed
            def forward(self, x: Float[Tensor, "batch _"]) -> Float[Tensor, "..."]:
                return assert_dims(x, Float[Tensor, "batch hidden"])

        Plain()(ones(2, 4))
        with refuses(r"assert_dims in Plain.forward: .*hidden is 5, must be 4(.|\n)*declared by Plain.hidden"):
            Plain()(ones(2, 5))

    def test_names_that_a_module_of_ours_declares(self):
        class Net(nn.Module):
            def __init__(self, embed: DimSize, hidden: DimSize):
                super().__init__()
                self.up = nn.Linear(embed, hidden)

            def forward(self, x: Float[Tensor, "batch embed"], cut: int) -> Float[Tensor, "batch _"]:
                return assert_dims(self.up(x)[:, :cut], Float[Tensor, "batch hidden"])

        Net(4, 8)(ones(2, 4), 8)
        with refuses(r"hidden is 7, must be 8(.|\n)*hidden = 8  declared by"):
            Net(4, 8)(ones(2, 4), 7)

    def test_a_declared_name_that_changed_unseen(self):
        class Plain(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden = Dim("hidden", 4)

            @typed
            def forward(self, x: Float[Tensor, "batch _"]) -> Float[Tensor, "..."]:
                return assert_dims(x, Float[Tensor, "batch hidden"])

        module = Plain()
        module(ones(2, 4))
        module.hidden = Dim("hidden", 5)
        module(ones(2, 5))
        with refuses("hidden is 4, must be 5"):
            module(ones(2, 4))

    def test_a_name_that_could_mean_two_sizes(self):
        class Part(nn.Module):
            def __init__(self, hidden: DimSize):
                super().__init__()

        class Whole(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = Part(4), Part(5)

            def forward(self, x: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
                return assert_dims(x, Float[Tensor, "batch hidden"])

        with pytest.raises(
            DeclarationError, match="`hidden` in the annotations could mean more than one size: a.hidden=4"
        ):
            Whole()(ones(2, 4))

    def test_an_annotation_that_only_jaxtyping_can_check(self):
        @typed
        def f(x: Float[Tensor, "n"], y: Tensor) -> None:
            assert_dims(y, Annotated[Float[Tensor, "n"], Is[lambda y: y.sum() > 0]])

        f(ones(2), ones(2))
        for wrong in (-ones(2), ones(3)):
            with refuses("assert_dims in .*f: argument `y` does not fit Annotated"):
                f(ones(2), wrong)

    def test_records(self):
        class Pair(NamedTuple):
            left: Float[Tensor, "n"]
            right: Float[Tensor, "m"]

        @typed
        def f(x: Float[Tensor, "n"], pair: Any) -> Float[Tensor, "m"]:
            return assert_dims(pair, Pair).right

        f(ones(2), Pair(ones(2), ones(3)))
        with refuses("n is 3, must be 2"):
            f(ones(2), Pair(ones(3), ones(3)))

    def test_an_unannotated_function_can_share_too(self):
        @typed
        def f(x, y):
            assert_dims(x, Float[Tensor, "n"])
            assert_dims(y, Float[Tensor, "n"])

        f(ones(2), ones(2))
        with refuses("n is 3, must be 2"):
            f(ones(2), ones(3))

    def test_a_refused_one_binds_nothing(self):
        @typed
        def f(x: Tensor, y: Tensor) -> None:
            with pytest.raises(DimensionError):
                assert_dims(x, Float[Tensor, "n n"])
            assert_dims(y, Float[Tensor, "n"])

        f(ones(2, 3), ones(7))
