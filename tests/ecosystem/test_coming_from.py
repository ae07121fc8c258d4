"""Code that is annotated for torchtyping or checked by typeguard, under the import hook."""

import warnings

import pytest
import torch

from dimtyped import install_import_hook
from tests.helpers.calls import ones, refuses
from tests.import_hook.sources import imported

TORCHTYPING = """
from typing import Optional

import torch
from torchtyping import TensorType

def outer(x: TensorType["batch", "a"], y: TensorType["batch", "b"]) -> TensorType["batch", "a", "b"]:
    made: TensorType["batch", "a", "b"] = x.unsqueeze(-1) * y.unsqueeze(-2)
    return made

def ids(x: TensorType["batch", -1, int], y: Optional[TensorType["batch", 3]] = None) -> TensorType["batch"]:
    return x[:, 0]

def any_batch(x: TensorType["batch": ..., "n"], y: TensorType["n"]) -> TensorType["batch": ...]:
    return x @ y
"""
TYPEGUARD = """
from jaxtyping import Float
from torch import Tensor
from typeguard import typechecked

@typechecked
def scaled(x: Tensor, by: float) -> Tensor:
    return x * by

def added(x: Float[Tensor, "n"], y: Float[Tensor, "n"]) -> Tensor:
    return x + y
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("engine", ["on", "reference"])
def test_torchtypings_annotations_are_read(folder, engine):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("torchtyping", reason="torchtyping is in the extra `ecosystem`")
    from dimtyped import configure

    configure(engine)
    try:
        module = imported(folder, TORCHTYPING, install_import_hook)
        assert module.outer(ones(2, 3), ones(2, 4)).shape == (2, 3, 4)
        with refuses("outer: argument `y` does not fit: batch is 5, must be 2"):
            module.outer(ones(2, 3), ones(5, 4))
        assert module.ids(torch.ones(2, 1).long()).shape == (2,)
        with refuses("its dtype is float32, must be int64"):
            module.ids(ones(2, 1))
        with refuses("axis 1 is 4, must be 3"):
            module.ids(torch.ones(2, 1).long(), ones(2, 4))
        assert module.any_batch(ones(2, 3, 4), ones(4)).shape == (2, 3)
        with refuses("n is 5, must be 4"):
            module.any_batch(ones(2, 3, 4), ones(5))
    finally:
        configure("on")


def test_a_function_that_typeguard_checks_is_left_to_it(folder):
    pytest.importorskip("typeguard", reason="typeguard is in the extra `ecosystem`")
    module = imported(folder, TYPEGUARD, install_import_hook)
    assert module.scaled(ones(2), 2).shape == (2,)  # an int is a float to typeguard, and none to beartype
    with refuses("n is 3, must be 2"):
        module.added(ones(2), ones(3))
