"""The Python files that a target on the command line stands for: `model.py`, `pkg.module`, `model.py:Decoder`, a folder."""

from __future__ import annotations

import difflib
import fnmatch
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from dimtyped.cli.targets.outline import Outline, outline_of
from dimtyped.cli.targets.usage import UsageError

_NEVER = ("__pycache__", "node_modules", "site-packages", "build", "dist", "venv", "env")
_FORMS = "write model.py, model.py:Decoder, package.module, package.module:factory or a folder"


@dataclass(frozen=True)
class Source:
    """A Python file to import.

    Args:
        file: The file.
        module: The name it is imported under.
        root: The folder that is `sys.path[0]` meanwhile.
        names: What was asked for by name; empty: all that the file has.
        outline: What can be said of it without importing it.
    """

    file: Path
    module: str
    root: Path
    names: tuple[str, ...]
    outline: Outline

    @property
    def shown(self) -> str:
        """The file, as short as it can be."""
        return shown_path(self.file)


def shown_path(file: Path | str) -> str:
    """A path relative to the working directory where it is below that, else absolute."""
    path = Path(file)
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.as_posix()


def sources_of(targets: Sequence[str], exclude: Sequence[str] = ()) -> list[Source]:
    """The files of all targets; those of one file are one.

    Args:
        targets: What the user wrote.
        exclude: Patterns of paths that a search in a folder leaves out: `tests/*`.

    Raises:
        UsageError: There is no such file, folder or module.
    """
    found: dict[Path, Source] = {}
    for target in targets:
        for source in _sources(target, exclude):
            before = found.get(source.file)
            names = () if before is None else before.names
            if before is not None and not (names and source.names):
                found[source.file] = replace(source, names=())
            else:
                found[source.file] = replace(source, names=tuple(dict.fromkeys((*names, *source.names))))
    return list(found.values())


def _sources(target: str, exclude: Sequence[str]) -> Iterator[Source]:
    place, name = _split(target)
    path = Path(place)
    if path.is_dir() and (not place.isidentifier() or not (path / "__init__.py").exists() or not name):
        if name:
            raise UsageError(f"`{target}`: a folder has no `{name}`", f"name the file: {place}/FILE.py:{name}")
        yield from _in_folder(path, exclude)
    elif path.is_file():
        yield _of_file(path, name)
    elif place.endswith(".py") or "/" in place or os.sep in place:
        raise UsageError(f"there is no file `{place}`", _similar_file(path) or _FORMS)
    else:
        yield from _of_module(place, name, exclude)


def _split(target: str) -> tuple[str, str]:
    """The place and the name after the last colon, if what follows it is one; a drive's letter is none."""
    place, colon, name = target.rpartition(":")
    if not colon or Path(target).exists():
        return target, ""
    if place and all(part.isidentifier() for part in name.split(".")):
        return place, name
    raise UsageError(f"`{target}` is not a target", _FORMS)


# Files ----------------------------------------------------------------------------------------------------------------


def _of_file(path: Path, name: str = "") -> Source:
    file = path.resolve()
    outline = outline_of(file)
    root, module = _module_of(file, outline)
    return Source(file, module, root, (name,) if name else (), outline)


def _module_of(file: Path, outline: Outline) -> tuple[Path, str]:
    """The folder for `sys.path` and the module's name: the package is where `__init__.py` is, or what relative imports need."""
    parts, folder = [file.stem], file.parent
    for _ in range(outline.relative_level):
        if folder.name.isidentifier() and file.stem.isidentifier():
            parts.insert(0, folder.name)
            folder = folder.parent
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return folder, ".".join(parts)


def _in_folder(folder: Path, exclude: Sequence[str]) -> Iterator[Source]:
    """The files of a folder that have something to look at, without those of hidden folders and environments."""
    files = list(python_files(folder, exclude))
    if not files:
        raise UsageError(f"`{folder}` has no Python file", _FORMS)
    yield from map(_of_file, files)


def python_files(folder: Path, exclude: Sequence[str] = ()) -> Iterator[Path]:
    """The Python files of a folder and of the folders in it, in order."""
    for entry in sorted(folder.iterdir()):
        if _is_left_out(entry, exclude):
            continue
        if entry.is_dir():
            yield from python_files(entry, exclude)
        elif entry.suffix == ".py":
            yield entry


def _is_left_out(entry: Path, exclude: Sequence[str]) -> bool:
    if entry.name.startswith(".") or (entry.is_dir() and (entry.name in _NEVER or (entry / "pyvenv.cfg").exists())):
        return True
    return is_excluded(entry, exclude)


def is_excluded(path: Path, exclude: Sequence[str]) -> bool:
    """True of a path that one of the patterns leaves out."""
    shown = shown_path(path.resolve())
    return any(fnmatch.fnmatch(shown, pattern.rstrip("/")) for pattern in exclude)


def _similar_file(path: Path) -> str:
    folder = path.parent
    known = [entry.name for entry in folder.iterdir() if entry.suffix == ".py"] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, known, 1)
    return f"did you mean `{(folder / near[0]).as_posix()}`?" if near else ""


# Modules --------------------------------------------------------------------------------------------------------------


def _of_module(module: str, name: str, exclude: Sequence[str]) -> Iterator[Source]:
    """The file of a module; for a package all of its files, if no name was asked for."""
    if not all(part.isidentifier() for part in module.split(".")):
        raise UsageError(f"`{module}` is neither a file nor a module", _FORMS)
    location = _located(module)
    if location.is_dir():
        if name:
            raise UsageError(f"`{module}` is a folder without `__init__.py`, so it has no `{name}`", _FORMS)
        yield from _in_folder(location, exclude)
    elif location.name == "__init__.py" and not name:
        yield from _in_folder(location.parent, exclude)
    else:
        yield replace(_of_file(location, name), module=module, root=_root(location, module))


def _located(module: str) -> Path:
    """The file of a module, or the folder of a package without a file; nothing is imported.

    Raises:
        UsageError: There is none.
    """
    folders = [str(Path.cwd()), *sys.path]
    parts = module.split(".")
    for count, part in enumerate(parts, 1):
        spec = PathFinder.find_spec(part, folders)
        if spec is None:
            break
        if count == len(parts):
            return _file_of(spec, module)
        folders = list(spec.submodule_search_locations or ())
    near = difflib.get_close_matches(parts[-1], [path.stem for path in Path.cwd().glob("*.py")], 1)
    hint = f"did you mean `{near[0]}.py`?" if near else "run it in the folder that the package is in, or name the file"
    raise UsageError(f"there is no module `{module}`", hint)


def _file_of(spec: ModuleSpec, module: str) -> Path:
    if spec.origin is not None and spec.origin.endswith(".py"):
        return Path(spec.origin)
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    raise UsageError(f"`{module}` is not a Python file but {spec.origin}", _FORMS)


def _root(file: Path, module: str) -> Path:
    """The folder that the module is imported from."""
    above = module.count(".") + (file.name == "__init__.py")
    return file.resolve().parents[above]
