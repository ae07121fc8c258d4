"""IPython: `%autoreload 2` on a module with typed functions and methods, and `%load_ext dimtyped` for what cells define."""

import os
import sys

import pytest

pytest.importorskip("IPython", reason="IPython is in the extra `ecosystem`")

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from tests.engine.test_reloading import SOURCE

USE = """
import torch
from dimtyped import DimensionError
import {name} as library
from {name} import scaled, Pair
x = torch.ones(2, 3)
box, net = library.Box(), library.Net()
"""
CALLS = {
    "function": "library.scaled(x)",
    "imported function": "scaled(x)",
    "asserting function": "library.asserted(x)",
    "method": "box.method(x)",
    "dataclass": "library.Pair(x, x).total()",
    "imported dataclass": "Pair(x, x).total()",
    "module": "net(x)",
    "new module": "library.Net()(x)",
}
WRONG = ("library.scaled(x[0])", "box.method(x[0])", "net(x[0])", "library.Pair(x, x[0])")


@pytest.fixture
def shell():
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    made = InteractiveShell.instance(config=config)
    made.run_cell("%load_ext autoreload\n%autoreload 2")
    yield made
    made.run_cell("%autoreload 0")
    InteractiveShell.clear_instance()


class _Edited:
    """A module that is edited between the cells."""

    def __init__(self, folder, name):
        self.path, self.edits = folder / f"{name}.py", 0

    def write(self, value, note=""):
        self.path.write_text(SOURCE.format(value=value, axis="width") + note)
        self.edits += 1
        os.utime(self.path, (self.path.stat().st_mtime + 10 * self.edits,) * 2)


def _value(shell, call):
    ran = shell.run_cell(f"found = float({call}.flatten()[0])", store_history=False)
    ran.raise_error()
    return shell.user_ns["found"]


@pytest.mark.parametrize("called", [True, False], ids=["called before", "not called before"])
@pytest.mark.parametrize("note", ["", "VALUE = {value}\n"], ids=["bodies alone change", "a constant changes too"])
def test_every_edit_is_what_runs(shell, tmp_path, monkeypatch, called, note):
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"of_notebook_{called}_{bool(note)}"
    edited = _Edited(tmp_path, name)
    edited.write(1.0)
    shell.run_cell(USE.format(name=name), store_history=False).raise_error()
    if called:
        assert {call: _value(shell, text) for call, text in CALLS.items()} == dict.fromkeys(CALLS, 1.0)
    for value in (2.0, 3.0, 4.0):
        edited.write(value, note.format(value=value))
        assert {call: _value(shell, text) for call, text in CALLS.items()} == dict.fromkeys(CALLS, value)
        for call in WRONG:
            assert type(shell.run_cell(call, store_history=False).error_in_exec).__name__ == "DimensionError", call
    sys.modules.pop(name)


CELLS = [
    """
from __future__ import annotations
import torch
from jaxtyping import Float
from torch import Tensor
%load_ext dimtyped
""",
    """
\"\"\"A cell with a text.\"\"\"
def add(x: Float[Tensor, "n"], y: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    made: Float[Tensor, "n"] = torch.cat([x, y])
    return made
""",
    """
class Layer(torch.nn.Module):
    def forward(self, x: Float[Tensor, "n n"]):
        made: Float[Tensor, "n"] = x.sum(1)
        return made
""",
]


def test_what_cells_define_is_checked(shell):
    for cell in CELLS:
        shell.run_cell(cell, store_history=False).raise_error()
    errors = {
        call: str(shell.run_cell(call, store_history=False).error_in_exec).splitlines()[0]
        for call in (
            "add(torch.ones(2), torch.ones(3))",
            "add(torch.ones(2), torch.ones(2))",
            "Layer()(torch.ones(2, 3))",
        )
    }
    assert list(errors.values()) == [
        "add: argument `y` does not fit: n is 3, must be 2",
        "add: variable `made` does not fit: n is 4, must be 2",
        "Layer.forward: argument `x` does not fit: n is 3, must be 2",
    ]
    shell.run_cell("Layer()(torch.ones(2, 2))", store_history=False).raise_error()
    assert not any(name.startswith("_dt_") for name in shell.run_line_magic("who_ls", ""))


def test_the_extension_can_be_unloaded(shell):
    shell.run_cell("%load_ext dimtyped\n%unload_ext dimtyped", store_history=False).raise_error()
    shell.run_cell(f"{CELLS[0].replace('%load_ext dimtyped', '')}{CELLS[1]}", store_history=False).raise_error()
    assert not hasattr(shell.user_ns["add"], "__dimtyped__")


NOTED = """
from jaxtyping import Float
from torch import Tensor
from dimtyped import typed

@typed
def scores(q: Float[Tensor, "batch time head"], k: Float[Tensor, "batch time head"]):
    return q @ k
"""


def test_a_cell_shows_the_note_on_an_error_of_torchs(shell, capsys):
    shell.run_cell(f"import torch{NOTED}", store_history=False).raise_error()
    for _ in range(2):
        shell.run_cell("scores(torch.ones(4, 8, 16), torch.ones(4, 8, 16))", store_history=False)
        shown = capsys.readouterr().out
        assert "dimtyped: `q @ k` in scores: head=16 meets time=8" in shown
        assert "`q @ k.transpose(1, 2)` fits." in shown
        assert "<dimtyped" not in shown
        assert "engine" not in shown
