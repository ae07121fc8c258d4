"""The inputs of a model, as a command line gives them: `tokens=int64[4,16]`, or any Python."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from dimtyped.cli.targets.usage import UsageError, one_line
from dimtyped.flow.annotating import ShapedInput

_FORM = re.compile(r"(?:torch\.)?([a-z]+[0-9a-z]*)\[([^\[\]]*)\]")
_KINDS = {
    "float": torch.float32,
    "int": torch.int64,
    "bool": torch.bool,
    "complex": torch.complex64,
    "long": torch.int64,
    "half": torch.float16,
}
_EXAMPLE = "write --input 'tokens=int64[4,16]', or Python that the file could contain"


def inputs_of(texts: Sequence[str], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs by name.

    Args:
        texts: What the user wrote, each `NAME=DTYPE[SIZES]` or `NAME=PYTHON`.
        namespace: The names of the file.

    Raises:
        UsageError: One is neither.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not value.strip() or not name.strip().isidentifier():
            raise UsageError(f"--input {text}: not a name and a value", _EXAMPLE)
        found[name.strip()] = _value(text, value.strip(), namespace)
    return found


def _value(text: str, value: str, namespace: Mapping[str, Any]) -> Any:
    match = _FORM.fullmatch(value)
    if match is not None:
        return ShapedInput(_dtype(text, match[1]), tuple(_axis(text, each) for each in _parts(match[2])))
    try:
        return eval(value, {"torch": torch, **namespace})  # the user's own words, on his command line
    except Exception as error:  # noqa: BLE001 - it is the user's code
        raise UsageError(f"--input {text}: {one_line(error)}", _EXAMPLE) from None


def _parts(inside: str) -> list[str]:
    return [part for part in (each.strip() for each in inside.split(",")) if part]


def _dtype(text: str, name: str) -> torch.dtype:
    dtype = _KINDS.get(name, getattr(torch, name, None))
    if not isinstance(dtype, torch.dtype):
        known = [*_KINDS, *(each for each in dir(torch) if isinstance(getattr(torch, each), torch.dtype))]
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean `{near[0]}`?" if near else "write float32, int64, bool or another dtype of torch"
        raise UsageError(f"--input {text}: `{name}` is no dtype", hint)
    return dtype


def _axis(text: str, word: str) -> int | str:
    if word.isdecimal() and int(word) > 0:
        return int(word)
    if word.isidentifier():
        return word
    raise UsageError(
        f"--input {text}: `{word}` is not a size", "write a whole number of at least 1, or a name: int64[batch,16]"
    )


def reject_unknown(inputs: Iterable[str], parameters: Sequence[str], where: str) -> None:
    """Raises for an input that a function does not take."""
    for name in inputs:
        if name not in parameters:
            near = difflib.get_close_matches(name, parameters, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"it takes {', '.join(parameters) or 'nothing'}"
            raise UsageError(f"--input {name}: {where} has no `{name}`", hint)
