"""The tensors of a TypedDict are checked, key by key, by both engines."""

import collections
from typing import NotRequired, TypedDict

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import DimensionError, nn, status, typed


class Output(TypedDict):
    logits: Float[Tensor, "batch classes"]
    loss: NotRequired[Float[Tensor, ""]]
    note: str


class Partial(TypedDict, total=False):
    logits: Float[Tensor, "batch classes"]


LOGITS = torch.ones(2, 4)


@typed
def f(x: Float[Tensor, "batch n"], made: object) -> Output:
    return made  # type: ignore[return-value]  # that is what is tried


@pytest.mark.parametrize(
    "made",
    [
        {"logits": LOGITS, "note": "a"},
        {"logits": LOGITS, "loss": torch.tensor(1.0), "note": "a", "more": 3},
        collections.UserDict({"logits": LOGITS, "note": "a"}),
    ],
    ids=["required", "all", "mapping"],
)
def test_what_fits(made):
    assert f(torch.ones(2, 3), made) is made


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (
            {"logits": torch.ones(3, 4), "note": "a"},
            r"`\['logits'\]` of the result does not fit: batch is 3, must be 2",
        ),
        (
            {"logits": torch.ones(2, 4, 5).long(), "note": "a"},
            "its dtype is int64, must be a float dtype; it has 3 axes",
        ),
        ({"note": "a"}, r"`\['logits'\]` of the result does not fit: it is None, must be a Tensor"),
        (
            {"logits": LOGITS, "loss": torch.ones(2), "note": "a"},
            r"`\['loss'\]` of the result does not fit: it has 1 axis",
        ),
        ({"logits": LOGITS, "note": 3}, r"`\['note'\]` of the result does not fit: it is 3, must be str"),
        ([LOGITS], "the result does not fit: it is a list of 1, must be a Mapping"),
    ],
    ids=["size", "dtype and rank", "missing", "optional", "no tensor", "list"],
)
def test_what_does_not(made, text):
    with pytest.raises(DimensionError, match=text):
        f(torch.ones(2, 3), made)


def test_a_key_that_may_be_left_out_binds_its_names_where_it_is_there():
    @typed
    def g(made: Partial, y: Float[Tensor, "batch"]): ...

    g({}, torch.ones(7))
    g({"logits": LOGITS}, torch.ones(2))
    with pytest.raises(DimensionError, match="batch is 7, must be 2"):
        g({"logits": LOGITS}, torch.ones(7))


@pytest.mark.any_engine
def test_compiled():
    class Model(nn.Module):
        def forward(self, x: Float[Tensor, "batch classes"]) -> Output:
            return {"logits": x * 2, "note": "a"}

    made = torch.compile(Model(), backend="eager", fullgraph=True)(LOGITS)
    assert torch.equal(made["logits"], LOGITS * 2)


def test_status_names_a_plain_class_whose_annotations_are_not_checked(capsys):
    class Plain:
        logits: Float[Tensor, "batch classes"]

    class Model(nn.Module):
        def forward(self, x: Float[Tensor, "batch classes"]) -> Plain:
            return Plain()

    class Keyed(nn.Module):
        def forward(self, x: Float[Tensor, "batch classes"]) -> Output:
            return {"logits": x, "note": ""}

    assert "not checked: the annotations in Plain (make it a dataclass)" in str(status(Model()))
    assert "not checked" not in str(status(Keyed()))
