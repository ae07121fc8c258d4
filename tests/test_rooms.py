"""The house: rooms import downward only, no files import one another in a circle, and names are imported on demand."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch

import dimtyped
from dimtyped import nn
from dimtyped.nn.contract.families import FAMILIES

PACKAGE = Path(dimtyped.__file__).parent
# From the ground up: a room imports only those before it.
ROOMS = [
    "errors",
    "runtime",
    "names",
    "annotations",
    "diagnosis",
    "engine",
    "import_hook",
    "flow",
    "nn",
    "export",
    "distributed",
    "testing",
    "cli",
]


def sources() -> dict[str, str]:
    """Every module of the package, each with its source."""
    files = [file for file in PACKAGE.rglob("*.py") if "plugins" not in file.parts]
    names = {file: ".".join(("dimtyped", *file.relative_to(PACKAGE).with_suffix("").parts)) for file in files}
    return {name.removesuffix(".__init__"): file.read_text(encoding="utf-8") for file, name in names.items()}


@functools.cache
def statements(source: str) -> list[ast.Import | ast.ImportFrom]:
    """The import statements of a source, those inside functions too."""
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]


def imports(modules: Mapping[str, str], name: str) -> Iterator[str]:
    """The modules of the package that one imports, under TYPE_CHECKING too."""
    for node in statements(modules[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module


def definer(modules: Mapping[str, str], module: str, name: str) -> str:
    """The module that a room's `__init__` takes a name from, else the module itself."""
    for node in statements(modules[module]):
        if isinstance(node, ast.ImportFrom) and node.module in modules and node.module != module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    inner = f"{node.module}.{alias.name}"
                    return inner if inner in modules else definer(modules, node.module, alias.name)
    return module


def file_imports(modules: Mapping[str, str], name: str) -> Iterator[str]:
    """The same, each name traced through the `__init__` files to the file that defines it."""
    for node in statements(modules[name]):
        if isinstance(node, ast.ImportFrom) and node.module in modules:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else definer(modules, node.module, alias.name)


def upward(modules: Mapping[str, str]) -> list[str]:
    """The imports that go to a higher room."""
    found = []
    for name in modules:
        room = name.split(".")[1] if name.count(".") else ""
        if room not in ROOMS:  # the re-exports and `__main__`
            continue
        for imported in imports(modules, name):
            other = imported.split(".")[1] if imported.count(".") else ""
            if imported == "dimtyped" and room == "cli":  # the demo is written as a user's program
                continue
            if other not in ROOMS or ROOMS.index(other) > ROOMS.index(room):
                found.append(f"{name} imports {imported}")
    return sorted(set(found))


def past_the_door(modules: Mapping[str, str]) -> list[str]:
    """The imports that reach a file of another room, past the `__init__` that says what others may use."""
    found = []
    for name in modules:
        room = name.split(".")[1] if name.count(".") else ""
        for node in statements(modules[name]):
            home = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            other = home.split(".")[1] if home.startswith("dimtyped.") else ""
            if room in ROOMS and other not in ("", room) and not is_package(home, modules):
                found.append(f"{name} imports from {home}")
    return sorted(set(found))


def circle(modules: Mapping[str, str]) -> list[str]:
    """Files that import one another, as a path that ends where it began; empty where there is none."""
    edges = {
        name: {other for other in file_imports(modules, name) if other != name}
        for name in modules
        if not is_package(name, modules)
    }
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for other in sorted(edges.get(name, ())):
            found = visit(other, [*path, name])
            if found:
                return found
        done.add(name)
        return []

    return next(filter(None, (visit(name, []) for name in sorted(edges))), [])


def is_package(name: str, modules: Mapping[str, str]) -> bool:
    return any(other.startswith(f"{name}.") for other in modules)


def test_rooms_import_downward_only() -> None:
    assert upward(sources()) == []


def test_an_upward_import_would_be_noticed() -> None:
    modules = sources()
    modules["dimtyped.names.dim"] += "\nfrom dimtyped.engine import typed\n"
    assert upward(modules) == ["dimtyped.names.dim imports dimtyped.engine"]


def test_nobody_reaches_past_the_init_of_a_room() -> None:
    assert past_the_door(sources()) == []


def test_an_import_from_a_file_of_another_room_would_be_noticed() -> None:
    modules = sources()
    modules["dimtyped.engine.wrapper"] += "\nfrom dimtyped.names.dim import Dim\n"
    assert past_the_door(modules) == ["dimtyped.engine.wrapper imports from dimtyped.names.dim"]


def test_no_files_import_one_another_in_a_circle() -> None:
    assert circle(sources()) == []


def test_a_circle_would_be_noticed() -> None:
    modules = sources()
    modules["dimtyped.names.dim"] += "\nfrom dimtyped.names import scope_of\n"
    assert {"dimtyped.names.dim", "dimtyped.names.reading"} <= set(circle(modules))


def test_every_room_says_what_it_is_for() -> None:
    modules = sources()
    undocumented = [room for room in ROOMS if not ast.get_docstring(ast.parse(modules[f"dimtyped.{room}"]))]
    assert undocumented == []


def test_only_re_exports_and_the_command_lie_at_the_top() -> None:
    assert sorted(file.name for file in PACKAGE.glob("*.py")) == ["__init__.py", "__main__.py"]


# Names on demand ------------------------------------------------------------------------------------------------------


def fresh(code: str) -> str:
    """What a fresh process prints."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_layer_imports_its_family_and_no_other() -> None:
    shown = fresh("""
        import sys
        from dimtyped import nn
        nn.Linear(2, 3)
        print(*sorted(name for name in sys.modules if name.startswith("dimtyped.nn.layers.")))
        print(*[name for name in sys.modules if name.split(".")[0] in ("beartype", "hypothesis", "rich", "matplotlib")])
        print(*[name for name in sys.modules if name.startswith(("dimtyped.testing", "dimtyped.cli", "dimtyped.flow"))])
    """)
    assert shown.splitlines() == ["dimtyped.nn.layers.linear", "", ""]


def test_importing_dimtyped_imports_no_engine() -> None:
    shown = fresh("import sys, dimtyped; print([name for name in sys.modules if name.startswith('dimtyped.engine')])")
    assert shown == "[]\n"


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_each_family_declares_what_the_table_says(family: str) -> None:
    listed = FAMILIES[family].split()
    assert [getattr(nn, name).__module__ for name in listed] == [f"dimtyped.nn.layers.{family}"] * len(listed)


def test_static_checkers_and_dir_see_every_layer() -> None:
    source = (PACKAGE / "nn" / "__init__.py").read_text(encoding="utf-8")
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    seen = {
        alias.name for node in nodes if (node.module or "").startswith("dimtyped.nn.layers") for alias in node.names
    }
    listed = {name for layers in FAMILIES.values() for name in layers.split()}
    assert listed - seen == {"LinearCrossEntropyLoss"} & listed  # what this torch has of it comes through a star
    assert listed <= set(dir(nn))


def test_names_that_nobody_has_are_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'dimtyped.nn' has no attribute 'Liner'"):
        nn.Liner  # noqa: B018  # looked up for its error
    with pytest.raises(AttributeError, match="module 'dimtyped' has no attribute 'dimms'"):
        dimtyped.dimms  # noqa: B018  # looked up for its error


def test_what_is_torchs_own_is_torchs() -> None:
    assert nn.ReLU is torch.nn.ReLU
    assert nn.Parameter is torch.nn.Parameter
