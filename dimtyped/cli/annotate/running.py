"""Runs what a user names, with the inputs that he gives: a model, what makes one, a function, a program."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

import torch

from dimtyped.cli.annotate.inputs import reject_unknown
from dimtyped.cli.targets.members import Member, member_named
from dimtyped.cli.targets.settings import Settings
from dimtyped.cli.targets.sources import Source
from dimtyped.cli.targets.usage import UsageError, one_line
from dimtyped.errors import DeclarationError
from dimtyped.flow import makes_module, target_of
from dimtyped.flow.annotating import Observer

_EXAMPLE = "--input '{}=int64[4,16]'"


class Running:
    """Runs the classes and functions of one file.

    Args:
        source: The file.
        module: It, imported.
        settings: Sizes and arguments.
        inputs: The inputs that the user gave.
        observer: Keeps what runs.
    """

    def __init__(
        self, source: Source, module: ModuleType, settings: Settings, inputs: Mapping[str, Any], observer: Observer
    ) -> None:
        self._source = source
        self._module = module
        self._settings = settings
        self._inputs = inputs
        self._observer = observer

    def run_named(self, name: str) -> Exception | None:
        """Runs what was asked for by name.

        Returns:
            The error of the run; None if it completed.

        Raises:
            UsageError: It cannot be run as it was given.
        """
        member = member_named(self._module, name, self._settings, self._source.shown, needs_annotations=False)
        try:
            return self._run(member)
        except UsageError as error:
            raise UsageError(f"{self._source.shown}:{name}: {error.problem}", error.hint) from error

    def run_annotated(self, member: Member) -> Exception | None:
        """Runs a class or function whose annotations say what it takes.

        Raises:
            UsageError: It cannot be run as it was given.
        """
        if member.skipped:
            raise UsageError(member.skipped)
        return self._model(member.thing, member, member.arguments)

    def _run(self, member: Member) -> Exception | None:
        thing = member.thing
        is_function = isinstance(thing, FunctionType) and not makes_module(thing, None)
        if is_function and self._inputs and set(self._inputs) <= inspect.signature(thing).parameters.keys():
            return self._function(member)
        if is_function and member.arguments is not None:
            return self._program(member, member.arguments)
        return self.run_annotated(member)

    def _model(self, model: Any, member: Member, arguments: Mapping[str, Any] | None) -> Exception | None:
        sizes = self._settings.sizes_of(member.name)
        if isinstance(model, (torch.nn.Module, type)):
            forward: Any = model.forward
            parameters = [name for name in inspect.signature(forward).parameters if name != "self"]
            reject_unknown(self._inputs, parameters, f"{_class_name(model)}.forward")
        try:
            return self._observer.observe_model(model, self._inputs, sizes, arguments)
        except DeclarationError as error:
            raise UsageError(str(error).partition("\n")[0], self._hint(model)) from error
        except Exception as error:
            raise UsageError(f"it raised {one_line(error)}", "`dimtyped check` says where") from error

    def _hint(self, model: Any) -> str:
        """How to give the inputs that are missing."""
        function: Any = getattr(model, "forward", model)
        needed = [
            name
            for name, parameter in inspect.signature(function).parameters.items()
            if name not in ("self", *self._inputs) and parameter.default is inspect.Parameter.empty
        ]
        return f"give it: {' '.join(map(_EXAMPLE.format, needed))}" if needed else ""

    def _function(self, member: Member) -> Exception | None:
        """Runs a function with the inputs, and with the arguments that `--arg` gives."""
        parameters = inspect.signature(member.thing).parameters
        others = self._settings.arguments_of(member.name, vars(self._module))
        given = {**{name: value for name, value in others.items() if name in parameters}, **self._inputs}
        try:
            return self._observer.observe_target(target_of(member.thing), given, self._settings.sizes_of(member.name))
        except DeclarationError as error:
            raise UsageError(str(error).partition("\n")[0], self._hint(member.thing)) from error

    def _program(self, member: Member, arguments: Mapping[str, Any]) -> Exception | None:
        """Runs a function that runs something, or that makes a model, with or without its inputs."""
        if member.skipped:
            raise UsageError(
                member.skipped.replace("which is not a DimSize: ", "").replace("which are not DimSizes: ", "")
            )
        result, error = self._observer.observe_program(partial(member.thing, **arguments))
        if error is not None:
            return error
        if isinstance(result, torch.nn.Module):
            return self._model(result, member, None)
        match result:
            case (torch.nn.Module() as model, dict() as inputs):
                return self._made(model, (), inputs, member)
            case (torch.nn.Module() as model, tuple() | list() as inputs):
                return self._made(model, tuple(inputs), {}, member)
            case (torch.nn.Module() as model, *inputs):
                return self._made(model, tuple(inputs), {}, member)
            case _:
                return None

    def _made(
        self, model: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], member: Member
    ) -> Exception | None:
        """Runs a model with the inputs that were made with it."""
        try:
            bound = inspect.signature(model.forward).bind(*args, **kwargs).arguments
        except TypeError as error:
            raise UsageError(f"it returns inputs that {_class_name(model)}.forward does not take: {error}") from error
        given = {**bound, **self._inputs}
        return self._observer.observe_target(target_of(model), given, self._settings.sizes_of(member.name))


def _class_name(model: Any) -> str:
    return (model if isinstance(model, type) else type(model)).__name__
