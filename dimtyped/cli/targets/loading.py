"""Imports a user's file as Python would run it, and says in a few lines what that raises."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import linecache
import sys
import sysconfig
import traceback
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from dimtyped.cli.targets.enforcing import enforced
from dimtyped.cli.targets.sources import Source, shown_path
from dimtyped.cli.targets.usage import ImportFailedError, UsageError, one_line

_MOST_LINES = 6
_INSTALLED = ("site-packages", "dist-packages")
_NOT_USERS = (Path(__file__).parents[2], *(Path(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib")))


class Loader:
    """Imports users' files; what they import stays until a file of another folder comes, or `forget`.

    Attributes:
        files: The users' files that were imported.
    """

    def __init__(self) -> None:
        self.files: set[Path] = set()
        self._before = frozenset(sys.modules)
        self._root: Path | None = None

    @contextmanager
    def loaded(self, source: Source) -> Generator[ModuleType]:
        """The module of a file. Inside the block `sys.path` and `sys.argv` are as if Python ran the file.

        What is printed meanwhile goes to stderr, so that the command's own output stays clean.

        Raises:
            UsageError: It does not import.
        """
        if self._root != source.root:
            self.forget()
        self._root = source.root
        with _as_run(source), contextlib.redirect_stdout(sys.stderr):
            module = _imported(source)
            with enforced(module):
                yield module

    def forget(self) -> None:
        """Takes the users' modules out of `sys.modules`, so that they are imported anew."""
        for name, file in list(self._users()):
            self.files.add(file)
            del sys.modules[name]
        importlib.invalidate_caches()
        linecache.checkcache()

    def _users(self) -> Iterator[tuple[str, Path]]:
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if name not in self._before and isinstance(file, str) and _is_users(Path(file)):
                yield name, Path(file)


def _is_users(file: Path) -> bool:
    return not (set(_INSTALLED) & set(file.parts) or any(map(file.is_relative_to, _NOT_USERS)))


@contextmanager
def _as_run(source: Source) -> Generator[None]:
    path, arguments = list(sys.path), list(sys.argv)
    sys.path[:] = [str(source.root), *path, str(source.file.parent), str(Path.cwd())]
    sys.argv[:] = [str(source.file)]
    try:
        yield
    finally:
        sys.path[:], sys.argv[:] = path, arguments


def _imported(source: Source) -> ModuleType:
    try:
        return _import_by_name(source) or _import_by_file(source)
    except SystemExit as error:
        raise _failed(source, error, f"it calls sys.exit({error.code!r})") from error
    except Exception as error:
        raise _failed(source, error, one_line(error)) from error


def _import_by_name(source: Source) -> ModuleType | None:
    """The module imported by its name; None where the name belongs to another file or is no name."""
    if not all(part.isidentifier() for part in source.module.split(".")):
        return None
    known = sys.modules.get(source.module)
    if known is None and "." not in source.module and source.module in sys.stdlib_module_names:
        return None
    module = known or importlib.import_module(source.module)
    file = getattr(module, "__file__", None)
    return module if file is not None and Path(file).resolve() == source.file else None


def _import_by_file(source: Source) -> ModuleType:
    name = f"{source.module}__"  # the name itself is another module's
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(source.file):
        return known
    spec = importlib.util.spec_from_file_location(name, source.file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{source.shown} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


# What it raises -------------------------------------------------------------------------------------------------------


def _failed(source: Source, error: BaseException, what: str) -> UsageError:
    hint = ""
    if isinstance(error, ModuleNotFoundError) and error.name:
        hint = f"install `{error.name.partition('.')[0]}`, or run where it can be imported"
    elif isinstance(error, SystemExit):
        hint = 'put what runs a program below `if __name__ == "__main__":`'
    return ImportFailedError(source.shown, what, hint, users_lines(error))


def users_lines(error: BaseException) -> tuple[str, ...]:
    """The user's part of a traceback, one line for each of the last calls: `model.py:3: import einops`."""
    lines = [
        f"{shown_path(entry.filename)}:{entry.lineno}: {(entry.line or '').strip()}" for entry in users_calls(error)
    ]
    return tuple(lines[-_MOST_LINES:])


def users_calls(error: BaseException) -> list[traceback.FrameSummary]:
    """The user's part of a traceback, the deepest call last; after it the place of a SyntaxError."""
    calls = [
        entry
        for entry in traceback.extract_tb(error.__traceback__)
        if not entry.filename.startswith("<") and _is_users(Path(entry.filename))
    ]
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        calls.append(traceback.FrameSummary(error.filename, error.lineno, "", line=error.text or ""))
    return calls
