"""Support for IPython's `%autoreload`, which puts the code of a new definition, without its decorators, into a function.

It changes the wrapper, which it finds under the function's name. Here the new code moves to the user's function, and
the wrapper's check is compiled again.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from typing import Any

from dimtyped.engine.checked_function import MARK, CheckedFunction
from dimtyped.engine.wrapper import reset
from dimtyped.runtime import when_imported


def _patch_checked_functions(module: types.ModuleType) -> None:
    patching: Any = module.DeduperReloaderPatchingMixin
    patch = patching.patch_function.__func__

    @functools.wraps(patch)
    def patch_function(cls: Any, to_patch_to: Any, to_patch_from: Any, is_method: bool) -> None:
        checked: CheckedFunction | None = getattr(to_patch_to, MARK, None)
        new: CheckedFunction | None = getattr(to_patch_from, MARK, None)
        if checked is None:
            patch(cls, to_patch_to, to_patch_from, is_method)
            return
        source = to_patch_from if new is None else new.declaration.function
        declaration = checked.declaration
        patch(cls, declaration.function, source, is_method)
        declaration.function.__annotations__ = source.__annotations__
        read = declaration if new is None else new.declaration
        reset(checked, dataclasses.replace(declaration, names=read.names, fixed=read.fixed))

    patching.patch_function = classmethod(patch_function)


when_imported("IPython.extensions.deduperreload.deduperreload_patching", _patch_checked_functions)
