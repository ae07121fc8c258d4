"""The two entry points, in an installation: what they add, and that a run that does not ask is not changed."""

import functools
import os
import re
import site
import subprocess
import textwrap
import venv
import zipfile
from pathlib import Path

import pytest
from hatchling.build import build_editable, build_wheel

pytestmark = pytest.mark.any_engine
ROOT = Path(__file__).parent.parent.parent


class Installation:
    """A virtual environment with the project in it, as pip unpacks the wheel, and with what these tests run in."""

    def __init__(self, folder, build):
        venv.create(folder)
        self.python = next(folder.glob("[bS]*/python*"))
        self.packages = next(folder.rglob("site-packages"))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            wheel = folder / build(str(folder))
        zipfile.ZipFile(wheel).extractall(self.packages)
        (self.packages / "~others.pth").write_text("\n".join(site.getsitepackages()))

    def run(self, folder, *arguments):
        environment = {name: value for name, value in os.environ.items() if name not in ("DIMTYPED", "PYTHONPATH")}
        return subprocess.run(
            [self.python, *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def as_wheel(tmp_path_factory):
    return Installation(tmp_path_factory.mktemp("wheel"), build_wheel)


@pytest.fixture(scope="module")
def as_editable(tmp_path_factory):
    return Installation(tmp_path_factory.mktemp("editable"), build_editable)


@pytest.fixture(params=["as_wheel", "as_editable"])
def either(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def installed(as_wheel, tmp_path):
    """Runs Python where the built wheel is installed."""
    return lambda *arguments: as_wheel.run(tmp_path, *arguments)


def python(installed, code):
    done = installed("-c", textwrap.dedent(code))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_each_plugin_once_beside_the_package(as_wheel):
    plugins = sorted(path.relative_to(as_wheel.packages) for path in as_wheel.packages.rglob("_dimtyped_*.py"))
    assert [str(path) for path in plugins] == ["_dimtyped_hypothesis.py", "_dimtyped_pytest.py"]
    assert not (as_wheel.packages / "dimtyped" / "testing" / "plugins").exists()


def test_an_editable_installation_runs_the_files_of_the_checkout(as_editable, tmp_path):
    code = "import _dimtyped_pytest, _dimtyped_hypothesis as h; print(_dimtyped_pytest.__file__, h.__file__, sep='\\n')"
    found = as_editable.run(tmp_path, "-c", code).stdout.splitlines()
    assert {Path(file).parent for file in found} == {ROOT / "dimtyped" / "testing" / "plugins"}


def test_hypothesis_makes_tensors_of_an_annotation(either, tmp_path):
    assert python(
        functools.partial(either.run, tmp_path),
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
        from _dimtyped_hypothesis import strategy_of  # an array of another kind is left to others
        print(strategy_of(Float[object, "a"]), strategy_of(int))
        """,
    ).splitlines() == ["torch.Size([3, 6])", "((1,), (1, 1))", "torch.Size([1])", "[0]", "None None"]


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
    others = ("no:cacheprovider", "no:xdist", "no:torchtyping")  # torchtyping's imports torch
    return installed("-m", "pytest", *(f"-p{each}" for each in others), "--rootdir", str(tmp_path), *options)


UNASKED = """
    import os, sys
    def test_it():
        assert not {"torch", "dimtyped"} & sys.modules.keys()
        assert "DIMTYPED" not in os.environ
    """


def test_a_run_that_does_not_ask_is_not_changed(either, tmp_path):
    done = pytest_run(functools.partial(either.run, tmp_path), tmp_path, UNASKED, "-v")
    assert done.returncode == 0, done.stdout
    assert "test_it.py::test_it PASSED" in done.stdout
    assert "dimtyped:" not in done.stdout


def test_a_plugin_that_imports_the_package_would_be_noticed(installed, tmp_path):
    source = (ROOT / "dimtyped" / "testing" / "plugins" / "_dimtyped_pytest.py").read_text(encoding="utf-8")
    (tmp_path / "_dimtyped_pytest.py").write_text(
        source.replace("import pytest\n", "import pytest\nimport dimtyped\n", 1)
    )
    done = pytest_run(installed, tmp_path, UNASKED, "-v")
    assert done.returncode == 1
    assert "test_it.py::test_it FAILED" in done.stdout


@pytest.mark.parametrize(
    ("mode", "says"),
    [("off", "nothing is checked"), ("values", "token ids too")],
)
def test_an_engine_is_chosen_before_anything_imports_dimtyped(installed, tmp_path, mode, says):
    (tmp_path / "conftest.py").write_text("import dimtyped.runtime.config\nMODE = dimtyped.runtime.config.mode()\n")
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


def test_a_report_of_what_was_tested_is_shown_on_request(installed, tmp_path):
    done = pytest_run(installed, tmp_path, "", "--dimtyped-fuzz=models:right", "-rA")
    assert "100 right, 33 broken calls" in done.stdout
    assert "independent: batch" in done.stdout


WARNS = """
    import pytest
    import torch
    from dimtyped import nn, typed
    from jaxtyping import Float
    from torch import Tensor
    from models import right
    def test_fixture(dimtyped_fuzz):
        dimtyped_fuzz(right(), max_examples=5)
    def test_rows():
        nn.Embedding.from_pretrained(torch.ones(3, 2), vocabulary=["a", "b"])
    def test_name():
        @typed
        def add(x: Float[Tensor, "batch hidden"], y: Float[Tensor, "batch hiden"]): ...
        add(torch.ones(1, 2), torch.ones(1, 3))
    def test_tie():
        embedding = nn.Embedding(5, 3)
        torch.nn.utils.weight_norm(nn.TiedDecoder(embedding))
    def test_of_another():
        import warnings
        warnings.warn("Embedding")
    """


def test_the_fixture_fuzzes_and_warnings_are_summed_up(installed, tmp_path):
    done = pytest_run(installed, tmp_path, WARNS, "--dimtyped=on")
    summary = done.stdout.partition("= dimtyped warnings =")[2]
    assert [line.partition("::")[2] for line in summary.splitlines() if line.startswith("test_it.py")] == [
        "test_rows: Embedding.from_pretrained: the vocabulary has 2 entries, the matrix 3 rows: "
        "1 row is never looked up and never trains",
        "test_name: add: `hiden` is used once in the annotations, so any size fits. Did you mean `hidden`, which the "
        "annotations use once?",
        "test_tie: TiedDecoder.weight is computed by a hook before each call now, so it is no longer tied to "
        "Embedding.weight, which keeps the parameter",
    ], done.stdout


def test_warnings_are_not_summed_up_in_a_run_that_does_not_ask(installed, tmp_path):
    assert "dimtyped warnings" not in pytest_run(installed, tmp_path, WARNS).stdout


def test_the_options_reach_the_workers_of_xdist(installed, tmp_path):
    (tmp_path / "models.py").write_text(MODEL)
    (tmp_path / "test_it.py").write_text(
        "from dimtyped.runtime import config\ndef test_it():\n    assert config.mode() == 'reference'\n"
    )
    options = ("-pno:cacheprovider", "-pno:torchtyping", "-n1", "--dimtyped=reference", "--dimtyped-fuzz=models:right")
    done = installed("-m", "pytest", *options)
    assert "2 passed" in done.stdout, done.stdout


PACKAGE = """
from __future__ import annotations
from jaxtyping import Float
from torch import Tensor

def add(x: Float[Tensor, "n"], y: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    made: Float[Tensor, "n"] = y
    return x
"""
CHECKED = """
    import pytest, torch
    import checked, other

    def refused(module):
        with pytest.raises(TypeError, match="n is 3, must be 2"):
            module.add(torch.ones(2), torch.ones(3))

    def test_checked():
        refused(checked)

    def test_other():
        refused(other)

    def test_rewritten():
        one = 1
        assert one == 2
    """


def test_packages_are_checked_once_they_are_imported(installed, tmp_path):
    (tmp_path / "checked.py").write_text(PACKAGE)
    (tmp_path / "other.py").write_text(PACKAGE)
    (tmp_path / "conftest.py").write_text('import sys\nassert not {"torch", "dimtyped"} & sys.modules.keys()\n')
    done = pytest_run(
        installed, tmp_path, CHECKED, "--dimtyped-packages=checked,nowhere", "--dimtyped-packages=test_it", "-v"
    )
    outcomes = dict(re.findall(r"test_it.py::(\w+) (\w+)", done.stdout))
    assert outcomes == {"test_checked": "PASSED", "test_other": "FAILED", "test_rewritten": "FAILED"}, done.stdout
    assert "assert 1 == 2" in done.stdout  # pytest shows the values, in a module that is checked too
    assert done.stdout.partition("= dimtyped packages =")[2].splitlines()[1:4] == [
        "checked: 1 module checked",
        "nowhere: nothing is checked: none of its modules was imported after pytest began",
        "test_it: 1 module checked",
    ]


WATCHED = """
    import pytest
    import torch
    from dimtyped import nn
    from jaxtyping import Float
    from torch import Tensor
    class Pool(nn.Module):
        def forward(self, x: Float[Tensor, "batch seq"]) -> Float[Tensor, "batch seq"]:
            return x.softmax(0)
    def test_mixes():
        Pool()(torch.ones(2, 3))
    @pytest.mark.dimtyped_unwatched
    def test_left_out():
        Pool()(torch.ones(2, 3))
    def test_right():
        assert (torch.ones(2, 3) @ torch.ones(3, 4)).shape == (2, 4)
    def test_raises():
        Pool()(torch.ones(2, 3)) @ torch.ones(4)
    """


def test_watched_tests_fail_with_the_text_of_what_is_found(installed, tmp_path):
    done = pytest_run(installed, tmp_path, WATCHED, "--dimtyped-watch", "-v", "--strict-markers")
    outcomes = re.findall(r"test_it\.py::(\w+) (\w+)", done.stdout)
    assert outcomes[:4] == [
        ("test_mixes", "FAILED"),
        ("test_left_out", "PASSED"),
        ("test_right", "PASSED"),
        ("test_raises", "FAILED"),
    ], done.stdout
    assert "mixing: `x.softmax(0)` in Pool.forward: softmax carries values along batch" in done.stdout
    assert "refused: `Pool()(torch.ones(2, 3)) @ torch.ones(4)` in test_raises" in done.stdout


def test_a_model_is_checked_from_the_command_line(installed, tmp_path):
    (tmp_path / "nets.py").write_text(
        textwrap.dedent(WATCHED).partition("def test_mixes")[0] + "def right():\n    return nn.Linear(2, 3)\n"
    )
    names = ("Pool", "Pol", "right")
    done = pytest_run(installed, tmp_path, "", *(f"--dimtyped-check=nets:{name}" for name in names))
    assert "1 class checked; 1 finding; 1 of 1 operators followed" in done.stdout
    assert re.search(r"^nets\.py:9:16: mixing: `x\.softmax\(0\)` in Pool\.forward", done.stdout, re.MULTILINE)
    assert "--dimtyped-check=nets:Pol: nets.py has no `Pol`; did you mean `Pool`?" in done.stdout
    assert (
        "nets.py:right cannot be checked: Linear.forward: no annotation says which tensors it takes, and no inputs were given"
        in done.stdout
    )
