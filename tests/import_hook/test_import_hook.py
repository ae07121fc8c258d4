"""`install_import_hook`: what of a module is checked, with jaxtyping's own hook as the measure."""

import asyncio
import functools
import importlib
import sys
import typing
from pathlib import Path

import jaxtyping
import pytest
import torch

import dimtyped
from dimtyped import DeclarationError, DimensionError, DimensionWarning, install_import_hook
from dimtyped.engine import entry_of
from dimtyped.runtime import mode
from tests.helpers.calls import ones, refuses
from tests.import_hook.sources import BODIES, SOURCE, imported, write

theirs = functools.partial(jaxtyping.install_import_hook, typechecker="beartype.beartype")

CALLS = {
    "right": lambda m: m.add(ones(2), ones(2)),
    "wrong": lambda m: m.add(ones(2), ones(3)),
    "wrong result": lambda m: m.spread(ones(2)),
    "right result": lambda m: m.spread(ones(1)),
    "a float": lambda m: m.scale(ones(2), 2.0),
    "an int for a float": lambda m: m.scale(ones(2), 2),
    "an annotation that only a type checker knows": lambda m: m.scale(ones(2), config=3),
    "no tensor": lambda m: m.count(3),
    "wrong without a tensor": lambda m: m.count("3"),
    "a constructor": lambda m: m.Layer(3),
    "a wrong constructor": lambda m: m.Layer("3"),
    "a method": lambda m: m.Layer(3)(ones(2, 3)),
    "a wrong method": lambda m: m.Layer(3)(ones(2, 4)),
    "a class method": lambda m: m.Layer.made(ones(2, 3)),
    "a wrong class method": lambda m: m.Layer.made(ones(2)),
    "a static method": lambda m: m.Layer.joined(ones(2), ones(3)),
    "a wrong static method": lambda m: m.Layer.joined(ones(2), ones(3, 1)),
    "a property": lambda m: m.Layer(2).eye,
    "a wrong property": lambda m: m.Layer(3).eye,
    "a dataclass": lambda m: m.Pair(ones(2), ones(2)),
    "a wrong dataclass": lambda m: m.Pair(ones(2), ones(3)),
    "a wrong text in a dataclass": lambda m: m.Pair(ones(2), ones(2), 3),
    "a named tuple": lambda m: m.Both(ones(2), ones(3)),
    "decorated": lambda m: m.decorated(ones(2), ones(2)),
    "wrong and decorated": lambda m: m.decorated(ones(2), ones(3)),
    "cached": lambda m: m.cached(3),
    "wrong and cached": lambda m: m.cached(4),
    "a context": lambda m: m.held(ones(2, 2)).__enter__(),
    "a wrong context": lambda m: m.held(ones(2, 3)).__enter__(),
    "left out": lambda m: m.free(ones(2), ones(3)),
    "overloaded": lambda m: m.either("neither"),
    "nested": lambda m: m.nested(ones(2), ones(2)),
    "wrong and nested": lambda m: m.nested(ones(2), ones(3)),
    "conditional": lambda m: m.conditional(ones(2), ones(2)),
    "wrong and conditional": lambda m: m.conditional(ones(2), ones(3)),
    "a body that asks": lambda m: m.asks(ones(2), ones(2)),
    "a body that asks, and hears no": lambda m: m.asks(ones(2), ones(3)),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The same module twice: by jaxtyping's hook, and by ours."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("both")
        patch.syspath_prepend(str(folder))
        yield imported(folder, SOURCE, theirs), imported(folder, SOURCE, install_import_hook)


def verdict(call, module) -> bool:
    try:
        call(module)
    except TypeError:
        return False
    return True


@pytest.mark.parametrize("case", CALLS)
def test_the_verdict_is_that_of_jaxtypings_hook(pair, case):
    accepted = [verdict(CALLS[case], module) for module in pair]
    assert accepted == [
        not case.startswith("wrong") and " wrong" not in case and "hears no" not in case
    ] * 2 or case in (
        "an int for a float",
        "a named tuple",
    )
    assert accepted[0] == accepted[1]


@pytest.mark.any_engine
def test_each_function_is_checked_once(pair):
    module = pair[1]
    checked = [name for name, value in vars(module).items() if entry_of(value) is not None]
    assert checked == [
        "add",
        "spread",
        "scale",
        "count",
        "decorated",
        "cached",
        "held",
        "nested",
        "conditional",
        "asks",
    ]
    assert entry_of(vars(module.Layer)["forward"]).wrapper is vars(module.Layer)["forward"]
    for name in ("add", "decorated", "asks"):
        assert vars(module)[name].__wrapped__.__code__.co_filename == module.__file__


@pytest.mark.any_engine
def test_overloads_and_docstrings_stay(pair):
    assert len(typing.get_overloads(pair[1].either)) == 2
    assert pair[1].__doc__ == "A module with all kinds of definitions."


@pytest.mark.any_engine
def test_what_is_checked_compiles(pair):
    compiled = torch.compile(pair[1].add, fullgraph=True, backend="eager")
    assert compiled(ones(2), ones(2)).shape == (2,)


# Annotated assignments ------------------------------------------------------------------------------------------------


@pytest.fixture
def bodies(folder):
    return imported(folder, BODIES, install_import_hook)


@pytest.mark.usefixtures("engine")
class TestBodies:
    def test_an_assignment_shares_the_names_of_the_call(self, bodies):
        assert bodies.attend(ones(2, 3, 4), ones(2, 5, 4)).shape == (2, 3, 5)
        with refuses("^attend: variable `scores` does not fit: query is 5, must be 9; key is 4, must be 5\n") as caught:
            bodies.attend(ones(2, 9, 4), ones(2, 5, 4))
        assert caught.value.argument == "scores"
        assert "bound by" not in str(caught.value)

    def test_it_shares_them_with_the_other_assignments(self, bodies):
        assert bodies.unannotated(ones(2, 3), ones(3, 2)).shape == (2, 2)
        with refuses("n is 4, must be 2\n(.|\n)*n = 2  bound by an earlier assignment"):
            bodies.unannotated(ones(2, 3), ones(3, 4))

    def test_it_binds_names_for_the_result(self, bodies):
        with refuses("result: the result does not fit: new is 2, must be 3"):
            bodies.result(ones(2), ones(3))

    def test_an_alias_is_an_annotation_and_another_name_is_none(self, bodies):
        assert bodies.aliased(ones(2, 3)).shape == (2, 3)
        with refuses("variable `image` does not fit: it has 1 axis, must have 2"):
            bodies.aliased(ones(2))

    def test_an_annotation_of_the_function_is_made_each_time(self, bodies):
        assert bodies.in_a_loop([ones(2, 3), ones(2, 3)], 2).shape == (2, 3)
        with refuses("variable `made` does not fit: m is 4, must be 3"):
            bodies.in_a_loop([ones(2, 3), ones(2, 4)], 2)
        with refuses("variable `made` does not fit"):
            bodies.in_a_loop([ones(2, 3)], 3)

    def test_an_attribute_is_checked(self, bodies):
        with refuses("variable `self.kept` does not fit: n is 3, must be 2"):
            bodies.stored(ones(0), ones(2))

    def test_generators_and_coroutines(self, bodies):
        assert len(list(bodies.items(ones(2), [ones(2), ones(2)]))) == 2
        with refuses("variable `part` does not fit: n is 3, must be 2"):
            list(bodies.items(ones(2), [ones(2), ones(3)]))
        assert asyncio.run(bodies.later(ones(2), ones(2))).shape == (2,)
        with refuses("variable `part` does not fit: n is 3, must be 2"):
            asyncio.run(bodies.later(ones(2), ones(3)))

    def test_an_annotation_that_cannot_be_evaluated(self, bodies):
        with pytest.raises(
            DeclarationError, match="part: its annotation cannot be evaluated: NameError: name 'Missing'"
        ):
            bodies.unknown(ones(2))


@pytest.mark.any_engine
def test_a_traceback_keeps_the_users_line_and_columns(bodies):
    with refuses("scores") as caught:
        bodies.attend(ones(2, 9, 4), ones(2, 5, 4))
    last = caught.traceback[-1]
    line = BODIES.splitlines().index(
        '    scores: Float[Tensor, "batch query key"] = q @ k.transpose(1, 2) if q.shape[1] < 9 else ('
    )
    assert (str(last.path), last.lineno) == (bodies.__file__, line)
    positions = list(last.frame.raw.f_code.co_positions())[last._rawentry.tb_lasti // 2]
    assert positions == (line + 1, line + 3, 47, 5)


@pytest.mark.any_engine
def test_an_assignment_is_traced(bodies):
    compiled = torch.compile(bodies.attend, fullgraph=True, backend="eager")
    assert compiled(ones(2, 3, 4), ones(2, 5, 4)).shape == (2, 3, 5)
    with pytest.raises(Exception, match="variable `scores` does not fit: it has 2 axes, must have 3"):
        torch.compile(bodies.flat, fullgraph=True, backend="eager")(ones(2, 3))


# The hook itself ------------------------------------------------------------------------------------------------------


def test_packages_their_modules_and_what_is_excluded(folder):
    package = folder / "whole"
    (package / "inner").mkdir(parents=True)
    for file in ("__init__.py", "one.py", "two.py", "inner/__init__.py", "inner/three.py"):
        (package / file).write_text(SOURCE)
    (folder / "wholesale.py").write_text(SOURCE)
    names = ("whole.one", "whole.two", "whole.inner.three", "wholesale")
    with install_import_hook("whole", exclude="whole.inner") as hook:
        modules = {name: importlib.import_module(name) for name in names}
    assert hook.modules == ["whole", "whole.one", "whole.two"]
    assert {name: entry_of(module.add) is not None for name, module in modules.items()} == {
        "whole.one": True,
        "whole.two": True,
        "whole.inner.three": False,
        "wholesale": False,
    }
    assert hook not in sys.meta_path


def test_the_code_is_kept_and_made_anew_when_the_source_changes(folder, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    name = write(folder, SOURCE)
    for source, has_new in ((SOURCE, False), (SOURCE, False), (f"{SOURCE}\ndef new(): ...\n", True)):
        (folder / f"{name}.py").write_text(source)
        with install_import_hook(name):
            module = importlib.import_module(name)
        assert hasattr(module, "new") == has_new
        assert entry_of(module.add) is not None
        assert len(list((folder / "__pycache__").glob(f"{name}.*dimtyped.pyc"))) == 1
        del sys.modules[name]
    assert entry_of(importlib.import_module(name).add) is None  # Python's own file is another


def test_off_leaves_a_module_as_it_is(folder, monkeypatch):
    before = mode()
    dimtyped.configure("off")
    try:
        module = imported(folder, SOURCE, install_import_hook_without_warning)
    finally:
        dimtyped.configure(before)
    assert module.add.__globals__ is vars(module)
    assert not any(name.startswith("_dt_") for name in vars(module))


def install_import_hook_without_warning(name):
    hook = install_import_hook(name)
    hook.modules.append(name)  # so that leaving the block says nothing
    return hook


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "it is given no package"),
        (
            (["a", "b"],),
            r"\['a', 'b'\] is no name of a package\n  Give each name by itself: install_import_hook\(\"a\", \"b.c\"\)",
        ),
        (
            ("a", "beartype.beartype"),
            "'beartype.beartype' is a type checker, and none is needed\n  Leave 'beartype.beartype' out",
        ),
        (("scikit-learn",), "'scikit-learn' can be no module's name"),
    ],
)
def test_what_is_no_package_is_refused(arguments, message):
    before = list(sys.meta_path)
    with pytest.raises(DeclarationError, match=f"^install_import_hook: {message}"):
        install_import_hook(*arguments)
    assert sys.meta_path == before


def test_a_package_that_was_imported_before_is_told():
    with (
        pytest.warns(
            DimensionWarning, match="`tests.import_hook.sources` has been imported already, so it is not checked"
        ),
        pytest.warns(DimensionWarning, match="no module of `tests.import_hook.sources` was imported in the block"),
        install_import_hook("tests.import_hook.sources"),
    ):
        pass


def test_a_package_may_install_the_hook_for_itself(folder):
    (folder / "itself").mkdir()
    (folder / "itself" / "inner.py").write_text(SOURCE)
    (folder / "itself" / "__init__.py").write_text(
        "from dimtyped import install_import_hook\nwith install_import_hook('itself'):\n    from itself import inner\n"
    )
    assert entry_of(importlib.import_module("itself").inner.add) is not None


LATER = """
from __future__ import annotations
from jaxtyping import Float
from torch import Tensor

def add(x: Float[Tensor, "n"], y: Float[Tensor, "n"] | Later) -> Tensor:
    return x

class Later: ...
"""


def test_an_annotation_that_names_a_later_class_is_checked_and_jaxtyping_leaves_it(folder):
    assert verdict(lambda module: module.add(ones(2), ones(3)), imported(folder, LATER, theirs))
    module = imported(folder, LATER, install_import_hook)
    assert module.add(ones(2), module.Later()).shape == (2,)
    with refuses("n is 3, must be 2"):
        module.add(ones(2), ones(3))


# Beside others --------------------------------------------------------------------------------------------------------


def test_beside_jaxtypings_hook_a_function_is_checked_once(folder):
    name = write(folder, SOURCE)
    with theirs(name), install_import_hook(name):
        module = importlib.import_module(name)
    assert module.add.__wrapped__.__globals__ is vars(module)
    with pytest.raises(DimensionError):
        module.add(ones(2), ones(3))


CLAWED = """
from beartype.claw import beartype_this_package
beartype_this_package()
from clawed import inner
"""


def test_beside_beartypes_claw_both_check(folder):
    (folder / "clawed").mkdir()
    (folder / "clawed" / "__init__.py").write_text(CLAWED)
    (folder / "clawed" / "inner.py").write_text(SOURCE.replace("x[None]", "x[None]; wrong: int = x"))
    source = (
        (folder / "clawed" / "inner.py").read_text().replace("return str(x)", "wrong: int = str(x)\n    return wrong")
    )
    (folder / "clawed" / "inner.py").write_text(source)
    with install_import_hook("clawed"):
        module = importlib.import_module("clawed").inner
    with pytest.raises(DimensionError):
        module.add(ones(2), ones(3))
    with pytest.raises(Exception, match="violates type hint <class 'int'>"):
        module.count(3)
    assert module.add(ones(2), ones(2)).shape == (2,)


def test_a_package_that_the_claw_was_not_given_is_checked(folder):
    import beartype.claw

    beartype.claw.beartype_package("nowhere")  # from now on its loader loads every module
    module = imported(folder, SOURCE, install_import_hook)
    with refuses("add: argument `y` does not fit: n is 3, must be 2"):
        module.add(ones(2), ones(3))
