"""The mode of checking: the environment variable ``DIMTYPED``, read once at import, and :func:`configure`."""

import os
from collections.abc import Callable

from jaxtyping import config as _jaxtyping

from dimtyped.errors import DeclarationError
from dimtyped.runtime.tracebacks import WithoutInternalFrames

_MEANINGS = {
    "on": "the fast engine, the default",
    "off": "no checks at calls",
    "reference": "jaxtyping and beartype do the checks",
    "values": "as on, and token ids against the vocabulary",
}


def _parse(value: str, owner: str) -> str:
    chosen = str(value).strip().lower()  # str: None or another type is then rejected below, with the rest
    if chosen not in _MEANINGS:
        modes = "".join(f"\n    {name:<10} {meaning}" for name, meaning in _MEANINGS.items())
        error = DeclarationError(f"{owner} is {value!r}, must be one of{modes}")
        error.where, error.expected, error.actual = owner, tuple(_MEANINGS), str(value)
        error.hint = f"choose one of {', '.join(_MEANINGS)}"
        raise error
    return chosen


_chosen = _parse(os.environ.get("DIMTYPED", "").strip() or "on", "the environment variable DIMTYPED")
_callbacks: list[Callable[[], None]] = []


def mode() -> str:
    """The mode in force: ``"on"``, ``"off"``, ``"reference"`` or ``"values"``. jaxtyping switched off means off."""
    return "off" if _jaxtyping.jaxtyping_disable else _chosen


@WithoutInternalFrames()
def configure(mode: str) -> None:
    """Chooses the mode from code, in place of the environment variable ``DIMTYPED``, for what is decorated afterwards.

    Args:
        mode: ``"on"``, ``"off"``, ``"reference"`` or ``"values"``, in upper or lower case. While jaxtyping is
            switched off (``JAXTYPING_DISABLE=1``) the mode in force stays ``"off"``.

    Raises:
        DeclarationError: Another mode.

    Example:
        >>> configure("fast")
        Traceback (most recent call last):
        dimtyped.DeclarationError: the mode given to configure() is 'fast', must be one of
            on         the fast engine, the default
            off        no checks at calls
            reference  jaxtyping and beartype do the checks
            values     as on, and token ids against the vocabulary
    """
    global _chosen
    _chosen = _parse(mode, "the mode given to configure()")
    for callback in _callbacks:
        callback()


def on_change(callback: Callable[[], None]) -> None:
    """Registers ``callback()`` to be called after each :func:`configure`; it reads :func:`mode` itself."""
    _callbacks.append(callback)
