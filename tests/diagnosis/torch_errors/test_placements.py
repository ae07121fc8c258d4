"""What DTensor refuses inside a typed call is told with the placement of each operand, by name."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module
from torch.nn import functional as F  # noqa: N812  # its name everywhere
from torch.testing._internal.distributed.fake_pg import FakeStore

from dimtyped import DimensionError, DimSize, explain, nn, typed

Tokens = Float[Tensor, "batch seq hidden"]


@pytest.fixture(scope="module")
def mesh():
    """A mesh of 2 x 2 in one process: nothing is communicated, and DTensor refuses what it refuses anywhere."""
    dist.init_process_group("fake", store=FakeStore(), rank=1, world_size=4)
    try:
        yield init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    finally:
        dist.destroy_process_group()


def split(mesh, *sizes, by=(Shard(0), Shard(-1))):
    return distribute_tensor(torch.ones(sizes), mesh, [p if p != Shard(-1) else Shard(len(sizes) - 1) for p in by])


def note_of(call, *args):
    """The note of the exception that a call raises."""
    with pytest.raises((RuntimeError, IndexError, AssertionError, ValueError)) as caught:
        call(*args)
    assert type(caught.value) in (RuntimeError, IndexError, AssertionError, ValueError)
    (note,) = caught.value.__notes__
    return note


@typed
def product(x: Tokens, w: Float[Tensor, "hidden out"]):
    return x @ w


def test_a_local_tensor_among_dtensors(mesh):
    assert note_of(product, split(mesh, 4, 6, 8), torch.ones(8, 4)) == (
        "dimtyped: rank 1 of 4: `x @ w` in product: `w` is a local tensor, `x` is a DTensor\n"
        "    x   float32 (batch@dp=4, seq=6, hidden@tp=8)\n"
        "    w   float32 (hidden=8, out=4) local tensor, not a DTensor\n"
        "  If `w` is the same on every rank: `DTensor.from_local(w, x.device_mesh)`. Else distribute it as `x` is."
    )


def test_the_advice_for_a_local_tensor_holds(mesh):
    x, w = split(mesh, 4, 6, 8), torch.ones(8, 4)
    assert product(x, DTensor.from_local(w, x.device_mesh)).shape == (4, 6, 4)


def test_sizes_that_do_not_fit_are_still_told_as_sizes(mesh):
    @typed
    def wrong(x: Tokens, w: Float[Tensor, "ff out"]):
        return x @ w

    assert note_of(wrong, split(mesh, 4, 6, 8), split(mesh, 6, 4, by=(Replicate(), Shard(0)))) == (
        "dimtyped: rank 1 of 4: `x @ w` in wrong: hidden@tp=8 meets ff@tp=6\n"
        "    x   float32 (batch@dp=4, seq=6, hidden@tp=8)\n"
        "    w   float32 (ff@tp=6, out=4) replicated on dp\n"
        "                 ^^^^^^^ must be 8"
    )


def test_devices_that_do_not_divide_a_new_size(mesh):
    @typed
    def heads(x: Tokens):
        return x.view(x.shape[0], x.shape[1], 3, -1)

    assert note_of(heads, split(mesh, 4, 6, 12)) == (
        "dimtyped: rank 1 of 4: `x.view(x.shape[0], x.shape[1], 3, -1)` in heads:\n"
        "  hidden@tp=12 is split over the 2 devices of tp, which do not divide 3\n"
        "    x   float32 (batch@dp=4, seq=6, hidden@tp=12)\n"
        "  Choose a multiple of 2, or make `x` whole on tp before: x.redistribute(placements=...)."
    )


def test_meshes_that_differ(mesh):
    note = note_of(product, split(mesh, 4, 6, 8), split(mesh["tp"], 8, 4, by=(Shard(0),)))
    assert "`x` is on the mesh (dp=2, tp=2), `w` on (tp=2)\n" in note
    assert "    w   float32 (hidden@tp=8, out=4)\n" in note


def test_an_operator_that_torch_does_not_split(mesh):
    @typed
    def words(x: Tokens):
        return torch.unique(x)

    note = note_of(words, split(mesh, 4, 6, 8, by=(Shard(1), Replicate())))
    assert "`torch.unique(x)` in words: torch has no rule that splits this operator over devices\n" in note
    assert "    x   float32 (batch=4, seq@dp=6, hidden=8) replicated on tp\n" in note
    assert note.endswith("Call it on the whole tensor: `x.full_tensor()`.")


def test_an_axis_that_is_not_there(mesh):
    @typed
    def spread(x: Tokens):
        return x.redistribute(mesh, [Shard(5), Shard(1)])

    @typed
    def placed(x: Tokens):
        placements = [Shard(0), Shard(7)]
        return distribute_tensor(x, mesh, placements)

    assert "`x` has 3 axes, and Shard(5) splits another one\n" in note_of(spread, split(mesh, 4, 6, 8))
    assert "`x` has 3 axes, and Shard(7) splits another one\n" in note_of(placed, torch.ones(4, 6, 8))


def test_what_fits_as_a_whole_only(mesh):
    @typed
    def convolved(x: Tokens, w: Float[Tensor, "out hidden kernel"]):
        return F.conv1d(x.transpose(1, 2), w)

    assert note_of(convolved, split(mesh, 4, 6, 8), split(mesh, 4, 8, 3, by=(Replicate(), Shard(0)))) == (
        "dimtyped: rank 1 of 4: `F.conv1d(x.transpose(1, 2), w)` in convolved:\n"
        "  every size fits as a whole, and torch cannot do it with these parts\n"
        "    x.transpose(1, 2)   float32 (batch@dp=4, hidden@tp=8, seq=6)\n"
        "    w                   float32 (out@tp=4, hidden=8, kernel=3) replicated on dp"
    )


def test_results_of_operators(mesh):
    """A view stays split as its tensor is; how any other result is split, only torch knows."""

    @typed
    def mixed(x: Tokens, w: Float[Tensor, "seq out"]):
        return x.transpose(1, 2).unsqueeze(0) @ w

    @typed
    def computed(x: Tokens, w: Float[Tensor, "hidden out"]):
        return (x + 1) @ w

    @typed
    def sized(x: Tokens, w: Float[Tensor, "hidden out"]):
        return x @ (w + torch.ones(x.shape[2], 1))

    x = split(mesh, 4, 6, 8)
    assert "float32 (1, batch@dp=4, hidden@tp=8, seq=6)\n" in note_of(mixed, x, torch.ones(6, 5))
    assert "    x + 1   float32 (batch=4, seq=6, hidden=8) a DTensor\n" in note_of(computed, x, torch.ones(8, 5))
    assert "float32 (hidden=8, out=5) local tensor, not a DTensor\n" in note_of(sized, x, torch.ones(8, 5))


def test_partial_sums(mesh):
    @typed
    def added(x: Tokens, y: Tokens):
        return x + y

    x = DTensor.from_local(torch.ones(2, 6, 8), mesh, [Shard(0), Partial()])
    note = note_of(added, x, torch.ones(4, 6, 8))
    assert "    x   float32 (batch@dp=4, seq=6, hidden=8) partial sum over tp\n" in note


def test_a_mesh_without_names(mesh):
    flat = init_device_mesh("cpu", (4,))
    note = note_of(product, split(flat, 4, 6, 8, by=(Shard(2),)), torch.ones(8, 4))
    assert "    x   float32 (batch=4, seq=6, hidden@0=8)\n" in note


class Up(nn.Module):
    def __init__(self, hidden: DimSize, ff: DimSize):
        super().__init__()
        self.up = nn.Linear(hidden, ff)

    def forward(self, x: Tokens) -> Float[Tensor, "batch seq ff"]:
        return self.up(x)


def test_a_layer_that_is_not_split(mesh):
    assert note_of(Up(8, 4), split(mesh, 4, 6, 8)) == (
        "dimtyped: rank 1 of 4: `self.up(x)` in Up.forward: `up.weight` is a local tensor, `x` is a DTensor\n"
        "    x           float32 (batch@dp=4, seq=6, hidden@tp=8)\n"
        "    up.weight   float32 (ff=4, hidden=8) local tensor, not a DTensor\n"
        "    up.bias     float32 (ff=4) local tensor, not a DTensor\n"
        "  Split `up` too, or give it the whole tensor: `x.full_tensor()`."
    )


def test_a_layer_on_another_mesh(mesh):
    model = parallelize_module(Up(8, 4), mesh["tp"], {"up": ColwiseParallel()})
    note = note_of(model, split(mesh, 4, 6, 8))
    assert "`x` is on the mesh (dp=2, tp=2), `up.weight` on (tp=2)\n" in note
    assert "    up.weight   float32 (ff@tp=4, hidden=8)\n" in note


def test_as_data(mesh):
    with pytest.raises(RuntimeError) as caught:
        product(split(mesh, 4, 6, 8), torch.ones(8, 4))
    report = explain(caught.value)
    assert (report.kind, report.rank, report.fix) == ("placement", "rank 1 of 4", "")
    assert [operand.placements for operand in report.operands] == [("batch@dp", "hidden@tp"), ()]
    assert json.loads(json.dumps(report.to_dict()))["operands"][0]["placements"] == ["batch@dp", "hidden@tp"]


def test_a_dimension_error_has_the_placements_too(mesh):
    @typed
    def same(x: Tokens, y: Tokens, w: Float[Tensor, "hidden out"]) -> Tokens:
        return x @ w

    x, w = split(mesh, 4, 6, 8), split(mesh, 8, 4, by=(Replicate(), Shard(0)))
    with pytest.raises(DimensionError) as caught:
        same(x, torch.ones(4, 5, 8), w)
    text = str(caught.value)
    assert "    got      float32 (4, 5, 8) local tensor, not a DTensor\n" in text
    assert text.endswith("\n    rank 1 of 4")
    with pytest.raises(DimensionError, match="hidden is 4, must be 8") as caught:
        same(x, x, w)
    assert "    got      float32 (4, 6, 4) batch@dp, partial sum over tp\n" in str(caught.value)


@pytest.mark.filterwarnings("ignore")  # torch's own, of DTensors inside a trace
def test_compiled(mesh):
    torch._dynamo.reset()
    compiled = torch.compile(product, backend="eager", fullgraph=True)
    with pytest.raises(Exception, match="mixed torch.Tensor and DTensor") as caught:
        compiled(split(mesh, 4, 6, 8), torch.ones(8, 4))
    note = "\n".join(caught.value.__notes__)
    assert "`w` is a local tensor, `x` is a DTensor" in note
    assert "    x   float32 (batch@dp=4, seq=6, hidden@tp=8)\n" in note


ALONE = """
import sys, torch, dimtyped
from jaxtyping import Float
from torch import Tensor

@dimtyped.typed
def product(x: Float[Tensor, "a b"], y: Float[Tensor, "a b"]):
    return x @ y

try:
    product(torch.ones(2, 3), torch.ones(2, 3))
except RuntimeError as error:
    assert "b=3 meets a=2" in error.__notes__[0]
try:
    product(torch.ones(2, 3), torch.ones(2, 4))
except dimtyped.DimensionError as error:
    assert "rank" not in str(error)
assert "torch.distributed.tensor" not in sys.modules
"""


def test_where_no_tensor_is_distributed_nothing_is_imported(tmp_path):
    (tmp_path / "alone.py").write_text(ALONE)
    subprocess.run([sys.executable, tmp_path / "alone.py"], check=True, timeout=120)
