"""The pytest plugin: `--dimtyped=...`, `-packages=...`, `-fuzz=...`, `-check=...`, `-watch`, and a fixture.

Pytest loads this in every run where dimtyped is installed, beside the package and not from it. A run without
these options is unchanged: neither torch nor dimtyped is imported, no line is printed.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Generator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest

_MODES = ("on", "off", "reference", "values")
_ENGINES = {
    "on": "the fast engine checks",
    "off": "nothing is checked",
    "reference": "jaxtyping and beartype check",
    "values": "the fast engine checks, token ids too",
}
_VARIABLE = "DIMTYPED"
# dimtyped's plain UserWarnings
_OURS = re.compile(r"^Embedding\.from_pretrained: the vocabulary has | so it is no longer tied to ")
_UNWATCHED = "dimtyped_unwatched"
_before = pytest.StashKey["str | None"]()
_waiting = pytest.StashKey["_Waiting"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options."""
    group = parser.getgroup("dimtyped", "dimension names")
    group.addoption("--dimtyped", choices=_MODES, help="which engine checks, as the environment variable DIMTYPED")
    group.addoption(
        "--dimtyped-packages",
        action="append",
        default=[],
        metavar="PACKAGE,...",
        help="checks every annotated function of these packages, as install_import_hook does; may be given again",
    )
    group.addoption(
        "--dimtyped-fuzz",
        action="append",
        default=[],
        metavar="PKG.MODULE:FACTORY",
        help="fuzzes what the factory makes: a module, or a typed function; may be given again",
    )
    group.addoption(
        "--dimtyped-check",
        action="append",
        default=[],
        metavar="PKG.MODULE:FACTORY",
        help="checks what the factory makes, as the command `dimtyped check` does; may be given again",
    )
    group.addoption(
        "--dimtyped-watch",
        action="store_true",
        help="follows the dimension names of each test's models; a finding fails the test",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Sets the engine, and waits for the packages to check, before a conftest can import any of them."""
    packages = [
        name for given in early_config.known_args_namespace.dimtyped_packages for name in given.split(",") if name
    ]
    if packages:
        early_config.stash[_waiting] = waiting = _Waiting(packages)
        sys.meta_path.insert(0, waiting)
    mode = early_config.known_args_namespace.dimtyped
    if mode is not None:
        early_config.stash[_before] = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = mode
        if "dimtyped" in sys.modules:
            sys.modules["dimtyped"].configure(mode)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Restores the environment, and removes the hook."""
    if _waiting in config.stash:
        config.stash[_waiting].end()
    if _before in config.stash:
        before = config.stash[_before]
        os.environ.pop(_VARIABLE, None)
        if before is not None:
            os.environ[_VARIABLE] = before


def pytest_report_header(config: pytest.Config) -> str | None:
    """Prints the engine, if one was chosen."""
    if not _is_asked(config):
        return None
    mode = config.getoption("dimtyped")
    mode = mode or os.environ.get(_VARIABLE) or "on"
    return f"dimtyped: {mode}: {_ENGINES.get(mode, '')}"


def _is_asked(config: pytest.Config) -> bool:
    return any(config.getoption(f"dimtyped{option}") for option in ("", "_packages", "_fuzz", "_check", "_watch"))


# Packages that are checked ----------------------------------------------------------------------------------------------


class _Waiting(MetaPathFinder):
    """Installs the import hook once the first module of the packages is imported: it imports torch."""

    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = packages
        self.hook: Any = None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec that the hook finds. Afterwards Python asks the hook itself."""
        if self.hook is not None or not any(f"{fullname}.".startswith(f"{name}.") for name in self.packages):
            return None
        sys.meta_path.remove(self)
        self.hook = importlib.import_module("dimtyped").install_import_hook(*self.packages)
        return self.hook.find_spec(fullname, path, target)

    def end(self) -> None:
        """Stops waiting, or removes the hook."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        if self.hook is not None:
            self.hook.uninstall()

    def summary(self) -> list[str]:
        """A line for each package: how many of its modules were imported with checks."""
        modules: list[str] = self.hook.modules if self.hook is not None else []
        counts = {name: sum(f"{each}.".startswith(f"{name}.") for each in modules) for name in self.packages}
        return [f"{name}: {_counted(count)}" for name, count in counts.items()]


def _counted(modules: int) -> str:
    if not modules:
        return "nothing is checked: none of its modules was imported after pytest began"
    return f"{modules} {'module' if modules == 1 else 'modules'} checked"


@pytest.fixture
def dimtyped_fuzz() -> Callable[..., None]:
    """`dimtyped.testing.fuzz`: calls a module with inputs made from its annotations, and checks the results."""
    return importlib.import_module("dimtyped.testing").fuzz


# Fuzzing and checking from the command line ----------------------------------------------------------------------------


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Adds a test for each `--dimtyped-fuzz` and each `--dimtyped-check`."""
    for kind in (FuzzItem, CheckItem):
        specs: list[str] = config.getoption(kind.option.replace("-", "_")) or []
        items.extend(kind.from_parent(session, name=f"{kind.option}[{spec}]", spec=spec) for spec in specs)


class _SpecItem(pytest.Item):
    """A test for one option that names a factory."""

    option: str

    def __init__(self, *, spec: str, **options: Any) -> None:
        super().__init__(**options)
        self.spec = spec

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The failure's own text; any other error whole."""
        return (
            str(excinfo.value)
            if excinfo.errisinstance((AssertionError, _WrongSpecError))
            else super().repr_failure(excinfo, style)
        )

    def reportinfo(self) -> tuple[str, int | None, str]:
        """The name of the test for pytest."""
        return self.spec.partition(":")[0], None, self.name


class FuzzItem(_SpecItem):
    """One `--dimtyped-fuzz`."""

    option = "dimtyped-fuzz"

    def runtest(self) -> None:
        """Makes the module or function, and fuzzes it."""
        made = _factory(self.spec)()
        self.add_report_section("call", "dimtyped", str(importlib.import_module("dimtyped.testing").fuzz(made)))


class CheckItem(_SpecItem):
    """One `--dimtyped-check`."""

    option = "dimtyped-check"

    def runtest(self) -> None:
        """Checks the named object as the command does."""
        target, text = (importlib.import_module(f"dimtyped.cli.check.{name}") for name in ("target", "text"))
        try:
            results = target.check_target(self.spec, self.config.rootpath)
        except importlib.import_module("dimtyped.cli.targets.usage").UsageError as error:
            raise _WrongSpecError(f"--dimtyped-check={self.spec}: {error}") from None
        shown = text.text_of(results, text.Style())
        if results.findings:
            raise AssertionError(shown)
        self.add_report_section("call", "dimtyped", shown)


class _WrongSpecError(Exception):
    """The object that an option names does not exist."""


def _factory(spec: str) -> Callable[[], Any]:
    module, _, name = spec.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise _WrongSpecError(
            f"--dimtyped-fuzz={spec}: {error}\n  Write pkg.module:factory, where factory() makes a model."
        ) from None
    return found


# Watching ---------------------------------------------------------------------------------------------------------------


class _Watch:
    """Follows what each test runs: a finding fails it, and explains an error that it raises."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        if isinstance(item, _SpecItem) or item.get_closest_marker(_UNWATCHED):
            return (yield)
        dimtyped, report = importlib.import_module("dimtyped"), None
        try:
            with dimtyped.watch() as report:
                result = yield
        except BaseException as error:
            if (
                report is not None and report.findings and not isinstance(error, dimtyped.DimensionError)
            ):  # which says it
                item.add_report_section("call", "dimtyped", str(report))
            raise
        if report.findings:
            pytest.fail(str(report), pytrace=False)
        return result


# Warnings -------------------------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker, and lists the warnings of dimtyped in a run that uses dimtyped."""
    config.addinivalue_line("markers", f"{_UNWATCHED}: not followed by --dimtyped-watch, for a test of wrong shapes")
    if _waiting in config.stash and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Packages(config.stash[_waiting]), "dimtyped-packages")
    if _is_asked(config):
        config.pluginmanager.register(_Summary(), "dimtyped-warnings")
    if config.getoption("dimtyped_watch"):
        config.pluginmanager.register(_Watch(), "dimtyped-watching")


class _Packages:
    """Prints at the end of a run what was checked. With xdist the workers import the packages, so nothing is printed."""

    def __init__(self, waiting: _Waiting) -> None:
        self.waiting = waiting

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        if not config.getoption("numprocesses", None):
            terminalreporter.section("dimtyped packages")
            for line in self.waiting.summary():
                terminalreporter.line(line)


class _Summary:
    """Lists the warnings of dimtyped at the end of a run."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def pytest_warning_recorded(self, warning_message: Any, nodeid: str) -> None:
        if _is_ours(warning_message):
            self.lines.append(f"{nodeid or 'while collecting'}: {str(warning_message.message).splitlines()[0]}")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.lines:
            terminalreporter.section("dimtyped warnings")
            for line in dict.fromkeys(self.lines):
                terminalreporter.line(line)


def _is_ours(warning_message: Any) -> bool:
    category: type = warning_message.category
    return category.__module__.partition(".")[0] == "dimtyped" or bool(_OURS.search(str(warning_message.message)))
