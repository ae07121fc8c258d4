"""Does checking change what torch.compile makes: graphs, operations, graph breaks, recompiles?

Each model is compiled typed and untyped and called over a schedule of batch sizes; every graph that Dynamo hands to its
backend is counted, so a recompile shows as one more. And which peers' checks can be compiled with `fullgraph=True`
at all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch._dynamo.utils import counters

from benchmarks import peers
from benchmarks.measure import Absent, Run, first_line
from benchmarks.record import Row
from benchmarks.workloads import Workload, workloads

DEVICES = ("cpu",)
FULLGRAPH = "torch.compile(fullgraph=True)"
_SCHEDULE = (4, 8, 3, 1, 4)


@dataclasses.dataclass
class Trace:
    """Dynamo's graphs, breaks and recompiles of a model over a schedule of calls."""

    graphs: int = 0
    operations: int = 0
    breaks: int = 0

    def backend(self, graph: torch.fx.GraphModule, _inputs: Any) -> Any:
        """Counts a graph and runs it as it is."""
        self.graphs += 1
        self.operations += sum(node.op.startswith("call") for node in graph.graph.nodes)
        return graph.forward


def ask(run: Run) -> Iterator[Row]:
    for workload in workloads(run):
        run.say(workload.name)
        traces = {label: trace_of(workload, run.device, typed=label == "dimtyped") for label in ("untyped", "dimtyped")}
        for field in dataclasses.fields(Trace):
            for label, trace in traces.items():
                yield run.fact(f"{workload.name}: {field.name}", label, getattr(trace, field.name))
    for peer in peers.ALL:
        run.say(f"fullgraph: {peer.label}")
        yield _fullgraph(run, peer)
    torch._dynamo.reset()


def trace_of(workload: Workload, device: torch.device, *, typed: bool) -> Trace:
    """The trace of a model's `forward` over batch sizes."""
    torch._dynamo.reset()
    counters.clear()
    trace = Trace()
    compiled = torch.compile(workload.model(device, typed=typed), backend=trace.backend)
    with torch.no_grad(), torch._dynamo.config.patch(allow_rnn=True):
        for batch in _SCHEDULE:
            compiled(*workload.inputs(batch, device))
    trace.breaks = sum(counters["graph_break"].values())
    return trace


def _fullgraph(run: Run, peer: peers.Peer) -> Row:
    candidate = peer.candidate(peers.ONE, must_check=peer not in (peers.UNTYPED, peers.OFF))
    if isinstance(candidate, Absent):
        return run.absent(FULLGRAPH, candidate)
    torch._dynamo.reset()
    function = candidate.call
    try:
        torch.compile(lambda x: function(x) * 2, fullgraph=True, backend="eager")(*candidate.arguments)
    except Exception as error:  # noqa: BLE001  # that a peer cannot be compiled is a result
        return run.absent(FULLGRAPH, Absent(peer.label, "cannot run", first_line(error)))
    return run.fact(FULLGRAPH, peer.label, True)
