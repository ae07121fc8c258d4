"""Loads a module from its source with the checks in it, and keeps the code in a file of its own in `__pycache__`."""

from __future__ import annotations

import ast
import builtins
import contextlib
import marshal
import os
import sys
import threading
import types
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path
from typing import Any

from dimtyped.import_hook import transform as transformation
from dimtyped.import_hook.transform import transform

_HEADER = MAGIC_NUMBER + f"dimtyped {Path(transformation.__file__).stat().st_mtime_ns} ".encode()
_PYTEST = "_pytest.assertion.rewrite"
_one_at_a_time = threading.RLock()


class CheckingLoader(SourceFileLoader):
    """Loads a source file and adds the checks to it.

    Args:
        fullname: The module's name.
        path: Its file.
        beside: The loader that would have loaded it, if that one changes the source too: pytest's, or beartype's. Default:
            Python's own.
    """

    _beside: Any

    def __init__(self, fullname: str, path: str, beside: Any = None) -> None:
        super().__init__(fullname, path)
        self._beside = beside

    def get_code(self, fullname: str) -> types.CodeType:
        """The transformed code of the module: from the file where it is kept, if neither has changed since."""
        path = self.get_filename(fullname)
        if self._beside is not None:
            is_pytests = type(self._beside).__module__ == _PYTEST
            of_both = None if is_pytests else _code_of_both(self._beside, fullname, path)
            return of_both or self.source_to_code(self.get_data(path), path)
        file = Path(cache_from_source(path, optimization=f"{sys.flags.optimize or ''}dimtyped"))
        header = _HEADER + _stamp(path)
        kept = _read(file, header)
        if kept is not None:
            return kept
        code = self.source_to_code(self.get_data(path), path)
        if not sys.dont_write_bytecode:
            _write(file, header + marshal.dumps(code))
        return code

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> types.CodeType:
        """The transformed code of a source."""
        tree = transform(ast.parse(data, path))
        if type(self._beside).__module__ == _PYTEST:
            sys.modules[_PYTEST].rewrite_asserts(tree, data, path, self._beside.config)
        return compile(tree, path, "exec", dont_inherit=True, optimize=_optimize)


def _code_of_both(beside: Any, fullname: str, path: str) -> types.CodeType | None:
    """The code that another loader makes of our tree; None if it leaves this module as it is.

    It is not kept in a file: the other loader would find it there without our hook.
    """
    transformed = False
    home = sys.modules[type(beside).__module__]

    def compile_for_loader(source: Any, filename: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal transformed
        made = builtins.compile(source, filename, *args, **kwargs)
        if not isinstance(made, ast.Module) or filename != path:
            return made
        transformed = True
        return transform(made)

    with _one_at_a_time:
        beside.path_stats = _no_stats
        home.__dict__["compile"] = compile_for_loader
        try:
            code: types.CodeType = beside.get_code(fullname)
        finally:
            del home.__dict__["compile"]
    return code if transformed else None


def _no_stats(path: Any) -> dict[str, Any]:
    """Stands for a loader's `path_stats`: without them it neither reads nor writes a file of code."""
    raise OSError(path)


def _stamp(path: str) -> bytes:
    """What changes with the source."""
    found = Path(path).stat()
    return f"{found.st_mtime_ns} {found.st_size}\0".encode()


def _read(file: Path, header: bytes) -> types.CodeType | None:
    try:
        kept = file.read_bytes()
    except OSError:
        return None
    return marshal.loads(kept[len(header) :]) if kept.startswith(header) else None


def _write(file: Path, content: bytes) -> None:
    """Writes a file in one step, so that another process finds a whole one; nothing where the folder cannot be written."""
    made = file.with_name(f"{file.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        file.parent.mkdir(exist_ok=True)
        made.write_bytes(content)
        made.replace(file)
