"""`fuzz`: a module called rightly and wrongly in many sizes, and what it may do then."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import hypothesis
import torch
from hypothesis import Phase, given, reproduce_failure, settings
from hypothesis import strategies as st
from torch import Tensor

from dimtyped import _config
from dimtyped._describe import shape_text
from dimtyped._errors import DeclarationError, DimensionError
from dimtyped._report import dtype_text
from dimtyped.testing._broken import Broken, broken_calls
from dimtyped.testing._calls import Call, drawn_calls
from dimtyped.testing._independent import QUIET, check_call, precise_twin, runs_along
from dimtyped.testing._leaves import mapped
from dimtyped.testing._running import calm, differs, fresh, result_leaves, run, twin_of
from dimtyped.testing._target import Target, module_of, targets_of

_DEFAULT = ("batch",)
_BLOB = re.compile(r"reproduce_failure\('([^']+)', b'([^']+)'\)")
_PART = 3  # one broken call for so many right ones


class FuzzError(AssertionError):
    """A module does with some inputs what it must not. `sizes` are those of the smallest inputs found."""

    sizes: Mapping[str, int] = {}  # noqa: RUF012  # replaced on the instance, never changed


@dataclass(frozen=True)
class _Asked:
    """What is tested beside types and shapes."""

    grad: bool
    finite: bool
    axes: tuple[str, ...]
    causal: str | None
    padding: str | None


def fuzz(
    function_or_module: Callable[..., Any],
    *,
    max_examples: int = 100,
    broken: bool = True,
    grad: bool = False,
    compile: bool | str = False,  # noqa: A002  # as torch.compile
    finite: bool = False,
    independent: Sequence[str] | None = None,
    causal: str | None = None,
    padding: str | None = None,
    sizes: Mapping[str, int] | None = None,
    repeat: str = "",
) -> None:
    """Calls a copy of a module, in eval mode, with inputs made from its annotations, and checks what it does.

    A right call must return what is annotated, in the dtype of the module, edit no input, and keep samples apart. A
    broken call must raise `DimensionError` that names the dimension.

    Args:
        function_or_module: What is called, with annotations.
        max_examples: How many right calls are made, and a third as many broken ones.
        broken: Whether broken calls are made. Default: True.
        grad: Whether gradients must exist and be finite. Default: False.
        compile: Whether `torch.compile` must give the same, or its backend: `True` is `"aot_eager"`. Default: False.
        finite: Whether results must be finite. Default: False.
        independent: Names of axes that must not mix. Default: `batch`, where parameters and result have it.
        causal: An axis along which results may depend only on what comes before. Default: none.
        padding: The parameter with lengths, or a mask, past which nothing may matter. Default: none.
        sizes: Sizes of names that the module does not declare. Default: none, all are drawn.
        repeat: What a failure has printed: only that is tried again.

    Raises:
        AssertionError: the module fails. It prints the smallest inputs found, by name and size, and a line that
            repeats it.
        DeclarationError: no inputs can be made from the annotations.

    Example:
        >>> from dimtyped import nn
        >>> from dimtyped.testing import fuzz
        >>> fuzz(nn.GRU(3, 4), max_examples=10)
    """
    axes = _axes(function_or_module, independent)
    asked = _Asked(grad, finite, axes, causal, padding)
    checks = [_right(function_or_module, sizes, asked)]
    if compile:
        checks.append(_compiled(function_or_module, sizes, "aot_eager" if compile is True else compile))
    if broken and _config.mode() != "off":
        checks.append(_wrong(function_or_module, sizes))
    part, blob = _repeated(repeat)
    for index, check in enumerate(checks):
        if part in (None, index):
            count = max_examples if index == 0 else max(1, max_examples // _PART)
            _search(check, index, count, blob, function_or_module)


# The three kinds of check ----------------------------------------------------------------------------------------------


def _right(thing: Any, sizes: Mapping[str, int] | None, asked: _Asked) -> Any:
    """Right calls: as the user makes them, and then in double precision, where samples must keep apart."""
    plain = twin_of(thing, double=False)
    precise, double = precise_twin(thing, sizes)

    @given(drawn_calls(plain, sizes), st.integers(1, 99))
    def check(call: Call, seed: int) -> None:
        with _telling(call):
            _check_result(call, asked)
            if asked.grad:
                _check_gradients(call)
            again = _as_precise(call, precise) if double else call
            if double:
                _check_precision(again)
            check_call(again, seed, asked.axes, asked.causal, asked.padding, double=double)

    return check
