"""Support for tools that find layers in an exported graph by their class: there a typed layer stands under torch's.

`torch.export` notes at each node the module that it comes from. Quantizers of exported graphs look for `torch.nn.Linear`
among these notes, by its exact name. This module is imported when torch's search for them is.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch

from dimtyped.nn.contract.layer import layer_classes, torch_class_of
from dimtyped.runtime import when_imported

_SEARCH = "get_source_partitions"
_NOTES = ("nn_module_stack", "source_fn_stack")


def _install(module: types.ModuleType) -> None:
    """Wraps the search in a module that has it, also one that has imported it before."""
    search = getattr(module, _SEARCH, None)
    if search is not None and not hasattr(search, "_dim_wrapped"):
        setattr(module, _SEARCH, _seeing_plain_layers(search))


def _seeing_plain_layers(search: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(search)
    def find(graph: torch.fx.Graph, *args: Any, **kwargs: Any) -> Any:
        with _under_torchs_names(graph):
            return search(graph, *args, **kwargs)

    find._dim_wrapped = True  # type: ignore[attr-defined]  # so that it is wrapped once
    return find


@contextmanager
def _under_torchs_names(graph: torch.fx.Graph) -> Generator[None]:
    """Within the block the notes of the graph's nodes name torch's class in place of a typed layer's."""
    pairs = [(typed, torch_class_of(typed)) for typed in layer_classes()]
    plain: dict[Any, Any] = {typed: cls for typed, cls in pairs if cls is not None}
    plain |= {_full_name(typed): _full_name(cls) for typed, cls in pairs if cls is not None}
    before: list[tuple[torch.fx.Node, str, Any]] = []
    for node in graph.nodes:
        for kind in _NOTES:
            stack = node.meta.get(kind)
            if stack:
                before.append((node, kind, stack))
                node.meta[kind] = _renamed(stack, plain)
    try:
        yield
    finally:
        for node, kind, stack in before:
            node.meta[kind] = stack


def _renamed(stack: Any, plain: dict[Any, Any]) -> Any:
    """A stack of pairs of a path and a class, as a dictionary or as a list, with other classes."""
    if isinstance(stack, dict):
        return {key: (path, plain.get(cls, cls)) for key, (path, cls) in stack.items()}  # pyright: ignore[reportUnknownVariableType]  # torch's notes have no type
    return [(path, plain.get(cls, cls)) for path, cls in stack]


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


when_imported("torch.fx.passes.utils.source_matcher_utils", _install)
when_imported("torchao.quantization.pt2e.graph_utils", _install)
when_imported("torchao.quantization.pt2e.quantizer.x86_inductor_quantizer", _install)
