"""`torch.jit.script` of a model with typed layers: it compiles torch's layers, which it finds by class."""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import Any

from dimtyped.nn.contract.layer import torch_class_of
from dimtyped.runtime import viewed_as


def _install() -> None:
    recursive: Any = sys.modules["torch.jit._recursive"]  # torch imports it, but its stubs do not declare it
    create = recursive.create_script_module

    @functools.wraps(create)
    def create_from_plain(nn_module: Any, *args: Any, **options: Any) -> Any:
        with contextlib.ExitStack() as stack:
            for layer in [*nn_module.modules()]:
                plain = torch_class_of(type(layer))
                if plain is not None:
                    stack.enter_context(viewed_as(layer, plain))
            return create(nn_module, *args, **options)

    recursive.create_script_module = create_from_plain


_install()
