"""Serializes Dims as plain ints in other libraries' output: configurations, a checkpoint's hyperparameters.

Most writers accept a subclass of int. For those that check the exact type, Dim is registered when they are imported.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

from dimtyped.names.dim import Dim
from dimtyped.runtime import when_imported


def _for_yaml(module: types.ModuleType) -> None:
    """Makes each writer of PyYAML or ruamel.yaml write a Dim as an int; some have their own table."""
    for representer in _with_subclasses(module.BaseRepresenter):
        if hasattr(representer, "represent_int"):
            representer.add_representer(Dim, _represent)


def _represent(representer: Any, dim: Dim) -> Any:
    return representer.represent_int(int(dim))


def _with_subclasses(cls: type) -> Iterator[Any]:
    yield cls
    for subclass in cls.__subclasses__():
        yield from _with_subclasses(subclass)


def _for_omegaconf(module: types.ModuleType) -> None:
    module.ValueNode.validate_and_convert = _given_plain(module.ValueNode.validate_and_convert)


def _for_toml(module: types.ModuleType) -> None:
    module.TomlEncoder.dump_value = _given_plain(module.TomlEncoder.dump_value)


def _for_lightning(module: types.ModuleType) -> None:
    """Makes the arguments that `save_hyperparameters` finds plain: they are copied to checkpoints and every logger."""
    mixin = module.HyperparametersMixin
    mixin._set_hparams = _given_plain(mixin._set_hparams)


def _for_mlflow(module: types.ModuleType) -> None:
    """Makes parameters plain before MLflow writes them as text: nested ones would have a Dim's `repr`."""
    for name in ("log_param", "log_params"):
        made = _given_plain_arguments(getattr(module, name))
        setattr(module, name, made)
        setattr(module.tracking.fluent, name, made)


def _given_plain_arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def convert(*args: Any, **kwargs: Any) -> Any:
        return function(*_plain(args), **_plain(kwargs))

    return convert


def _given_plain(method: Callable[..., Any]) -> Callable[..., Any]:
    """The same method, given plain ints in place of Dims."""

    @functools.wraps(method)
    def convert(self: Any, value: Any) -> Any:
        return method(self, _plain(value))

    return convert


def _plain(value: Any) -> Any:
    """The value with ints in place of Dims, in nested dictionaries and lists too; the same object if it has none."""
    if isinstance(value, dict) and any(_plain(item) is not item for item in value.values()):
        copy = value.copy()
        copy.update((key, _plain(item)) for key, item in value.items())
        return copy
    if type(value) in (list, tuple) and any(_plain(item) is not item for item in value):
        return type(value)(_plain(item) for item in value)
    return int(value) if isinstance(value, Dim) else value


when_imported("yaml.representer", _for_yaml)
when_imported("ruamel.yaml.representer", _for_yaml)
when_imported("omegaconf.nodes", _for_omegaconf)
when_imported("toml.encoder", _for_toml)
when_imported("mlflow", _for_mlflow)
when_imported("pytorch_lightning.core.mixins.hparams_mixin", _for_lightning)
when_imported("lightning.pytorch.core.mixins.hparams_mixin", _for_lightning)
