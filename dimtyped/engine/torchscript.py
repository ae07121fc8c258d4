"""TorchScript: `torch.jit.script` of a checked function raises a clear error, and traces do not warn of checks."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import torch

from dimtyped.engine.checked_function import MARK, CheckedFunction
from dimtyped.errors import DeclarationError, declaration_error
from dimtyped.runtime import WithoutInternalFrames

_jit: Any = torch.jit  # type checkers know only half of its attributes
_CHECKS = r"<string>$|dimtyped\.|jaxtyping\."
"""The modules with comparisons of checks. A check's code has no `__name__`: TorchDynamo would import it."""
_HINT = (
    "use torch.export or torch.jit.trace, which take it as it is. TorchScript accepts only `Tensor` as the annotation of a tensor, "
    "so it rejects jaxtyping's with checks off too"
)


def _reject_checked(target: Any) -> None:
    """Rejects a checked function, and a module with a checked forward that would be compiled.

    Raises:
        DeclarationError: the target is one of these.
    """
    modules = target.modules() if isinstance(target, torch.nn.Module) else ()
    for function in (target, *(type(module).forward for module in modules if "forward" not in module.__dict__)):
        checked: CheckedFunction | None = getattr(function, MARK, None)
        if checked is not None and checked.declaration.is_users and checked.declaration.checks_tensors:
            raise _not_scriptable(checked.signature.where)


def ignore_tracer_warnings() -> None:
    """Adds a warning filter, because each comparison of a check emits a TracerWarning in a trace."""
    warnings.filterwarnings("ignore", category=_jit.TracerWarning, module=_CHECKS)


def _not_scriptable(where: str) -> DeclarationError:
    return declaration_error(
        "torch.jit.script",
        f"TorchScript cannot compile the annotations of {where}",
        _HINT,
        argument="obj",
        expected="a function without jaxtyping's annotations",
        actual=where,
    )


def _install() -> None:
    """Makes every call of `torch.jit.script` reject checked functions first."""
    module = _jit._script
    script = getattr(module, "_script_impl", None)
    if script is None:  # in a release that does it elsewhere, torch's own error remains
        return

    @functools.wraps(script)
    def script_unchecked(obj: Any, optimize: Any = None, _frames_up: int = 0, **options: Any) -> Any:
        if not isinstance(obj, torch.jit.ScriptModule):
            with WithoutInternalFrames():
                _reject_checked(obj)
        return script(obj, optimize, _frames_up + 1, **options)  # one frame more lies between

    module._script_impl = script_unchecked


_install()
ignore_tracer_warnings()
