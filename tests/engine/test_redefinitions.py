"""Functions that are defined again and again share one compiled check, and only where it is the same check."""

import gc
import linecache
import weakref

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

from dimtyped import DimensionError, assert_dims, dims, nn, typed, unchecked
from dimtyped.engine import entry_of
from dimtyped.runtime.config import mode

THREE = torch.ones(3)


def lines_known():
    return sum(file.startswith("<dimtyped ") for file in linecache.cache)


def scaled_by(factor):
    @typed
    def scale(x: Float[Tensor, "batch"], y: Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        return x * y * factor

    return scale


@pytest.mark.skipif(mode() == "reference", reason="the reference engine compiles nothing but the call of jaxtyping")
def test_a_closure_defined_again_is_compiled_once_and_keeps_its_variables():
    assert scaled_by(1)(THREE, THREE).sum() == 3
    before = lines_known()
    assert [scaled_by(factor)(THREE, THREE).sum().item() for factor in (2, 3, 4)] == [6, 9, 12]
    assert lines_known() == before


@pytest.mark.skipif(mode() == "reference", reason="the reference engine compiles nothing")
def test_a_closure_defined_again_has_its_check_before_its_first_call():
    def tripled(k):
        @typed
        def triple(x: Float[Tensor, "n"], *, y: Float[Tensor, "n"] | None = None) -> Float[Tensor, "n"]:
            return x * k

        return triple

    assert entry_of(tripled(3)).call is None
    tripled(3)(THREE)
    again = tripled(4)
    assert entry_of(again).call is again
    assert again(THREE, y=THREE).sum() == 12
    assert again.__kwdefaults__.keys() == {"y"}
    with pytest.raises(DimensionError, match="triple: argument `y` does not fit: n is 2, must be 3"):
        again(THREE, y=torch.ones(2))


def test_the_checks_of_a_closure_defined_again_are_switched_off_and_on():
    scaled_by(1)(THREE, THREE)
    function = scaled_by(2)
    with unchecked(function):
        assert function(torch.ones(1), THREE).shape == (3,)
    with pytest.raises(DimensionError):
        function(torch.ones(1), THREE)
    assert function(THREE, THREE).sum() == 6


def test_each_definition_refuses_what_does_not_fit_and_names_it():
    scaled_by(1)(THREE, THREE)
    with pytest.raises(DimensionError, match="scale: argument `y` does not fit: batch is 2, must be 3"):
        scaled_by(2)(THREE, torch.ones(2))


def test_a_definition_and_what_it_holds_are_freed():
    class Held:
        def __mul__(self, other):
            return other

        __rmul__ = __mul__

    scaled_by(1)(THREE, THREE)
    held = Held()
    gone = weakref.ref(held)
    function = scaled_by(held)
    function(THREE, THREE)
    del held, function
    gc.collect()
    assert gone() is None


def test_the_same_code_with_other_axes_has_another_check():
    def of_size(size):
        @typed
        def same(x: Float[Tensor, f"{size}"]) -> Float[Tensor, "..."]:
            return x

        return same

    for size in (2, 3, 2):
        of_size(size)(torch.ones(size))
        with pytest.raises(DimensionError):
            of_size(size)(torch.ones(5 - size))


def test_the_same_code_with_another_dtype_or_container_has_another_check():
    def taking(annotation):
        @typed
        def same(x: annotation) -> None:
            return None

        return same

    ids, floats = torch.ones(3, dtype=torch.int64), torch.ones(3)
    taking(Float[Tensor, "n"])(floats)
    taking(Int[Tensor, "n"])(ids)
    taking(list[Float[Tensor, "n"]])([floats])
    taking(tuple[Float[Tensor, "n"], Int[Tensor, "n"]])((floats, ids))
    for annotation, wrong in (
        (Float[Tensor, "n"], ids),
        (Int[Tensor, "n"], floats),
        (list[Float[Tensor, "n"]], [ids]),
        (tuple[Float[Tensor, "n"], Int[Tensor, "n"]], (ids, floats)),
    ):
        with pytest.raises(DimensionError):
            taking(annotation)(wrong)


def test_the_same_code_with_other_fixed_dims_has_another_check():
    def of_vocabulary(size):
        (vocab,) = dims(vocab=size)

        @typed(dims=[vocab])
        def same(x: Float[Tensor, "batch vocab"]) -> None:
            return None

        return same

    of_vocabulary(4)(torch.ones(2, 4))
    of_vocabulary(5)(torch.ones(2, 5))
    with pytest.raises(DimensionError, match="vocab is 4, must be 5"):
        of_vocabulary(5)(torch.ones(2, 4))


def test_a_default_that_changes_is_the_default_of_its_definition():
    def with_default(value):
        @typed
        def default(x: Float[Tensor, "n"], k: float = value, y: Float[Tensor, "n"] | None = None) -> Float[Tensor, "n"]:
            return x * k

        return default

    assert [with_default(k)(THREE).sum().item() for k in (1.0, 2.0, 0.0, -0.0)] == [3, 6, 0, 0]
    assert with_default(True)(THREE).sum() == 3


def test_a_string_annotation_means_what_its_names_mean_at_each_definition():
    names = {"typed": typed, "Float": Float, "Int": Int, "Tensor": Tensor}
    text = "@typed\ndef same(x: 'Pair') -> None:\n    return None\n"
    ids, floats = torch.ones(3, dtype=torch.int64), torch.ones(3)
    code = compile(text, "<cell>", "exec", dont_inherit=True)
    for annotation, right, wrong in ((Float[Tensor, "n"], floats, ids), (Int[Tensor, "n"], ids, floats)):
        space = {**names, "Pair": annotation}
        exec(code, space)
        space["same"](right)
        with pytest.raises(DimensionError):
            space["same"](wrong)


def test_assert_dims_in_a_body_shares_the_names_of_its_own_definition():
    def halved(count):
        @typed
        def half(x: Float[Tensor, "batch seq"]) -> Float[Tensor, "batch"]:
            return assert_dims(x[:, 0] * count, Float[Tensor, "batch"])

        return half

    assert [halved(count)(torch.ones(2, 3)).sum().item() for count in (1, 2)] == [2, 4]
    with pytest.raises(DimensionError):
        halved(torch.ones(3, 1))(torch.ones(2, 3))


def test_modules_of_a_class_defined_again_have_their_own_sizes():
    def made(size):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                (self.width,) = dims(width=size)

            def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
                return x * size

        return Net()

    assert [made(size)(torch.ones(2, size)).sum().item() for size in (2, 3, 4)] == [8, 18, 32]
    with pytest.raises(DimensionError, match="width is 3, must be 4"):
        made(4)(torch.ones(2, 3))


def test_each_definition_has_code_of_its_own_which_dynamo_caches_by():
    first, second = scaled_by(2), scaled_by(3)
    for function in (first, second):
        function(THREE, THREE)
    assert entry_of(first) is not entry_of(second)
    assert first.__code__ is not second.__code__
    compiled = [torch.compile(function, backend="eager", fullgraph=True) for function in (first, second)]
    assert [function(THREE, THREE).sum().item() for function in compiled] == [6, 9]
