"""The globals that every wrapper has: what the code of a check calls, and the class of tensors."""

from __future__ import annotations

from typing import Any

import torch

from dimtyped.engine.helpers import HELPERS
from dimtyped.engine.leaving import leave_wrapper
from dimtyped.engine.recheck import (
    ambiguous,
    explain,
    is_ambiguous,
    is_violation,
    retry_target,
    translate_error,
    unevaluable,
)
from dimtyped.engine.scope_keys import missing_scope, scope_key_of, see_changes
from dimtyped.runtime import PREFIX

COMMON: dict[str, Any] = {
    **HELPERS,
    "__builtins__": __builtins__,
    f"{PREFIX}Module": torch.nn.Module,
    f"{PREFIX}BaseException": BaseException,
    f"{PREFIX}is_dynamo_compiling": torch.compiler.is_dynamo_compiling,
    **{
        f"{PREFIX}{helper.__name__}": helper
        for helper in (
            scope_key_of,
            missing_scope,
            see_changes,
            is_violation,
            explain,
            retry_target,
            is_ambiguous,
            ambiguous,
            translate_error,
            unevaluable,
            leave_wrapper,
        )
    },
}
"""They are the same in each wrapper, so wrappers that share their globals share these names."""
