"""Names through the transforms of torch.func, autograd's gradients, and what joins sequences of several lengths."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev, jvp, stack_module_state, vjp, vmap
from torch.nn.utils import rnn

from tests.flow.named import Run

SIZES = {"batch": 4, "seq": 6, "embed": 8}
pytestmark = pytest.mark.any_engine


def squared(x):
    return (x**2).sum()


def of_each(x):
    return vmap(lambda row: row.sum(0))(x)


def of_each_sample(x):
    return vmap(grad(squared))(x)


def pulled_back(x):
    result, back = vjp(torch.sin, x)
    return back(torch.ones_like(result))[0]


def pushed_forward(x):
    return jvp(torch.sin, (x,), (torch.ones_like(x),))[1]


def of_an_ensemble(x):
    models = [nn.LayerNorm(8) for _ in range(3)]
    parameters, _ = stack_module_state(models)
    return vmap(lambda given, rows: functional_call(models[0], given, (rows,)), (0, None))(parameters, x)


def of_pairs(x):
    return vmap(lambda one: vmap(lambda other: one * other)(x))(x)


def autograds(x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad((x**2).sum(-1).mean(), x)[0].sum(-1)


def padded(x):
    return rnn.pad_sequence([x[0], x[1, :3]], batch_first=True)


PROGRAMS = [
    (of_each, "batch seq embed", "(batch=4, embed=8)"),
    (vmap(torch.sin), "batch seq embed", "(batch=4, seq=6, embed=8)"),
    (vmap(lambda row: row[:, None] * row), "batch seq", "(batch=4, seq=6, seq=6)"),
    (grad(squared), "batch embed", "(batch=4, embed=8)"),
    (of_each_sample, "batch seq embed", "(batch=4, seq=6, embed=8)"),
    (pulled_back, "batch embed", "(batch=4, embed=8)"),
    pytest.param(
        *(pushed_forward, "batch embed", "(batch=4, embed=8)"),
        marks=pytest.mark.filterwarnings("ignore:`torch.jit.script`"),  # torch's own, at its first forward gradient
    ),
    (jacrev(torch.sin), "embed", "(8, embed=8)"),
    (of_an_ensemble, "batch seq embed", "(3, batch=4, seq=6, embed=8)"),
    (of_pairs, "batch embed", "(batch=4, batch=4, embed=8)"),
    (autograds, "batch seq", "(batch=4)"),
    (padded, "batch seq embed", "(2, 6, embed=8)"),
    (lambda x: rnn.pad_sequence([row * 2 for row in x]), "batch seq embed", "(seq=6, 4, embed=8)"),
]


@pytest.mark.parametrize(("program", "given", "expected"), PROGRAMS)
def test_the_result_has_the_names_of_what_it_is_made_of(program, given, expected):
    run = Run(**SIZES)
    with run.flow:
        result = program(run(given))
    assert run.text(result) == expected
    assert run.kinds == []
    assert not run.flow.unfollowed


def test_where_vmap_moves_the_axis_itself_nothing_is_said():
    run = Run(**SIZES)
    with run.flow:
        result = vmap(torch.sin, in_dims=1)(run("batch seq embed"))
    assert run.text(result) == "(6, 4, 8)"


def test_what_meets_inside_vmap_is_found():
    run = Run(batch=4, seq=6, embed=6)
    with run.flow:
        vmap(lambda one, other: one + other)(run("batch seq"), run("batch embed"))
    [found] = run.flow.findings
    assert (found.kind, found.names, found.source) == ("coincidence", ("seq", "embed"), "one + other")


def test_sequences_that_do_not_go_together_are_found():
    run = Run(batch=4, seq=6, embed=6, hidden=6)
    with run.flow:
        rnn.pad_sequence([run("seq embed"), run("seq hidden")])
    assert run.kinds == ["coincidence"]
