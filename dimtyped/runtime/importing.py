"""A package's names, imported when they are first asked for (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def on_demand(package: str, names: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns the `__getattr__` and the `__dir__` of a package.

    Args:
        package: The package's `__name__`.
        names: The modules, each with the names that it defines, separated by spaces. A module whose last part is the
            name itself, `"dimtyped.nn": "nn"`, is given as a module.
    """
    homes = {name: module for module, defined in names.items() for name in defined.split()}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(homes[name])
        value = module if homes[name] == f"{package}.{name}" else getattr(module, name)
        setattr(sys.modules[package], name, value)  # the next lookup finds it without this function
        return value

    def names_of_package() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return get, names_of_package
