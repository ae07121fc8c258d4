"""`torch.nn.functional`, with the shape-bearing functions checked as the layers are; all others are torch's own."""

import typing as _typing

import torch.nn.functional as _torch_functional

from dimtyped.nn.functions import checked_functions as _checked_functions
from dimtyped.nn.submodules import mirror as _mirror
from dimtyped.runtime import on_change as _on_change

if _typing.TYPE_CHECKING:
    from torch.nn.functional import *  # pyright: ignore[reportWildcardImportFromLibrary]  # noqa: F403  # all of it
else:

    def _own():
        """The functions of the mode in force, and all else that torch's module has: a trace looks them up."""
        public = {name: value for name, value in vars(_torch_functional).items() if not name.startswith("_")}
        return {**public, **_checked_functions()}

    _made = _mirror(__name__, **_own())
    _on_change(lambda: _made.__dict__.update(_own()))
