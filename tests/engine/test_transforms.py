"""Checked code under export, make_fx, vmap, fake tensors, checkpointing, DTensor and the like."""

from typing import Any

import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils.checkpoint import checkpoint

from dimtyped import DimensionError, typed
from dimtyped.runtime import config as _config
from tests.engine.compile_cases import (
    CASES,
    MODULES,
    assert_equal,
    attention,
    by_parameter,
    dataclass_argument,
    gru_cell,
    mlp,
    ones,
    only_beartype,
    scale,
    unchanged,
)

BATCH = torch.export.Dim("batch")


SEQ = torch.export.Dim("seq")


EXPORTED = [
    pytest.param(mlp, (ones(2, 4),), ({0: BATCH},), id="mlp"),
    pytest.param(attention, (ones(3, 5, 8),), ({0: BATCH, 1: SEQ},), id="attention"),
    pytest.param(gru_cell, (ones(3, 2, 4), ones(3, 8)), ({0: BATCH}, {0: BATCH}), id="gru_cell"),
]


@pytest.mark.parametrize(("make", "values", "shapes"), EXPORTED)
@pytest.mark.parametrize("strict", [True, False])
def test_export_keeps_dynamic_shapes_dynamic(make, values, shapes, strict):
    def export(decorate: Any) -> Any:
        return torch.export.export(make(decorate), values, dynamic_shapes=shapes, strict=strict)

    plain, checked = export(unchanged), export(typed)
    targets = [[node.target for node in exported.graph.nodes] for exported in (plain, checked)]
    assert targets[0] == targets[1]
    assert list(plain.range_constraints.values()) == list(checked.range_constraints.values())
    larger = tuple(ones(7, *value.shape[1:]) for value in values)
    assert shapes_of(checked.module()(*larger)) == shapes_of(plain.module()(*larger))


def shapes_of(result: Any) -> list[torch.Size]:
    return [leaf.shape for leaf in torch.utils._pytree.tree_leaves(result)]


@pytest.mark.parametrize("strict", [True, False])
def test_export_of_a_wrong_call(strict):
    with pytest.raises(DimensionError, match=r"\{self.embed\} is 5, must be 4"):
        torch.export.export(mlp(typed), (ones(2, 5),), strict=strict)


MADE = [case for case in CASES if not case.keywords and case.function not in (dataclass_argument, only_beartype)]


if _config.mode() == "reference":  # jaxtyping puts the name of a symbolic size in the place of `{width}`
    MADE = [case for case in MADE if case.function is not by_parameter]


@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
def test_make_fx_records_the_same(mode):
    for case in MADE:
        functions = (case.function, case.checked())
        plain, checked = (make_fx(f, tracing_mode=mode)(*case.calls[0]).code for f in functions)
        assert checked == plain, case.name


@pytest.mark.parametrize("make", [mlp, attention, gru_cell])
def test_symbolic_trace_passes_proxies_through(make):
    def trace(decorate: Any) -> str:
        return torch.fx.symbolic_trace(make(decorate), {"mask": None} if make is attention else None).code

    if make is gru_cell:  # its loop over a Proxy's length cannot be traced, typed or not
        for decorate in (unchanged, typed):
            with pytest.raises(TypeError, match="Proxy"):
                trace(decorate)
    else:
        assert trace(typed) == trace(unchanged)


def test_vmap_and_grad():
    checked = typed(scale)
    x, y = torch.rand(5, 2, 3, 4), torch.rand(5, 2, 3)
    assert_equal(torch.vmap(checked)(x, y), torch.vmap(scale)(x, y))
    gradient = torch.func.grad(lambda x: checked(x, y[0]).sum())
    assert_equal(gradient(x[0]), y[0][..., None].expand(2, 3, 4))
    assert torch.func.jacrev(lambda x: checked(x, y[0]))(x[0]).shape == (2, 3, 4, 2, 3, 4)
    assert_equal(torch.compile(torch.vmap(checked), backend="eager", fullgraph=True)(x, y), torch.vmap(scale)(x, y))
    assert_equal(torch.compile(gradient, backend="eager", fullgraph=True)(x[0]), gradient(x[0]))
    with pytest.raises(DimensionError, match="seq is 4, must be 3"):
        torch.vmap(checked)(x, torch.rand(5, 2, 4))


def test_functional_call():
    untyped, module = MODULES[0].twins()
    parameters, x = dict(untyped.named_parameters()), torch.rand(2, 4)
    compiled = torch.compile(
        lambda x: torch.func.functional_call(module, parameters, (x,)), backend="eager", fullgraph=True
    )
    assert_equal(torch.func.functional_call(module, parameters, (x,)), untyped(x))
    assert_equal(compiled(x), untyped(x))


def test_activation_checkpointing():
    untyped, module = MODULES[0].twins()
    x = torch.rand(2, 4, requires_grad=True)
    expected = torch.autograd.grad(untyped(x).sum(), x)
    for reentrant in (True, False):
        checkpoint(module, x, use_reentrant=reentrant).sum().backward()
        assert_equal(x.grad, expected[0])
        x.grad = None
    compiled = torch.compile(lambda x: checkpoint(module, x, use_reentrant=False), backend="aot_eager", fullgraph=True)
    assert_equal(torch.autograd.grad(compiled(x).sum(), x), expected)


def test_autocast_takes_float32_and_gives_bfloat16():
    module = mlp(typed)
    with torch.autocast("cpu", torch.bfloat16):
        assert module(ones(2, 4)).dtype == torch.bfloat16
        assert torch.compile(module, backend="eager", fullgraph=True)(ones(2, 4)).dtype == torch.bfloat16


def test_meta_tensors():
    module = mlp(typed).to("meta")
    assert module(ones(2, 4).to("meta")).is_meta
    with pytest.raises(DimensionError, match="is 5, must be 4"):
        module(ones(2, 5).to("meta"))


def test_fake_tensors():
    with FakeTensorMode():
        module = attention(typed)
        assert module(ones(2, 3, 8)).shape == (2, 3, 8)
        with pytest.raises(DimensionError, match="embed is 6, must be 8"):
            module(ones(2, 3, 6))


def test_nested_jagged_tensors():
    def ragged(*lengths: int) -> Tensor:
        return torch.nested.nested_tensor([ones(length, 4) for length in lengths], layout=torch.jagged)

    def add(x: Float[Tensor, "batch seq embed"], y: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch _ embed"]:
        return x + y

    x, other = ragged(2, 3), ragged(2, 4)
    checked = typed(add)
    assert checked(x, x).is_nested
    assert torch.compile(checked, backend="eager", fullgraph=True)(x, x).is_nested
    for call in (checked, torch.compile(checked, backend="eager")):
        with pytest.raises(DimensionError, match=r"seq is j\d+, must be j\d+"):
            call(x, other)


def test_distributed_tensors():
    def add(x: Float[Tensor, "batch n"], y: Float[DTensor, "batch n"]) -> Float[DTensor, "batch n"]:
        return x + y

    torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        mesh = init_device_mesh("cpu", (2,))
        x, narrow = (distribute_tensor(ones(4, n), mesh, [Shard(0)]) for n in (8, 6))
        for call in (typed(add), torch.compile(typed(add), backend="eager", fullgraph=True)):
            assert call(x, x).to_local().shape == (2, 8)
        with pytest.raises(DimensionError, match="n is 6, must be 8"):
            typed(add)(x, narrow)
    finally:
        torch.distributed.destroy_process_group()
