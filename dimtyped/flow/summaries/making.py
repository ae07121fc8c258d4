"""`summary` runs a model once, on fake tensors, and shows the inputs, outputs and multiply-adds of its modules."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch

from dimtyped.errors import DeclarationError
from dimtyped.flow.attempts import Attempts, sizes_text
from dimtyped.flow.copies import fake_mode
from dimtyped.flow.inputs import bind
from dimtyped.flow.runs import Options, Runner
from dimtyped.flow.summaries.recorder import Recorder
from dimtyped.flow.summaries.summary import Summary
from dimtyped.flow.summaries.tree import tree_of
from dimtyped.flow.targets import Factory, Target, is_annotated, makes_module, target_of
from dimtyped.flow.tracer import TracedFlow
from dimtyped.runtime import WithoutInternalFrames

_R = TypeVar("_R", bound=AbstractContextManager[Any])


@WithoutInternalFrames()
def summary(
    model: Any,
    /,
    *args: Any,
    sizes: Mapping[str, int] | None = None,
    arguments: Mapping[str, Any] | None = None,
    depth: int | None = None,
    **kwargs: Any,
) -> Summary:
    """Each module of a model with its inputs and outputs in names and sizes, its parameters and its multiply-adds.

    The model runs once, on fake tensors, so a model of any size, also on `meta`, takes seconds and no memory. It is not
    changed. Repeated blocks, such as the layers of a ModuleList, share one row.

    Args:
        model: A module, or what makes one: a class or a factory, as for `check`.
        *args: Its inputs. Default: made from the annotations.
        sizes: Sizes of names. Default: small ones that differ.
        arguments: What a class or factory takes besides its `DimSize` parameters. Default: none.
        depth: How deep the table goes; 1 has the model and its own modules. Default: all of it.
        **kwargs: More inputs, by name.

    Returns:
        The summary: `print` shows it, `to_markdown()`, `to_html()` and `to_dict()` are its other forms.

    Raises:
        DeclarationError: The model cannot be run as it was given.
        Exception: What the model raises.
    """
    given = dict(sizes or {})
    raised: Exception | None = None
    for target, made_with in _targets(model, given, arguments):
        left = {name: size for name, size in given.items() if name not in made_with}
        try:
            made = _summarised(target, args, kwargs, left)
        except DeclarationError:
            raise
        except Exception as error:  # noqa: BLE001 - the model's own: it may not take these sizes
            raised = raised or error
            continue
        made.depth = depth
        if made_with:
            made.notes.insert(0, f"made with {sizes_text(made_with)}")
        return made
    raise raised or DeclarationError("summary was given nothing that makes a module\n  Write summary(model).")


def _targets(
    model: Any, sizes: Mapping[str, int], arguments: Mapping[str, Any] | None
) -> Iterator[tuple[Target, dict[str, int]]]:
    """The module, or for a class a module of each choice of sizes."""
    if makes_module(model, arguments):
        known = inspect.signature(model).parameters
        yield from Factory(model, {n: s for n, s in sizes.items() if n in known}, arguments or {}).targets()
    elif isinstance(model, torch.nn.Module):
        yield target_of(model), {}
    else:
        raise DeclarationError(
            f"summary takes a module or what makes one, not {model!r:.60} of type {type(model).__name__}\n"
            "  Write summary(model) or summary(ModelClass)."
        )


def _summarised(target: Target, args: tuple[Any, ...], kwargs: Mapping[str, Any], sizes: Mapping[str, int]) -> Summary:
    recorder, attempts, made_with = recorded_run(target, args, kwargs, sizes, Recorder)
    owner: Any = target.owner
    return _made(owner, recorder, attempts, made_with)


def recorded_run(
    target: Target,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    sizes: Mapping[str, int],
    make_recorder: Callable[[TracedFlow, Any], _R],
) -> tuple[_R, Attempts, Mapping[str, int]]:
    """Runs a module once, in sizes with which it completes.

    Args:
        target: The module.
        args: Its inputs. If there are none, they are made from the annotations.
        kwargs: More inputs, by name.
        sizes: Sizes of names.
        make_recorder: Makes what records a run, from what follows it and the copy that runs. The run is inside of it.

    Returns:
        The recorder of the run, the attempts before it, and its sizes.

    Raises:
        DeclarationError: Nothing says which inputs it takes.
        Exception: What the model raises.
    """
    given = bind(target.function, (target.owner, *args), kwargs, target.where)
    given.pop(next(iter(given)))
    takes_nothing = target.signature is not None and not target.maker.parameters
    if not given and not takes_nothing and not is_annotated(target):
        raise DeclarationError(
            f"{target.where}: no annotation says which tensors it takes, and no inputs were given\n"
            '  Give them: summary(model, x), or annotate them: x: Float[Tensor, "batch seq"].'
        )
    runner = Runner(target, given, Options(), fake_mode())
    attempts = Attempts(runner, sizes)
    first, _ = attempts.first()
    if first.error is not None:
        raise first.error
    recorders: list[_R] = []

    def around(flow: TracedFlow, call: Any) -> _R:
        recorders.append(make_recorder(flow, call))
        return recorders[-1]

    runner.around = around
    run = runner.run(first.sizes)
    if run.error is not None:
        raise run.error
    return recorders[-1], attempts, run.sizes


def _made(model: torch.nn.Module, recorder: Recorder, attempts: Attempts, sizes: Mapping[str, int]) -> Summary:
    parameters = list(model.parameters())
    leaves = {
        path for path, member in model.named_modules() if not list(member.children()) and list(member.parameters())
    }
    return Summary(
        tree_of(model, recorder.records),
        sum(parameter.numel() for parameter in parameters),
        sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        sum(parameter.numel() * parameter.element_size() for parameter in parameters),
        recorder.input_bytes,
        2 * sum(record.output_bytes for path, record in recorder.records.items() if path in leaves),
        {name: size for name, size in sizes.items() if name not in attempts.runner.target.declared},
        {**recorder.links.sizes, **sizes, **attempts.runner.target.declared},
        list(attempts.notes),
        links=list(recorder.links.found),
    )
