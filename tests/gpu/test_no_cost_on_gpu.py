"""Checking adds no kernel, no synchronization and no byte on a GPU: eager, under autocast, compiled, captured."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from benchmarks.questions.cuda_graphs import captured
from benchmarks.questions.kernels import kernels_of, peak_of, synchronizes, work_of
from benchmarks.workloads import QUICK, Workload

both_models = pytest.mark.parametrize("workload", QUICK, ids=lambda workload: workload.name)
both_works = pytest.mark.parametrize("what", ["training step", "decode"])


def _forward(workload: Workload, gpu: torch.device, *, typed: bool, mode: str | None = None) -> Callable[[], Any]:
    model: Any = workload.model(gpu, typed=typed)
    if mode is not None:
        model = torch.compile(model, mode=mode)
    inputs = workload.inputs(workload.batches[0], gpu)

    @torch.no_grad()
    def forward() -> Any:
        return model(*inputs).clone()  # a CUDA graph's output is overwritten by its next replay

    return forward


@both_models
@both_works
def test_the_same_kernels_run_as_often(workload: Workload, what: str, gpu: torch.device) -> None:
    typed, untyped = (kernels_of(work_of(workload, what, gpu, typed=typed), gpu) for typed in (True, False))
    assert untyped, "the profiler saw no kernel: this test would pass whatever ran"
    assert typed == untyped


@both_models
def test_the_same_kernels_run_under_autocast(workload: Workload, gpu: torch.device) -> None:
    steps = [
        workload.step(workload.model(gpu, typed=typed), workload.batches[1], gpu, autocast=True)
        for typed in (True, False)
    ]
    for step in steps * 2:
        step()
    typed, untyped = (kernels_of(step, gpu) for step in steps)
    assert untyped
    assert typed == untyped


@both_models
@both_works
def test_a_check_never_waits_for_the_gpu(workload: Workload, what: str, gpu: torch.device) -> None:
    assert synchronizes(work_of(workload, what, gpu, typed=False)) == ""
    assert synchronizes(work_of(workload, what, gpu, typed=True)) == ""


def test_synchronization_would_be_noticed(gpu: torch.device) -> None:
    assert "synchroniz" in synchronizes(torch.ones(1, device=gpu).item)


@both_models
@both_works
def test_the_peak_of_memory_is_the_same(workload: Workload, what: str, gpu: torch.device) -> None:
    assert peak_of(workload, what, gpu, typed=True) == peak_of(workload, what, gpu, typed=False)


@both_models
def test_outputs_are_equal_bit_for_bit(workload: Workload, gpu: torch.device) -> None:
    typed, untyped = (_forward(workload, gpu, typed=typed)() for typed in (True, False))
    assert torch.equal(typed, untyped)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # inductor's own
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@both_models
def test_compiled_models_run_the_same_kernels(workload: Workload, mode: str, gpu: torch.device) -> None:
    ran: list[Any] = []
    results: list[torch.Tensor] = []
    for typed in (True, False):
        torch._dynamo.reset()
        with torch._dynamo.config.patch(allow_rnn=True):
            work = _forward(workload, gpu, typed=typed, mode=mode)
            work(), work()  # the first compiles, the second records the CUDA graph
            results.append(work())
            ran.append(kernels_of(work, gpu))
    torch.testing.assert_close(*results)
    assert ran[1]
    assert ran[0] == ran[1]


@both_models
def test_decoding_can_be_captured_in_a_cuda_graph(workload: Workload, gpu: torch.device) -> None:
    decode = workload.decode(workload.model(gpu, typed=True), 1, gpu)
    expected = decode()
    replay = captured(decode)
    assert torch.equal(replay(), expected)
    untyped = captured(workload.decode(workload.model(gpu, typed=False), 1, gpu))
    assert kernels_of(replay, gpu) == kernels_of(untyped, gpu)


@both_models
def test_training_under_a_gradient_scaler(workload: Workload, gpu: torch.device) -> None:
    losses = []
    for typed in (True, False):
        model = workload.model(gpu, typed=typed)
        inputs, targets = workload.inputs(2, gpu), workload.tokens(2, workload.length, gpu)
        scaler = torch.amp.GradScaler("cuda")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with torch.autocast("cuda", torch.float16):
            loss = torch.nn.functional.cross_entropy(model(*inputs).flatten(0, 1), targets.flatten())
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        losses.append(loss.detach())
    assert torch.equal(*losses)
