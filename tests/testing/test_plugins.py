"""The two entry points, as an installation has them: what they add, and that a run that does not ask is not changed."""

import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def installed(tmp_path):
    """A folder with the project's entry points, as pip writes them, and a way to run Python there."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    info = tmp_path / "site" / "dimtyped_here-0.0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dimtyped-here\nVersion: 0.0.0\n")
    lines = [
        line for group, named in points.items() for line in (f"[{group}]", *(f"{k} = {v}" for k, v in named.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")

    def run(*arguments, **variables):
        path = os.pathsep.join([str(tmp_path / "site"), str(tmp_path), str(ROOT)])
        environment = {**os.environ, "PYTHONPATH": path, **variables}
        environment.pop("DIMTYPED", None)
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def python(installed, code):
    done = installed("-c", textwrap.dedent(code))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_hypothesis_makes_tensors_of_an_annotation(installed):
    assert python(
        installed,
        """
        import sys
        import hypothesis
        assert not {"torch", "dimtyped", "jaxtyping"} & sys.modules.keys()
        from hypothesis import find, strategies as st
        import torch
        from jaxtyping import Float, Int
        from torch import Tensor
        assert "dimtyped" not in sys.modules
        print(find(st.from_type(Float[Tensor, "n 2*n"]), lambda t: t.shape[0] > 2).shape)
        def add(x: Float[Tensor, "a"], y: Int[Tensor, "b c"]) -> None:
            return tuple(x.shape), tuple(y.shape)
        print(find(st.builds(add), lambda _: True))
        print(find(st.from_type(Float[Tensor, "a"] | None), lambda t: t is not None).shape)
        print(find(st.from_type(list[int]), lambda v: len(v) == 1))
        """,
    ).splitlines() == ["torch.Size([3, 6])", "((1,), (1, 1))", "torch.Size([1])", "[0]"]


def test_an_array_of_another_kind_is_left_to_others(installed):
    code = """
        import torch, hypothesis
        from jaxtyping import Float
        from hypothesis import strategies as st
        import _dimtyped_hypothesis
        print(_dimtyped_hypothesis.strategy_of(Float[object, "a"]), _dimtyped_hypothesis.strategy_of(int))
        """
    assert python(installed, code).strip() == "None None"


def test_importing_dimtyped_imports_neither_hypothesis_nor_its_testing(installed):
    code = """
        import sys, dimtyped
        print([name for name in ("hypothesis", "dimtyped.testing", "pytest") if name in sys.modules])
        """
    assert python(installed, code).strip() == "[]"


MODEL = """
import warnings
import torch
from dimtyped import nn
from jaxtyping import Float
from torch import Tensor

class Score(nn.Module):
    def __init__(self, bug=False):
        super().__init__()
        self.bug, self.out = bug, nn.Linear(3, 1)
    def forward(self, x: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch"]:
        return self.out(x).squeeze() if self.bug else self.out(x).squeeze(-1)

def right():
    return Score()

def wrong():
    return Score(bug=True)
"""


def pytest_run(installed, tmp_path, test, *options):
    (tmp_path / "models.py").write_text(MODEL)
    (tmp_path / "test_it.py").write_text(textwrap.dedent(test))
    return installed("-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(tmp_path), *options)


def test_a_run_that_does_not_ask_is_not_changed(installed, tmp_path):
    test = """
        import os, sys
        def test_it():
            assert not {"torch", "dimtyped"} & sys.modules.keys()
            assert "DIMTYPED" not in os.environ
        """
    done = pytest_run(installed, tmp_path, test, "-v")
    assert done.returncode == 0, done.stdout
    assert "dimtyped:" not in done.stdout


@pytest.mark.parametrize(
    ("mode", "says"),
    [("off", "nothing is checked"), ("values", "token ids too")],
)
def test_an_engine_is_chosen_before_anything_imports_dimtyped(installed, tmp_path, mode, says):
    (tmp_path / "conftest.py").write_text("import dimtyped._config\nMODE = dimtyped._config.mode()\n")
    test = f"from conftest import MODE\ndef test_it():\n    assert MODE == {mode!r}\n"
    done = pytest_run(installed, tmp_path, test, "-v", f"--dimtyped={mode}")
    assert done.returncode == 0, done.stdout
    assert f"dimtyped: {mode}: " in done.stdout
    assert says in done.stdout


def test_another_engine_is_refused(installed, tmp_path):
    done = pytest_run(installed, tmp_path, "", "--dimtyped=fast")
    assert done.returncode == 4
    assert "--dimtyped: invalid choice: 'fast'" in done.stderr


def test_a_model_is_fuzzed_from_the_command_line(installed, tmp_path):
    options = ("--dimtyped-fuzz=models:right", "--dimtyped-fuzz=models:wrong", "--dimtyped-fuzz=models:no", "-v")
    done = pytest_run(installed, tmp_path, "", *options)
    assert re.search(r"dimtyped-fuzz\[models:right\].* PASSED", done.stdout)
    assert re.search(r"dimtyped-fuzz\[models:wrong\].* FAILED", done.stdout)
    assert "Score fails for batch=1: DimensionError: Score.forward: the result does not fit" in done.stdout
    assert "To repeat it: fuzz(model, repeat=" in done.stdout
    assert "--dimtyped-fuzz=models:no: module 'models' has no attribute 'no'" in done.stdout
    assert "Write pkg.module:factory, where factory() makes a model." in done.stdout


def test_the_fixture_fuzzes_and_warnings_are_summed_up(installed, tmp_path):
    test = """
        import torch
        from dimtyped import nn
        from models import right
        def test_it(dimtyped_fuzz):
            dimtyped_fuzz(right(), max_examples=5)
        def test_warning():
            nn.Embedding.from_pretrained(torch.ones(3, 2), vocabulary=["a", "b"])
        """
    done = pytest_run(installed, tmp_path, test, "--dimtyped=on")
    assert "2 passed" in done.stdout
    assert "= dimtyped warnings =" in done.stdout
    assert (
        "test_it.py::test_warning: Embedding.from_pretrained: the vocabulary has 2 entries, the matrix 3 rows"
        in done.stdout
    )
