"""Support for tools that replace layers, such as quantizers: they get torch's own layers in place of typed ones.

Their conversions compare exact types more than once, so an entry in a table does not suffice. The layers that such a
tool works on lose their checks. This module is imported when one of the tools is.
"""

from __future__ import annotations

import copy
import functools
import types
from collections.abc import Callable
from typing import Any

import torch

from dimtyped.nn.contract.layer import torch_class_of
from dimtyped.nn.retype import untype
from dimtyped.runtime import members_of, when_imported


def _untyped_copy(model: torch.nn.Module) -> torch.nn.Module:
    return untype(copy.deepcopy(model))


def _with_plain_layers(*names: str, by: Callable[[Any], Any] = untype) -> Callable[[types.ModuleType], None]:
    """Wraps these functions of a module, which change a model, so that they work on torch's own layers."""

    def wrap_all(module: types.ModuleType) -> None:
        for name in names:
            if hasattr(module, name):
                setattr(module, name, _given_plain(getattr(module, name), by))

    return wrap_all


def _given_plain(function: Callable[..., Any], by: Callable[[Any], Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def on_plain_layers(model: Any, *args: Any, **kwargs: Any) -> Any:
        return function(by(model), *args, **kwargs)

    return on_plain_layers


def _with_plain_copies(model: torch.nn.Module) -> torch.nn.Module:
    """Replaces typed layers by copies of torch's classes with the same parameters: another model holds the originals."""
    copies: dict[torch.nn.Module, torch.nn.Module] = {}
    for module in members_of(model):
        for name, child in module._modules.items():
            if child is not None and torch_class_of(type(child)) is not None:
                module._modules[name] = copies.setdefault(child, _plain_copy(child))
    return model


def _plain_copy(layer: torch.nn.Module) -> torch.nn.Module:
    plain = copy.copy(layer)
    for name, value in vars(layer).items():
        if isinstance(value, dict):  # parameters, children, hooks: later changes are not shared
            plain.__dict__[name] = value.copy()
    return untype(plain)


when_imported("torch.ao.quantization.quantize", _with_plain_layers("propagate_qconfig_"))
when_imported("torch.ao.quantization.fuse_modules", _with_plain_layers("_fuse_modules_helper"))
when_imported("torch.ao.quantization.quantize_fx", _with_plain_layers("_fuse_fx", by=_with_plain_copies))
when_imported("torch.fx.experimental.optimization", _with_plain_layers("fuse", by=_untyped_copy))
when_imported("transformers.integrations.bitsandbytes", _with_plain_layers("replace_with_bnb_linear"))
