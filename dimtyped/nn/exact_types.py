"""Support for tools that look up torch's layers by exact type, and so miss typed layers, which are subclasses.

Once such a tool is imported, its tables of types get the typed classes too. Tools that replace layers get torch's own:
see `plain_layers`.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, MutableMapping
from typing import Any

import torch

from dimtyped.nn.contract.layer import each_layer_class, torch_class_of
from dimtyped.runtime import import_with, viewed_as, when_imported


def _enter(table: MutableMapping[type, Any] | list[type], *, of_functions: bool = False) -> None:
    """Enters each typed class beside torch's class, now and whenever another one is declared.

    Args:
        table: The tool's table of layer types.
        of_functions: True if the table holds functions that compare the type again, so they see the layer as torch's class.
    """

    def enter(typed: type[torch.nn.Module]) -> None:
        plain = torch_class_of(typed)
        if plain is None or plain not in table or typed in table:
            return
        if isinstance(table, list):
            table.append(typed)
        else:
            table[typed] = _on_plain_layer(plain, table[plain]) if of_functions else table[plain]

    each_layer_class(enter)


def _on_plain_layer(plain: type[torch.nn.Module], function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def on_plain_layer(layer: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        with viewed_as(layer, plain):
            return function(layer, *args, **kwargs)

    return on_plain_layer


def _register_in(*paths: str, of_functions: bool = False) -> Callable[[types.ModuleType], None]:
    """Enters the typed classes into the tables at these paths in a module, if this release has them."""

    def enter_all(module: types.ModuleType) -> None:
        for path in paths:
            found: Any = functools.reduce(lambda value, name: getattr(value, name, None), path.split("."), module)
            if found is not None:
                _enter(found, of_functions=of_functions)

    return enter_all


for _tool in (
    "torch.ao.quantization.quantize",
    "torch.ao.quantization.fuse_modules",
    "torch.ao.quantization.quantize_fx",
    "torch.fx.experimental.optimization",
    "transformers.integrations.bitsandbytes",
):
    import_with(_tool, "dimtyped.nn.plain_layers")
import_with("torch.fx.passes.utils.source_matcher_utils", "dimtyped.nn.exported_graphs")
when_imported(
    "opacus",
    _register_in(
        "grad_sample.grad_sample_module.GradSampleHooks.GRAD_SAMPLERS",
        "grad_sample.grad_sample_module_fast_gradient_clipping.GradSampleHooksFastGradientClipping.NORM_SAMPLERS",
        of_functions=True,
    ),
)
when_imported(
    "opacus",
    _register_in(
        "validators.module_validator.ModuleValidator.VALIDATORS",
        "validators.module_validator.ModuleValidator.FIXERS",
    ),
)
when_imported("captum.attr._core.deep_lift", _register_in("SUPPORTED_NON_LINEAR"))
when_imported("captum.attr._core.lrp", _register_in("SUPPORTED_LAYERS_WITH_RULES", "SUPPORTED_NON_LINEAR_LAYERS"))
when_imported("captum._utils.sample_gradient", _register_in("SUPPORTED_MODULES"))
when_imported("thop.profile", _register_in("register_hooks"))
when_imported("ptflops.pytorch_ops", _register_in("MODULES_MAPPING"))
