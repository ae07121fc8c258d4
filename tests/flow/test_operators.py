"""Which rule a function has: a method, a function and the operator beneath are one, composite or taken apart."""

import pytest
import torch
from torch import nn

from dimtyped.flow import Flow
from dimtyped.flow.operators import operator_of
from tests.flow.named import Run

aten = torch.ops.aten


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (torch.add, "add"),
        (torch.Tensor.add_, "add"),
        (torch.Tensor.__radd__, "add"),
        (torch.Tensor.__iadd__, "add"),
        (torch.Tensor.__rsub__, "sub"),
        (torch.Tensor.__and__, "bitwise_and"),
        (torch.Tensor.__floordiv__, "floor_divide"),
        (torch.Tensor.__matmul__, "matmul"),
        (torch.Tensor.T.__get__, "T.__get__"),
        (aten.add, "add"),
        (aten.add_.Tensor, "add"),
        (nn.functional.embedding, "embedding"),
        (torch.linalg.norm, "linalg_norm"),
        (nn.init.xavier_uniform_, "xavier_uniform"),
    ],
)
def test_names(function, name):
    operator = operator_of(function)
    assert operator.name == name
    assert operator.rule is not None


def test_functions_that_make_no_tensor_are_not_counted():
    run = Run(batch=2)
    with run.flow:
        x = run("batch")
        assert (x.shape, x.dim(), len(x), x.dtype, x.is_cuda) == ((2,), 1, 2, torch.float32, False)
        assert x.sum().item() == pytest.approx(x.tolist()[0] + x.tolist()[1])
    assert {*run.flow.followed, *run.flow.unfollowed} == {"randn", "sum"}


def test_an_operator_of_another_library_has_no_rule_of_ours():
    with torch.library._scoped_library("flowtest", "DEF") as library:
        library.define("softmax(Tensor x) -> Tensor")
        library.impl("softmax", lambda x: x + 1, "CompositeExplicitAutograd")
        run = Run(batch=2)
        with run.flow:
            assert run.text(torch.ops.flowtest.softmax(run("batch"))) == "(2)"
    assert run.flow.unfollowed == {"flowtest::softmax": 1}


def taken_apart(run):
    """A network as autograd sees it."""
    x, weight = run("rows embed"), run("out embed")
    yield aten.addmm(run("out"), x, aten.t(weight)), "(rows=6, out=5)"
    yield aten._unsafe_view(aten.mm(x, aten.t(weight)), [2, 3, 5]), "(rows//3=2, rows%3=3, out=5)"
    yield aten.bmm.default(run("batch rows embed"), run("batch embed out")), "(batch=2, rows=6, out=5)"
    yield aten.native_layer_norm(x, [4], run("embed"), run("embed"), 1e-5)[0], "(rows=6, embed=4)"
    yield aten._softmax(x, -1, False), "(rows=6, embed=4)"
    yield aten.nll_loss_forward(x, run("rows").long() * 0, None, 0, -100)[0], "(rows=6)"
    norm = aten.native_batch_norm(run("batch embed rows"), run("embed"), run("embed"), None, None, True, 0.1, 1e-5)
    yield norm[0], "(batch=2, embed=4, rows=6)"
    image, kernel = run("batch embed rows rows"), run("out embed 3 3")
    convolved = aten.convolution(image, kernel, run("out"), [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    yield convolved, "(batch=2, out=5, rows=6, rows=6)"
    yield aten.embedding(x, run("batch").long() * 0), "(batch=2, embed=4)"
    heads = run("batch 3 rows embed")
    yield aten._scaled_dot_product_flash_attention_for_cpu(heads, heads, heads)[0], "(batch=2, 3, rows=6, embed=4)"
    mask, plain = run("rows source"), torch.randn(2, 3, 6, 4)
    masked = aten._scaled_dot_product_flash_attention_for_cpu(
        plain, run("batch 3 source 4"), run("batch 3 source 4"), attn_mask=mask
    )
    yield masked[0], "(batch=2, 3, rows=6, 4)"
    yield nn.functional.scaled_dot_product_attention(plain, plain, plain, run("rows rows")), "(2, 3, rows=6, 4)"
    yield aten.index.Tensor(x, [None, torch.tensor([0, 1])]), "(rows=6, 2)"
    yield aten.slice.Tensor(x, 0, 0, 6), "(rows=6, embed=4)"


def test_composites_taken_apart():
    run = Run(Flow(independent=(), strict=True), batch=2, rows=6, embed=4, out=5, source=7)
    with run.flow:
        for result, text in taken_apart(run):
            assert run.text(result) == text
    assert run.flow.findings == []
    assert not run.flow.unfollowed


def test_einops():
    einops = pytest.importorskip("einops", reason="no extra of ours installs einops")
    run = Run(batch=2, seq=7, embed=12)
    with run.flow:
        x = run("batch seq embed")
        heads = einops.rearrange(x, "b s (h d) -> b h s d", h=3)
        assert run.text(heads) == "(batch=2, embed//4=3, seq=7, embed%4=4)"
        assert run.text(einops.rearrange(heads, "b h s d -> b s (h d)")) == run.text(x)
        assert run.text(einops.reduce(x, "b s e -> b e", "mean")) == "(batch=2, embed=12)"
        assert run.text(einops.repeat(x, "b s e -> (b n) s e", n=2)) == "(batch*2=4, seq=7, embed=12)"
        assert run.text(einops.einsum(x, x, "b q e, b k e -> b q k")) == "(batch=2, seq=7, seq=7)"
    assert run.flow.findings == []
    run = Run(batch=4, seq=4)
    with run.flow:
        einops.rearrange(run("seq batch"), "a b -> b a").add(run("seq batch"))
        einops.einsum(run("seq batch"), run("seq batch"), "a b, b c -> a c")
    assert [(found.kind, found.where) for found in run.flow.findings] == [("coincidence", "test_einops")] * 2
