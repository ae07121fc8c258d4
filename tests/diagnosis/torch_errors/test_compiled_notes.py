"""A torch error of a compiled call has its note in what is raised, one that only the compiled graph raises too."""

import logging
import traceback

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import explain, typed

pytestmark = pytest.mark.any_engine


def q():
    return torch.ones(4, 8, 16)


def cut(x):
    return x.view(3, 5)


def of_labels(x):
    return torch.nn.functional.cross_entropy(x, x[..., 0].long())


COMPILED = {
    "product": (lambda x: x @ x, "head=16 meets time=8"),
    "cat": (lambda x: torch.cat([x, x[0]]), "has 3 axes, `x[0]` has 2 axes"),
    "view": (cut, "batch * time * head of `x` is 512, (3, 5) has 15"),
    "loss": (of_labels, "axis 1 of `x` must be the classes, it is time=8"),
}


@pytest.mark.parametrize("fullgraph", [False, True], ids=["breaks", "fullgraph"])
@pytest.mark.parametrize(("body", "problem"), COMPILED.values(), ids=COMPILED)
def test_a_compiled_call_says_it_in_what_is_raised(body, problem, fullgraph, caplog):
    @typed
    def f(x: Float[Tensor, "batch time head"]) -> Tensor:
        return body(x)

    torch._dynamo.reset()
    compiled = torch.compile(f, backend="eager", fullgraph=fullgraph)
    with caplog.at_level(logging.CRITICAL), pytest.raises(RuntimeError) as caught:
        compiled(q())
    shown = "".join(traceback.format_exception(caught.value))
    assert problem in shown.partition("\ndimtyped: ")[2]
    assert problem in explain(caught.value).problem
    assert "<dimtyped" not in str(caught.value)


REFUSED_LATER = {
    "softmax": lambda x: torch.softmax(x + 1, 3),
    "a method": lambda x: x.softmax(dim=3),
    "softmin": lambda x: torch.nn.functional.softmin(x, 3),
    "sort": lambda x: torch.sort(x, dim=3).values,
    "argsort": lambda x: x.argsort(3),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, as it imports its compiler
@pytest.mark.parametrize("fullgraph", [False, True], ids=["breaks", "fullgraph"])
@pytest.mark.parametrize("body", REFUSED_LATER.values(), ids=REFUSED_LATER)
def test_an_axis_that_only_the_compiler_refuses_is_told_in_what_is_raised(body, fullgraph, caplog):
    """With fake tensors these operators take any axis: the trace goes through, and the compiled graph does not."""

    @typed
    def f(x: Float[Tensor, "batch time head"]) -> Tensor:
        return body(x)

    torch._dynamo.reset()
    with caplog.at_level(logging.CRITICAL), pytest.raises((IndexError, RuntimeError)) as caught:
        torch.compile(f, fullgraph=fullgraph)(q())
    shown = "".join(traceback.format_exception(caught.value))
    assert "there is no axis 3: `x" in shown.partition("\ndimtyped: ")[2]
    assert "(batch=4, time=8, head=16)" in shown
    assert "there is no axis 3" in explain(caught.value).problem


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, as it imports its compiler
def test_what_is_known_of_one_trace_is_not_told_of_another():
    @typed
    def f(x: Float[Tensor, "batch time head"]) -> Tensor:
        return x.sort(3).values

    def other(x):
        return x.sum(3)

    torch._dynamo.reset()
    with pytest.raises(IndexError, match="Dimension out of range"):
        torch.compile(f, backend="eager")(q())  # the graph runs as it is: its error is none of a trace
    with pytest.raises((IndexError, RuntimeError), match="Dimension out of range") as caught:
        torch.compile(other)(q())
    assert not getattr(caught.value, "__notes__", [])
