"""The docstring of a typed layer: its own text, torch's text on the arguments, and what its contract raises.

It is put together when it is read, so it adds nothing to the cost of importing a layer.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from dimtyped.errors import DimensionError

_HEADING = re.compile(r"^(Args|Inputs|Shape|Attributes|Raises|References|Examples?):{1,2}$")
_OF_TORCH = ("Args", "Inputs", "Shape", "Attributes")
_ORDER = (*_OF_TORCH, "Raises", "References", "Example")


class LayerDoc:
    """The `__doc__` of a typed layer's class."""

    def __init__(self, own: str | None, *, has_parameters: bool) -> None:
        self._own = own
        self._has_parameters = has_parameters

    def __get__(self, instance: object, cls: Any) -> str | None:
        return None if self._own is None else _document(cls, self._own, has_parameters=self._has_parameters)


def _document(cls: Any, own: str, *, has_parameters: bool) -> str:
    summary, sections = _sections(own)
    torchs = next((base for base in cls.__bases__ if base.__module__.startswith("torch.nn.modules.")), None)
    found = _sections(torchs.__doc__ or "")[1] if torchs is not None else {}
    texts = {name: found[name] for name in _OF_TORCH if name in found}
    texts |= {name: text for name, text in sections.items() if name != "Args"}
    texts["Args"] = "\n".join(filter(None, (found.get("Args"), sections.get("Args"))))
    texts["Raises"] = _raises(cls, sections.get("Raises", ""), has_parameters=has_parameters)
    dims = _dims_text(cls) if torchs is not None else ""
    parts = [summary, dims, *(f"{name}:\n{texts[name]}" for name in _ORDER if texts.get(name))]
    return "\n\n".join(filter(None, parts))


def _sections(text: str) -> tuple[str, dict[str, str]]:
    """A docstring's text before its first section, and the text of each section, by its heading."""
    before: list[str] = []
    sections: dict[str, list[str]] = {}
    into = before
    for line in inspect.cleandoc(text).splitlines():
        heading = _HEADING.match(line)
        if heading is not None:
            into = sections.setdefault(heading[1], [])
        elif line and not line.startswith(" ") and into is not before:
            into = []  # a note in torch's text
        else:
            into.append(line)
    return "\n".join(before).strip("\n"), {name: "\n".join(lines).strip("\n") for name, lines in sections.items()}


def _dims_text(cls: Any) -> str:
    """The sentence on the arguments that may be Dims."""
    paths = (*cls.contract.sizes.values(), *cls.contract.arguments)
    names = [f"`{name}`" for name in inspect.signature(cls.__init__).parameters if name in paths]
    if not names:
        return ""
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"{listed} may be {'a Dim' if len(names) == 1 else 'Dims'}."


def _raises(cls: Any, own: str, *, has_parameters: bool) -> str:
    """The section `Raises`: the layer's own entries, and the contract's for the errors that it does not name."""
    known = re.findall(r"^    (\w+):", own, re.MULTILINE)
    raised = _raised(cls.contract, has_parameters=has_parameters)
    made = [f"    {name}: {text}" for name, text in raised.items() if name not in known]
    return "\n".join([*made, *filter(None, [own])])


def _raised(contract: Any, *, has_parameters: bool) -> Mapping[str, str]:
    texts: dict[str, str] = {}
    if contract.sizes:
        odd = "".join(
            f", or a `{whole}` that is not a multiple of `{part}`" for whole, part in contract.multiples.items()
        )
        texts["DeclarationError"] = f"at construction, for a size that is not an int of 0 or more{odd}."
    kinds = " or ".join(dict.fromkeys(_torch_kinds(contract)))
    as_torch = f"; also {'an' if kinds[0] in 'AEIO' else 'a'} {kinds}, as torch's" if kinds else ""
    rule = (getattr(contract.violations, "__doc__", None) or "").partition("\n")[0]
    more = f"\n        Also rejected: {rule[0].lower()}{rule[1:]}" if rule else ""
    texts["DimensionError"] = f"at a call that does not fit{as_torch}.{more}"
    if has_parameters:
        texts["TyingError"] = "at the assignment of a parameter whose shape is not the declared one."
    return texts


def _torch_kinds(contract: Any) -> Iterator[str]:
    """The built-in exceptions that the layer's error also derives from, because torch raises them."""
    for error in (contract.error, contract.rank_error):
        for base in error.__mro__ if error is not None else ():
            if base.__module__ == "builtins" and not issubclass(DimensionError, base):
                yield base.__name__
                break
