"""What the command finds in a file, and where."""

import inspect
import sys
from types import ModuleType

import pytest

from dimtyped.cli.targets.members import members_of
from dimtyped.cli.targets.settings import Settings
from tests.cli.check.models import HEAD

pytestmark = pytest.mark.any_engine

FILE = (
    HEAD
    + '''\
def same(cls):
    return cls


if True:

    @same
    @same
    class Decorated(nn.Module):
        """class Plain(nn.Module): in a text."""

        def forward(self, x: Float[Tensor, "batch seq"]):
            return x


class Plain(nn.Module):
    def forward(self, x: Float[Tensor, "batch seq"]):
        return x


def make():
    class Inner(nn.Module):
        def forward(self, x: Float[Tensor, "batch seq"]):
            return x

    return Inner


Inner = make()


@typed
def function(x: Float[Tensor, "batch seq"]):
    return x
'''
)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The file, imported."""
    file = tmp_path / "lines.py"
    file.write_text(FILE)
    made = ModuleType("lines")
    made.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "lines", made)
    exec(compile(FILE, file, "exec"), vars(made))
    return made


def test_each_class_and_function_is_at_its_first_line(module):
    found = {member.name: member.line for member in members_of(module, Settings())}
    assert found == {name: inspect.getsourcelines(inspect.unwrap(getattr(module, name)))[1] for name in found}
    assert list(found) == ["Decorated", "Plain", "Inner", "function"]


def test_without_a_source_there_is_no_line(module):
    module.__file__ = "gone.py"
    found = {member.name: member.line for member in members_of(module, Settings())}
    assert [found["Plain"], found["Decorated"]] == [0, 0]
