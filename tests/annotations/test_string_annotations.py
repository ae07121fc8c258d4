"""The same where a user's file begins with `from __future__ import annotations`: every annotation is a string."""

# ruff: noqa: UP037 - the strings below are axes, and would be names without their quotes

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple, Optional

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from dimtyped import DeclarationError, Dim, DimensionError, configure, typed
from dimtyped.runtime import config as _config

pytestmark = pytest.mark.any_engine  # each test runs with both


@pytest.fixture(params=["on", "reference"], autouse=True)
def _engine(request):
    before = _config._chosen
    configure(request.param)
    yield
    configure(before)


def f32(*shape: int) -> Tensor:
    return torch.zeros(shape)


class Pair(NamedTuple):
    x: Float[Tensor, "n"]
    y: Float[Tensor, "n"]


def test_names_of_the_file():
    @typed
    def f(x: Float[Tensor, "n"], y: Optional[Float[Tensor, "n"]] = None, *args: Pair) -> Int[Tensor, "n"]:
        return torch.zeros(len(x), dtype=torch.int)

    f(f32(2), f32(2), Pair(f32(2), f32(2)))
    for wrong in [(f32(2), f32(3)), (f32(2), f32(2), Pair(f32(2), f32(3)))]:
        with pytest.raises(DimensionError, match="n is 3, must be 2"):
            f(*wrong)


def test_types_local_to_a_function():
    State = Float[Tensor, "layers hidden"]

    @dataclass
    class Batch:
        x: Float[Tensor, "hidden"]

    @typed
    def f(state: State, batch: Batch, other: Optional["Batch"] = None) -> State:
        return state

    f(f32(2, 3), Batch(f32(3)), Batch(f32(3)))
    with pytest.raises(DimensionError, match="argument `batch.x` does not fit: hidden is 4, must be 3"):
        f(f32(2, 3), Batch(f32(4)))
    with pytest.raises(DimensionError, match="argument `other.x` does not fit"):
        f(f32(2, 3), Batch(f32(3)), Batch(f32(4)))


def test_types_local_to_a_class_in_a_function():
    Local = Float[Tensor, "n"]

    class Box:
        Inner = Float[Tensor, "n m"]

        @typed
        def put(self, x: Local, y: Inner) -> Local:
            return x

    Box().put(f32(2), f32(2, 3))
    with pytest.raises(DimensionError, match="argument `y` does not fit"):
        Box().put(f32(2), f32(3, 3))


def of_a_type_that_nobody_defines(x: Later):
    return x


def test_a_caller_s_names_are_not_taken_for_the_function_s():
    """Only what stands around a function is known in it: its callers have names of their own."""
    Later = Float[Tensor, "wrong wrong"]
    function = typed(of_a_type_that_nobody_defines)
    assert Later is not None
    with pytest.raises(DeclarationError, match="name 'Later' is not defined"):
        function(f32(2))


def test_a_type_defined_after_the_function():
    @typed
    def f(x: AfterIt):
        return x

    assert f(f32(2)).shape == (2,)
    with pytest.raises(DimensionError, match="argument `x`"):
        f(f32(2, 2))


AfterIt = Float[Tensor, "n"]


def test_a_dataclass_and_a_module():
    @typed
    @dataclass
    class Batch:
        x: Float[Tensor, "n"]
        y: Float[Tensor, "n"] = dataclasses.field(default_factory=lambda: f32(7))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = Dim("hidden", 3)

        @typed
        def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch"]:
            return x.sum(1)

    Batch(f32(2))
    with pytest.raises(DimensionError, match="argument `y` does not fit: n is 3, must be 2"):
        Batch(f32(2), f32(3))
    assert Model()(f32(2, 3)).shape == (2,)
    with pytest.raises(DimensionError, match="hidden is 4, must be 3"):
        Model()(f32(2, 4))


def test_what_cannot_be_resolved_is_a_wrong_declaration_at_each_call():
    @typed
    def f(x: Float[Tensor, "n"], y: NotThere):
        return x

    for _ in range(2):
        with pytest.raises(DeclarationError, match="f: an annotation cannot be resolved: NameError: name 'NotThere'"):
            f(f32(2), None)


def test_what_cannot_be_resolved_is_told_by_its_form():
    from dimtyped.annotations import names_tensors

    def array(x: "Float[Tensor, 'batch']", other: "Missing"): ...
    def qualified(x: "jaxtyping.Float[Tensor, 'batch']", other: "Missing"): ...
    def table(x: "dict[str, 'Tensor']", other: "Missing"): ...
    def words(x: "Literal[1, 'auto']", other: "Missing"): ...

    assert [names_tensors(f, {}) for f in (array, qualified, table, words)] == [True, True, False, False]
