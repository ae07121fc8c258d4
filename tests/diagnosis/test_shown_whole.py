"""A text arrives whole and plain wherever it is shown: terminal, pytest, IPython, logging, another process."""

import concurrent.futures
import logging
import multiprocessing
import os
import pickle
import pty
import re
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import DeclarationError, DimensionError, TyingError, VocabularyError, dims, nn, typed


def wrong_width():
    nn.GRU(*dims(embed=3, hidden=4))(torch.ones(5, 2, 7))


def wrong_id():
    nn.Embedding(10, 4)(torch.tensor([3, 10]))


def wrong_tie():
    nn.TiedDecoder(nn.Embedding(10, 4), 5)


def wrong_chain():
    nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 6))


def wrong_argument():
    @typed
    def double(x: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3"]:
        return 2 * x

    double(torch.ones(2, 4))


RAISING = {
    wrong_width: DimensionError,
    wrong_argument: DimensionError,
    wrong_id: VocabularyError,
    wrong_tie: TyingError,
    wrong_chain: DeclarationError,
}
each_kind = pytest.mark.parametrize(("raising", "kind"), RAISING.items(), ids=lambda value: value.__name__)


def text_of(raising):
    try:
        raising()
    except (DimensionError, DeclarationError) as error:
        return str(error)
    raise AssertionError("nothing was raised")


@each_kind
def test_a_traceback_ends_in_the_text_and_shows_no_frame_of_ours(raising, kind):
    with pytest.raises(kind) as caught:
        raising()
    shown = "".join(traceback.format_exception(caught.value))
    assert shown.endswith(f"\ndimtyped.{kind.__name__}: {caught.value}\n")
    assert "During handling" not in shown
    assert "direct cause" not in shown
    files = [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]
    mine = max(index for index, file in enumerate(files) if file == __file__)
    ours = [file for file in files[mine + 1 :] if f"{os.sep}dimtyped{os.sep}" in file or file.startswith("<dimtyped")]
    assert not ours


@each_kind
def test_logging(raising, kind, caplog):
    with caplog.at_level(logging.ERROR):
        try:
            raising()
        except kind:
            logging.getLogger("training").exception("failed")
    assert caplog.text.endswith(f"\ndimtyped.{kind.__name__}: {text_of(raising)}\n")


@pytest.mark.any_engine
@each_kind
def test_another_process(raising, kind):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool, pytest.raises(kind) as caught:
        pool.submit(raising).result()
    assert str(caught.value) == text_of(raising)
    assert caught.value.where
    assert vars(pickle.loads(pickle.dumps(caught.value))) == vars(caught.value)


@pytest.mark.any_engine
def test_pytest_shows_every_line(tmp_path):
    (tmp_path / "test_model.py").write_text(
        "import torch\nfrom dimtyped import dims, nn\n\n\n"
        "def test_it():\n    nn.GRU(*dims(embed=3, hidden=4))(torch.ones(5, 2, 7))\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-q", "--color=no", tmp_path]
    shown = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path).stdout
    lines = [line.removeprefix("E").strip() for line in shown.splitlines() if line.startswith("E")]
    first, *rest = text_of(wrong_width).splitlines()
    rest = [line.strip().replace(Path(__file__).name, "test_model.py") for line in rest]
    assert [re.sub(r"py:\d+", "py:6", line) for line in lines] == [
        f"dimtyped.DimensionError: {first}",
        *(re.sub(r"py:\d+", "py:6", line) for line in rest),
    ]


@each_kind
def test_ipython_shows_every_line(raising, kind, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shell = pytest.importorskip("IPython.core.interactiveshell", reason="no extra of ours installs IPython")
    shell.InteractiveShell(colors="nocolor", user_ns={"raising": raising}).run_cell("raising()")
    shown = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    first, *rest = text_of(raising).splitlines()
    assert shown[-1 - len(rest) :] == [f"{kind.__name__}: {first}", *rest]


def test_no_class_renders_itself():
    """IPython asks an exception for `_render_traceback_`: none has one, so that it shows what it shows of any other."""
    for kind in RAISING.values():
        assert not hasattr(kind, "_render_traceback_")


def on_a_terminal(command, environment):
    """What a command writes to a terminal."""
    leader, follower = pty.openpty()
    with subprocess.Popen(command, stdout=follower, stderr=follower, env={**os.environ, **environment}) as process:
        os.close(follower)
        written = b""
        while True:
            try:
                part = os.read(leader, 4096)
            except OSError:  # Linux says so that the other side is closed
                break
            if not part:
                break
            written += part
    os.close(leader)
    assert process.returncode is not None
    return written.decode().replace("\r\n", "\n")


@pytest.mark.any_engine
@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"PYTHON_COLORS": "0"}], ids=str)
@pytest.mark.parametrize(
    "arguments", [["-m", "dimtyped", "errors", "width"], ["-c", "import form; form.wrong_width()"]]
)
def test_no_color_on_a_terminal_that_asks_for_none(arguments, environment, tmp_path):
    (tmp_path / "form.py").write_text(
        "import torch\nfrom dimtyped import dims, nn\n\n\n"
        "def wrong_width():\n    nn.GRU(*dims(embed=3, hidden=4))(torch.ones(5, 2, 7))\n"
    )
    shown = on_a_terminal([sys.executable, *arguments], {"PYTHONPATH": str(tmp_path), "TERM": "xterm", **environment})
    assert "\x1b" not in shown
    assert "declared by GRU(embed=" in shown
