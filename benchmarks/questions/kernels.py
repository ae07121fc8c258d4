"""Does checking add an operator on the CPU; a kernel, a copy, a synchronization or a byte on a GPU?

The profiler's list of what ran, `torch.cuda.set_sync_debug_mode("error")`, and the allocator's peak.
"""

from __future__ import annotations

import gc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.measure import Run, first_line
from benchmarks.record import Row
from benchmarks.workloads import Workload, workloads

SAME = "the same, as often"
PEAK = "peak memory"
SYNCS = "runs with synchronization forbidden"
_MB = 1e6


def ask(run: Run) -> Iterator[Row]:
    for workload in workloads(run):
        for what in ("training step", "decode"):
            run.say(f"{workload.name} {what}")
            yield from _facts(run, workload, what)


def _facts(run: Run, workload: Workload, what: str) -> Iterator[Row]:
    work: dict[str, Callable[[], Any]] = {}
    for label, typed in (("untyped", False), ("dimtyped", True)):
        work[label] = work_of(workload, what, run.device, typed=typed)
    ran = {label: kernels_of(each, run.device) for label, each in work.items()}
    case = f"{workload.name} {what}"
    for label, kernels in ran.items():
        yield run.fact(f"{case}: {'kernels and copies' if run.on_gpu else 'operators'}", label, sum(kernels.values()))
    seen = bool(ran["untyped"])
    note = "" if seen else "the profiler saw nothing run"
    yield run.fact(f"{case}: {SAME}", "dimtyped", seen and ran["dimtyped"] == ran["untyped"], note=note)
    if not run.on_gpu:
        return
    for label in ran:
        yield run.fact(f"{case}: {PEAK}", label, peak_of(workload, what, run.device, typed=label == "dimtyped"), "MB")
        yield run.fact(f"{case}: {SYNCS}", label, not (problem := synchronizes(work[label])), note=problem)


def work_of(workload: Workload, what: str, device: torch.device, *, typed: bool) -> Callable[[], Any]:
    """A training step or a decoding, warmed up."""
    model = workload.model(device, typed=typed)
    batch = workload.batches[1]
    work = workload.decode(model, 1, device) if what == "decode" else workload.step(model, batch, device)
    for _ in range(3):
        work()
    return work


def kernels_of(work: Callable[[], Any], device: torch.device) -> Counter[str]:
    """The number of runs of each kernel, copy and fill on a GPU, by name; on the CPU, of each of torch's operators."""
    if device.type == "cuda":
        _events(work, ProfilerActivity.CUDA)  # the first one of a process sets the GPU's tracer up, and may see less
        ran = (event for event in _events(work, ProfilerActivity.CUDA) if event.device_type == DeviceType.CUDA)
    else:
        ran = (event for event in _events(work) if event.device_type == DeviceType.CPU)
    return Counter(event.name for event in ran if not event.is_user_annotation)  # spans such as the optimizer's


def _events(work: Callable[[], Any], *more: ProfilerActivity) -> Any:
    """The profiler's events of the work, up to its end on the GPU."""
    with profile(activities=[ProfilerActivity.CPU, *more]) as profiler:
        work()
        if more:
            torch.cuda.synchronize()
    return profiler.events()


def synchronizes(work: Callable[[], Any]) -> str:
    """The first line of the error for a call in the work that waits for the GPU; empty if there is none."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.synchronize()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype")
        torch.cuda.set_sync_debug_mode("error")
    try:
        work()
    except RuntimeError as error:
        return first_line(error)
    finally:
        torch.cuda.set_sync_debug_mode(before)
    return ""


def peak_of(workload: Workload, what: str, device: torch.device, *, typed: bool) -> float:
    """The most megabytes that tensors asked for at once, beyond what was there before the model."""
    work_of(workload, what, device, typed=False)()  # the libraries' own workspaces are allocated at their first call
    before = _requested(device, "current")
    work = work_of(workload, what, device, typed=typed)
    torch.cuda.reset_peak_memory_stats(device)
    work()
    torch.cuda.synchronize()
    return (_requested(device, "peak") - before) / _MB


def _requested(device: torch.device, when: str) -> int:
    """Bytes as asked for: what the allocator hands out depends on what it has cached."""
    gc.collect()
    return torch.cuda.memory_stats(device)[f"requested_bytes.all.{when}"]
