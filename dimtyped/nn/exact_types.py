"""Support for tools that look up torch's layers by exact type, and so miss a typed one, which is a subclass.

Once such a tool is imported, its tables of types get the typed classes too. A quantiser replaces layers, and its
conversions compare exact types again, so it is given torch's own layers: those that it works on lose their checks.
"""

from __future__ import annotations

import copy
import functools
import types
from collections.abc import Callable, MutableMapping
from typing import Any

import torch

from dimtyped.nn.contract.layer import each_layer_class, torch_class_of
from dimtyped.runtime import viewed_as, when_imported


def _enter(table: MutableMapping[type, Any] | list[type], *, of_functions: bool = False) -> None:
    """Enters each typed class where torch's class is, now and as further ones are declared.

    Args:
        table: The tool's table of layer types.
        of_functions: Whether its functions get the layer viewed as torch's class, since they compare its type again.
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
    """Enters the typed classes in the tables at these paths in a module, as far as this release has them."""

    def enter_all(module: types.ModuleType) -> None:
        for path in paths:
            found: Any = functools.reduce(lambda value, name: getattr(value, name, None), path.split("."), module)
            if found is not None:
                _enter(found, of_functions=of_functions)

    return enter_all


def _untyped(model: torch.nn.Module) -> torch.nn.Module:
    from dimtyped.nn.retype import untype  # noqa: PLC0415  # imports three families of layers, and only a quantiser needs it

    return untype(model)


def _untyped_copy(model: torch.nn.Module) -> torch.nn.Module:
    return _untyped(copy.deepcopy(model))


def _with_plain_layers(*names: str, by: Callable[[Any], Any] = _untyped) -> Callable[[types.ModuleType], None]:
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
    for module in [*model.modules()]:
        for name, child in module._modules.items():
            if child is not None and torch_class_of(type(child)) is not None:
                module._modules[name] = copies.setdefault(child, _plain_copy(child))
    return model


def _plain_copy(layer: torch.nn.Module) -> torch.nn.Module:
    plain = copy.copy(layer)
    for name, value in vars(layer).items():
        if isinstance(value, dict):  # parameters, children, hooks: later changes are not shared
            plain.__dict__[name] = value.copy()
    return _untyped(plain)


when_imported("torch.ao.quantization.quantize", _with_plain_layers("propagate_qconfig_"))
when_imported("torch.ao.quantization.fuse_modules", _with_plain_layers("_fuse_modules_helper"))
when_imported("torch.ao.quantization.quantize_fx", _with_plain_layers("_fuse_fx", by=_with_plain_copies))
when_imported("torch.fx.experimental.optimization", _with_plain_layers("fuse", by=_untyped_copy))
when_imported("transformers.integrations.bitsandbytes", _with_plain_layers("replace_with_bnb_linear"))
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
