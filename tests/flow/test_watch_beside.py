"""`watch` beside what else hooks into Python and torch: profilers, threads, workers, other watches, torch.compile, DDP, autocast."""

import cProfile
import os
import sys
import threading

import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import _get_current_function_mode

from dimtyped import DimSize, check, nn, typed, watch

C_PROFILERS_HOOK = sys.version_info < (3, 12)  # later ones use sys.monitoring


class Norm(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.linear, self.norm = nn.Linear(embed, embed), nn.BatchNorm1d(embed)

    def forward(self, x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch embed"]:
        return self.norm(self.linear(x))


@typed
def mixed(x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch embed"]:
    return x.softmax(0)


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = sys.getprofile()
    yield
    assert sys.getprofile() is before
    assert _get_current_function_mode() is None
    assert not torch.nn.modules.module._global_forward_hooks


def kinds(report):
    return [found.kind for found in report.findings]


def test_a_c_profiler_around_it_goes_on_afterwards():
    profiler = cProfile.Profile()
    profiler.enable()
    with watch() as report:
        mixed(torch.rand(3, 4))
    sorted([2, 1])
    profiler.disable()
    assert kinds(report) == ["mixing"]
    assert any("sorted" in str(entry.code) for entry in profiler.getstats())


def test_a_c_profiler_within_takes_the_names_and_a_note_says_so():
    profiler = cProfile.Profile()
    with watch() as report:
        profiler.enable()
        result = mixed(torch.rand(3, 4))
        profiler.disable()
    assert result.shape == (3, 4)
    if C_PROFILERS_HOOK:
        assert report.notes == ["another profiler was set meanwhile: annotated calls after that gave no names"]
    else:
        assert kinds(report) == ["mixing"]


def test_an_interrupt_ends_it_cleanly():
    def step():
        mixed(torch.rand(3, 4))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), watch() as report:
        step()
    assert kinds(report) == ["mixing"]


def test_one_within_another_and_check_within_it():
    with watch() as outer:
        with watch() as inner:
            mixed(torch.rand(3, 4))
        assert check(Norm(4)).ok
        mixed(torch.rand(5, 4))
    assert kinds(inner) == ["mixing"]
    assert kinds(outer) == ["mixing"]


def test_each_thread_has_its_own():
    reports = []

    def work():
        with watch() as report:
            mixed(torch.rand(3, 4))
        reports.append(report)

    with watch() as around:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [kinds(report) for report in reports] == [["mixing"]] * 4
    assert around.ok


def test_batches_from_workers():
    data = torch.utils.data.TensorDataset(torch.rand(8, 4))
    with watch() as report:
        shapes = [Norm(4)(x).shape for (x,) in torch.utils.data.DataLoader(data, batch_size=4, num_workers=1)]
    assert shapes == [(4, 4)] * 2
    assert report.ok
    assert not report.unfollowed


@pytest.mark.any_engine  # a trace follows the fast engine's checks
@pytest.mark.parametrize("is_compiled_before", [False, True])
def test_a_compiled_function_is_seen_and_compiled_afterwards(is_compiled_before):
    compiled = torch.compile(lambda x: mixed(x) * 2, backend="eager", fullgraph=True)
    if is_compiled_before:
        compiled(torch.rand(3, 4))
    with watch() as report:
        compiled(torch.rand(3, 4))
    assert kinds(report) == ["mixing"]
    assert compiled(torch.rand(3, 4)).shape == (3, 4)


def test_autocast():
    with watch() as report, torch.autocast("cpu", torch.bfloat16):
        Norm(4)(torch.rand(3, 4))
    assert report.ok
    assert not report.unfollowed


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_distributed_data_parallel(tmp_path):
    store = torch.distributed.FileStore(os.fspath(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        model = torch.nn.parallel.DistributedDataParallel(Norm(4))
        with watch() as report:
            model(torch.rand(3, 4)).square().mean().backward()
        assert check(model, torch.rand(3, 4)).ok
    finally:
        torch.distributed.destroy_process_group()
    assert report.ok
    assert not report.unfollowed
    assert all(parameter.grad is not None for parameter in model.parameters())
