"""Checks a constructor's arguments: sizes that cannot work raise an error that shows their value.

Values that torch accepts stay allowed, such as NumPy's ints and sizes of 0. A bool is not a size, though torch accepts it.
"""

from __future__ import annotations

import numbers
import traceback
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from dimtyped.errors import DeclarationError, declaration_error
from dimtyped.names import name_of
from dimtyped.nn.contract.torch_errors import divisibility_error

_KINDS = (AssertionError, TypeError, ValueError, RuntimeError, ZeroDivisionError)
_NEGATIVE = "negative dimension"
_SIZE = "an int of 0 or more"
_WINDOW = ("kernel_size", "stride", "padding", "dilation", "output_padding")
COUNTS: Mapping[str, int | None] = {
    "kernel_size": 1,
    "stride": 1,
    "dilation": 1,
    "padding": 0,
    "output_padding": 0,
    "groups": 1,
    "num_groups": 1,
    "num_layers": 0,
    "num_encoder_layers": 0,
    "num_decoder_layers": 0,
    "proj_size": 0,
    "output_size": 0,
    "size": 1,
    "upscale_factor": 1,
    "downscale_factor": 1,
    "start_dim": None,
    "end_dim": None,
    "ignore_index": None,
    "divisor_override": None,
    "blank": 0,
}
"""Arguments that are ints but not dimensions, with the minimum that torch accepts; None if it accepts any int."""


def named_arguments(names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The arguments by name; None if they do not fit the parameters: Python's own error is best."""
    given = dict(zip(names, args, strict=False))
    if len(args) > len(names) or not kwargs.keys() <= set(names) or kwargs.keys() & given.keys():
        return None
    return {**given, **kwargs}


def check_sizes(where: str, names: Iterable[str], arguments: Mapping[str, Any]) -> None:
    """Rejects values that are not sizes: a bool, a float, a string, a negative number; also inside a tuple.

    Raises:
        DeclarationError: it names the argument and shows the value.
    """
    check_counts(where, dict.fromkeys(names, 0), arguments)


def check_counts(
    where: str, least: Mapping[str, int | None], arguments: Mapping[str, Any], words: Collection[str] = ()
) -> None:
    """Rejects values that are not ints, or below their minimum; also inside a tuple. Some arguments may be a string.

    Raises:
        DeclarationError: it names the argument and shows the value.
    """
    for name, bound in least.items():
        value = arguments.get(name)
        if isinstance(value, str) and name in words:
            continue
        several = isinstance(value, tuple | list)
        for item in value if several else (value,):
            fault = _fault(item, bound)
            if fault:
                wanted = "an int" if bound is None else f"an int of {bound} or more"
                fault = f"holds {item!r}, which {fault}" if several else fault
                raise wrong_argument(where, name, value, fault, f"give {wanted}", wanted)


def check_lengths(where: str, axes: int, arguments: Mapping[str, Any], *, is_weight: bool) -> None:
    """Rejects a window without an entry for each spatial axis. One entry may apply to all, except in a weight's kernel.

    Raises:
        DeclarationError: it names the argument and shows the value.
    """
    for name in _WINDOW:
        value = arguments.get(name)
        if not isinstance(value, tuple | list) or len(value) == axes:
            continue
        if len(value) > 1 or (len(value) == 0 and name != "stride") or (is_weight and name == "kernel_size"):
            entries = "1 entry" if len(value) == 1 else f"{len(value)} entries"
            wanted = f"an int or {axes} of them" if axes > 1 else "an int"
            fault = f"has {entries}, for {axes} spatial {'axis' if axes == 1 else 'axes'}"
            raise wrong_argument(where, name, value, fault, f"give {wanted}", wanted)


def _fault(value: Any, least: int | None) -> str:
    if isinstance(value, bool):
        return "is a bool"
    if isinstance(value, torch.Tensor):
        return "" if _is_size(value) else "is not an int"
    if _is_fraction_or_word(value):
        return f"is of type {type(value).__name__}"
    if least is None or isinstance(value, torch.SymInt) or not hasattr(value, "__index__") or value >= least:
        return ""  # also a symbolic size of a trace, or something that torch may accept
    return f"is less than {least}" if least else "is negative"


def _is_fraction_or_word(value: object) -> bool:
    return isinstance(value, str | bytes) or (isinstance(value, numbers.Number) and not hasattr(value, "__index__"))


def _is_size(value: torch.Tensor) -> bool:
    """True if torch accepts the tensor as an int."""
    return value.numel() == 1 and not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)


@contextmanager
def constructor_errors_explained(
    where: str,
    arguments: Mapping[str, Any] | None,
    multiples: Mapping[str, str] | None = None,
    sizes: Collection[str] = (),
) -> Generator[None]:
    """A context in which errors of torch's constructor become a DeclarationError that shows the arguments they mention.

    Only errors that torch itself raises for its arguments; others, such as a lack of memory, pass unchanged.

    Raises:
        DeclarationError: torch rejected an argument.
    """
    try:
        yield
    except _KINDS as error:
        if arguments is None or not _is_raised_by_torch(error):
            raise
        known = divisibility_error(where, multiples or {}, arguments) or _no_int(where, sizes, arguments)
        raise known or _rejected(where, arguments, error) from None


def _is_raised_by_torch(error: Exception) -> bool:
    if isinstance(error, DeclarationError) or (isinstance(error, RuntimeError) and _NEGATIVE not in str(error)):
        return False
    frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return frames[-1].startswith("torch.")


def _no_int(where: str, sizes: Collection[str], arguments: Mapping[str, Any]) -> DeclarationError | None:
    """The error for a value that torch rejected as a size, such as None or a list; None if there is none."""
    for name in sizes:
        value = arguments.get(name, 0)
        if not hasattr(value, "__index__"):
            return wrong_argument(where, name, value, f"is of type {type(value).__name__}", f"give {_SIZE}", _SIZE)
    return None


def _rejected(where: str, arguments: Mapping[str, Any], error: Exception) -> DeclarationError:
    words = str(error).splitlines()[0] if str(error) else type(error).__name__
    spoken_of = {name: value for name, value in arguments.items() if name.lower() in words.lower()} or arguments
    values = ", ".join(f"{name}={_shown(value)}" for name, value in spoken_of.items())
    name, value = next(iter(spoken_of.items()), ("", None))
    return declaration_error(
        where,
        f"{words}\n    given {values}",
        "give it a value that torch's documentation of the layer allows",
        argument=name,
        dim=name_of(value) or name,
        actual=_plain(value),
    )


def wrong_argument(where: str, name: str, value: Any, fault: str, hint: str, expected: object) -> DeclarationError:
    """The error for one argument that cannot be right."""
    return declaration_error(
        where,
        f"{name}={_shown(value)} {fault}",
        hint,
        argument=name,
        dim=name_of(value) or name,
        expected=expected,
        actual=_plain(value),
    )


def _shown(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return str(int(value)) if name_of(value) else repr(value)[:80]


def _plain(value: Any) -> object:
    return value if isinstance(value, bool | int | float | str | tuple | type(None)) else repr(value)[:80]
