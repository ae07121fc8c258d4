"""`install_import_hook`: the finder that has the modules of some packages loaded with checks."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from typing import Any, Self

from dimtyped.errors import DeclarationError, declaration_error
from dimtyped.import_hook.loader import CheckingLoader
from dimtyped.runtime import WithoutInternalFrames, mode, warn_user

_TYPE_CHECKERS = ("beartype", "typeguard")
_REPLACED = ("jaxtyping",)
"""Packages whose loaders add checks that ours make unneeded."""


@WithoutInternalFrames()
def install_import_hook(*packages: str, exclude: str | Iterable[str] = ()) -> ImportHook:
    """Has every annotated function, method and dataclass of these packages `typed` as it is imported.

    Call it before the packages are imported. In the functions' bodies annotated assignments are checked too:
    `scores: Float[Tensor, "batch seq seq"] = q @ k` shares the names of the call. `typing.no_type_check` leaves a function or a
    class out. Where a decorator of jaxtyping's with beartype is already, it is checked once, here.

    Args:
        packages: The names of packages and modules, with all that is in them.
        exclude: Packages and modules in them to leave as they are. Default: none.

    Returns:
        The hook: `uninstall` ends it, and so does the end of a `with` block. What was imported stays checked.

    Raises:
        DeclarationError: a name can be no module's.

    Example:
        >>> from dimtyped import install_import_hook
        >>> with install_import_hook("colorsys"):
        ...     import colorsys
    """
    excluded = (exclude,) if isinstance(exclude, str) else tuple(exclude)
    if not packages:
        raise _error("it is given no package", 'name the packages to check: install_import_hook("package")', packages)
    for name in (*packages, *excluded):
        _reject_wrong(name)
    hook = ImportHook(packages, excluded)
    sys.meta_path.insert(0, hook)
    for name in packages:
        _warn_if_imported(name, hook)
    return hook


class ImportHook(MetaPathFinder):
    """An installed hook, which ends with `uninstall` or with the `with` block that it opens.

    Attributes:
        packages: The packages that it checks.
        exclude: What it leaves out of them.
        modules: The modules that were imported through it.
    """

    def __init__(self, packages: Sequence[str], exclude: Sequence[str] = ()) -> None:
        self.packages = tuple(packages)
        self.exclude = tuple(exclude)
        self.modules: list[str] = []

    def uninstall(self) -> None:
        """Leaves modules that are imported from now on as they are."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        """Ends it, and warns of a package of which nothing was imported in the block."""
        self.uninstall()
        for name in self.packages if error is None else ():
            if not any(_is_in(module, (name,)) for module in self.modules):
                warn_user(f"install_import_hook: no module of `{name}` was imported in the block, so none is checked")

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec that the other finders give, with our loader, for a source file of the packages; None for all else."""
        if not _is_in(fullname, self.packages) or _is_in(fullname, self.exclude) or mode() == "off":
            return None
        place = sys.meta_path.index(self) if self in sys.meta_path else -1
        finders = sys.meta_path[place + 1 :]
        found = (each.find_spec(fullname, path, target) for each in finders)
        spec = next((each for each in found if each is not None), None)
        if spec is not None and spec.origin is not None:
            loader = _loader_of(spec, fullname)
            if loader is not None:
                spec.loader = loader
                self.modules.append(fullname)
        return spec


def _loader_of(spec: ModuleSpec, fullname: str) -> CheckingLoader | None:
    """Our loader for a source file; None for what has none, and for what another hook of ours loads."""
    other: Any = spec.loader
    is_pytests = type(other).__module__ == "_pytest.assertion.rewrite"
    if isinstance(other, CheckingLoader) or not (isinstance(other, SourceFileLoader) or is_pytests):
        return None
    is_plain = type(other) is SourceFileLoader or type(other).__module__.startswith(_REPLACED)
    return CheckingLoader(fullname, str(spec.origin), None if is_plain else other)


def _is_in(module: str, packages: Sequence[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in packages)


def _reject_wrong(name: Any) -> None:
    if not isinstance(name, str):
        hint = 'give each name by itself: install_import_hook("a", "b.c")'
        raise _error(f"{name!r} is no name of a package", hint, name)
    if name.partition(".")[0] in _TYPE_CHECKERS and "." in name:
        raise _error(f"{name!r} is a type checker, and none is needed", f"leave {name!r} out", name)
    if not all(part.isidentifier() for part in name.split(".")):
        hint = "give the name by which it is imported: a package is often installed under another one"
        raise _error(f"{name!r} can be no module's name", hint, name)


def _error(problem: str, hint: str, actual: object) -> DeclarationError:
    return declaration_error("install_import_hook", problem, hint, argument="packages", actual=repr(actual))


def _warn_if_imported(name: str, hook: ImportHook) -> None:
    """Warns of modules that were imported before; one that is being imported, whose code calls this, is meant so."""
    for module in [each for each in list(sys.modules) if _is_in(each, (name,)) and not _is_in(each, hook.exclude)]:
        spec = getattr(sys.modules[module], "__spec__", None)
        if not getattr(spec, "_initializing", False) and not isinstance(getattr(spec, "loader", None), CheckingLoader):
            warn_user(
                f"install_import_hook: `{module}` has been imported already, so it is not checked: "
                "install the hook before anything imports it"
            )
            return
