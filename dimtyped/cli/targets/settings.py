"""The sizes and arguments that classes are made with: from the command line, and from `[tool.dimtyped]` in pyproject.toml."""

from __future__ import annotations

import ast
import builtins
import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dimtyped.cli.targets.usage import UsageError, one_line

_KEYS = ("targets", "exclude", "independent", "skip", "sizes", "arguments")
_LISTS = ("targets", "exclude", "independent", "skip")


@dataclass(frozen=True)
class Given:
    """One `--size` or `--arg`.

    Args:
        value: The size, or the argument's value; of a text what is written there.
        is_typed_in: It is from the command line, where a name that nothing has is an error.
    """

    value: Any
    is_typed_in: bool = False


@dataclass(frozen=True)
class Settings:
    """What a project and a user say of the targets.

    Args:
        targets: What is looked at where the command line names nothing.
        exclude: Patterns of paths that a search in a folder leaves out.
        independent: Names along which nothing may carry values.
        skip: Packages whose lines are not the user's.
        sizes: Sizes by name, or by `Class.name` for one class.
        arguments: Other arguments, in the same way.
    """

    targets: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    independent: tuple[str, ...] = ("batch",)
    skip: tuple[str, ...] = ()
    sizes: Mapping[str, Given] = field(default_factory=dict[str, Given])
    arguments: Mapping[str, Given] = field(default_factory=dict[str, Given])

    @property
    def has_typed_in(self) -> bool:
        """True if the command line gave a size or an argument."""
        return any(given.is_typed_in for given in (*self.sizes.values(), *self.arguments.values()))

    def sizes_of(self, target: str) -> dict[str, int]:
        """The sizes for one class or function."""
        return {name: given.value for name, given in _of(self.sizes, target).items()}

    def arguments_of(self, target: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments for one class; texts are read as Python with the names of its file.

        Raises:
            UsageError: One cannot be read.
        """
        given = _of(self.arguments, target)
        return {name: _value(name, each.value, namespace) for name, each in given.items()}

    def reject_unknown(self, known: Iterable[str], names: Iterable[str]) -> None:
        """Raises for what was typed in and nothing has.

        Args:
            known: The classes and functions that were found.
            names: Their parameters and the names in their annotations.
        """
        classes, words = set(known), sorted(set(names))
        for option, table in (("--size", self.sizes), ("--arg", self.arguments)):
            for key in (key for key, given in table.items() if given.is_typed_in):
                owner, _, name = key.rpartition(".")
                if name not in words or (owner and owner not in classes):
                    near = difflib.get_close_matches(name, words, 1) or words
                    raise UsageError(
                        f"{option} {key}: nothing that was found has `{key}`",
                        f"did you mean `{near[0]}`?" if len(near) == 1 else f"there are {', '.join(words) or 'none'}",
                    )

    def with_options(self, sizes: Sequence[str], arguments: Sequence[str], independent: Sequence[str]) -> Settings:
        """These settings with those of the command line.

        Args:
            sizes: `hidden=64`, `Decoder.hidden=64`.
            arguments: `heads=4`, `config=Config(width=8)`.
            independent: Names, joined by commas or one by one.

        Raises:
            UsageError: One is not in this form.
        """
        names = tuple(name for text in independent for name in text.split(",") if name)
        return replace(
            self,
            independent=names if independent else self.independent,
            sizes={**self.sizes, **dict(_size(text) for text in sizes)},
            arguments={**self.arguments, **dict(_argument(text) for text in arguments)},
        )


def _of(table: Mapping[str, Given], target: str) -> dict[str, Given]:
    """The entries for one target: those for it alone come before those for all."""
    general = {key: given for key, given in table.items() if "." not in key}
    own = {key.rpartition(".")[2]: given for key, given in table.items() if key.rpartition(".")[0] == target}
    return {**general, **own}


# The command line -----------------------------------------------------------------------------------------------------


def _size(text: str) -> tuple[str, Given]:
    name, value = _pair(text, "--size hidden=64")
    if not value.isdecimal() or int(value) < 1:
        raise UsageError(
            f"--size {text}: `{value}` is not a size", f"write a whole number of at least 1: --size {name}=64"
        )
    return name, Given(int(value), is_typed_in=True)


def _argument(text: str) -> tuple[str, Given]:
    name, value = _pair(text, "--arg heads=4")
    return name, Given(value, is_typed_in=True)


def _pair(text: str, example: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not value or not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"{example.split(maxsplit=1)[0]} {text}: not a name and a value", f"write {example}")
    return name, value


def _value(name: str, written: Any, namespace: Mapping[str, Any]) -> Any:
    if not isinstance(written, str):
        return written
    try:
        return ast.literal_eval(written)
    except (ValueError, SyntaxError):
        pass
    if written.isidentifier() and written not in namespace and not hasattr(builtins, written):
        return written
    try:
        return eval(written, dict(namespace))  # the user's own words, on his command line
    except Exception as error:  # noqa: BLE001 - it is the user's code
        raise UsageError(
            f"--arg {name}={written}: {one_line(error)}",
            f"""write Python that the file could contain, or a text: --arg '{name}="..."'""",
        ) from None


# pyproject.toml -------------------------------------------------------------------------------------------------------


def project_settings(folder: Path) -> Settings:
    """The settings of the nearest pyproject.toml, from a folder upwards; the defaults where there is none.

    Raises:
        UsageError: Its `[tool.dimtyped]` is not as it must be.
    """
    file = next((found for each in (folder, *folder.parents) if (found := each / "pyproject.toml").is_file()), None)
    if file is None:
        return Settings()
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("dimtyped", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file.name} cannot be read: {error}") from None
    return settings_of(table, f"{file.name}: [tool.dimtyped]")


def settings_of(table: Mapping[str, Any], where: str, before: Settings | None = None) -> Settings:
    """The settings that a table has, such as `{"sizes": {"embed": 64}}`.

    Args:
        table: What `[tool.dimtyped]` may have.
        where: What the table is called in errors.
        before: Settings that the table's come on top of. Default: the defaults.

    Raises:
        UsageError: It is not as it must be.
    """
    before = before or Settings()
    for key, value in table.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, 1)
            raise UsageError(
                f"{where} has no `{key}`",
                f"did you mean `{near[0]}`?" if near else f"it has {', '.join(_KEYS)}",
            )
        _check_kind(key, value, where)
    lists = {key: tuple(table[key]) for key in _LISTS if key in table}
    sizes = dict(_flat(table.get("sizes", {})))
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise UsageError(f"{where} sizes: `{name}` is {size!r}", "write a whole number of at least 1")
    given = {name: Given(value) for name, value in _flat(table.get("arguments", {}))}
    found = replace(
        before,
        sizes={**before.sizes, **{name: Given(size) for name, size in sizes.items()}},
        arguments={**before.arguments, **given},
    )
    return replace(found, **lists)


def _check_kind(key: str, value: object, where: str) -> None:
    if key in _LISTS:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise UsageError(f"{where} {key} is {value!r}", f'write {key} = ["..."]')
    elif not isinstance(value, dict):
        is_toml = where.endswith("]")
        way = f"[tool.dimtyped.{key}] and below it name = value" if is_toml else f'"{key}": {{"name": value}}'
        raise UsageError(f"{where} {key} is {value!r}", f"write {way}")


def _flat(table: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """The entries of a table; those of a class in it by `Class.name`, if its name begins with a capital."""
    for key, value in table.items():
        if isinstance(value, dict) and key[:1].isupper():
            yield from ((f"{key}.{name}", inner) for name, inner in value.items())
        else:
            yield key, value
