"""The checks of a language server, with an editor that only listens: what is found, and what a user's file may do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from dimtyped.cli.lsp import processes
from dimtyped.cli.lsp.data import lines_of
from dimtyped.cli.lsp.options import Options, options_of
from dimtyped.cli.lsp.session import Session
from tests.cli.check.models import HEAD, RIGHT, SILENT, VARIED, write

LONG = 120.0


class Listener:
    """An editor that keeps what it is told."""

    def __init__(self):
        self.shown, self.logged, self.progress, self.refreshed = [], [], [], 0
        self.cancel = None

    def show_problems(self, file):
        self.shown.append(file)

    def refresh(self):
        self.refreshed += 1

    def log(self, text):
        self.logged.append(text)

    async def begin(self, title, cancel):
        self.progress.append(title)
        self.cancel = cancel
        return self.progress.append


@contextlib.asynccontextmanager
async def session_of(folder, options=None):
    listener = Listener()
    session = Session(listener)
    session.configure([folder], options or Options(timeout=LONG))
    try:
        yield session, listener
    finally:
        session.end()
        await asyncio.sleep(0)


async def until(condition):
    """Waits for a condition."""
    ends = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < ends, "it did not come to pass"
        await asyncio.sleep(0.02)


async def checked(session, file, text=None):
    """What a check of a file finds, after it was written anew."""
    if text is not None:
        file.write_text(text, encoding="utf-8")
    session.state.put(file, file.read_text(encoding="utf-8"))
    session.state.checked.pop(file, None)
    session.check(file)
    await until(lambda: file in session.state.checked and file not in session._tasks)
    return session.state.checked[file]


def found_in(folder, text, options=None, name="model.py"):
    async def run():
        async with session_of(folder, options) as (session, listener):
            return await checked(session, folder / name, text), listener

    return asyncio.run(run())


def shapes(found):
    return {(function.name, each.name): each.shape for function in found.functions for each in function.variables}


def lines_with_problems(found):
    return [(each.kind, each.span.line + 1) for each in found.problems]


def test_the_findings_of_a_file_and_the_shapes_of_its_variables(tmp_path):
    found, listener = found_in(tmp_path, SILENT)
    [problem] = found.problems
    line = lines_of(SILENT)[problem.span.line]
    assert line[problem.span.column : problem.span.end_column] == "o.reshape(B, T, C)" == problem.edit.before
    assert problem.edit.text == "o.transpose(1, 2).reshape(B, T, C)"
    assert problem.message.endswith("fix: o.transpose(1, 2).reshape(B, T, C)")
    heads = "(batch, heads, seq, embed//heads)"
    assert shapes(found) == {
        ("Attention.forward", "x"): "(batch, seq, embed)",
        **{("Attention.forward", name): heads for name in "qkvo"},
        ("Attention.forward", ""): "(batch, _, embed)",
    }
    for function in found.functions:
        for each in function.variables:
            assert lines_of(SILENT)[each.line][: each.column].endswith(each.name)
    assert listener.progress == [
        "dimtyped: model.py",
        "importing model.py",
        "checking model.py:Attention",
        "shapes of model.py",
        "",
    ]


def test_settings_of_the_project_and_of_the_editor(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.dimtyped.arguments]\nwidth = 3\n[tool.dimtyped.sizes]\nembed = 5\n")
    (tmp_path / "src").mkdir()
    text = HEAD + VARIED[VARIED.index("class Mlp") : VARIED.index("class Plain")]
    found, _ = found_in(tmp_path, text, name="src/model.py")
    assert found.problems == []
    options = options_of({"arguments": {"width": "'a'"}, "timeout": LONG})
    found, _ = found_in(tmp_path, text, options, name="src/model.py")
    assert lines_with_problems(found) == [("skipped", 7)]
    (tmp_path / "pyproject.toml").write_text("[tool.dimtyped]\nsize = 3\n")
    found, _ = found_in(tmp_path, text, name="src/model.py")
    [problem] = found.problems
    assert problem.message == "pyproject.toml: [tool.dimtyped] has no `size`; did you mean `sizes`?"
    (tmp_path / "pyproject.toml").write_text("[tool.dimtyped]\nexclude = ['src/*']\n")
    found, _ = found_in(tmp_path, SILENT, name="src/model.py")
    assert (found.problems, found.functions) == ([], [])


MARKED = "        B, T, C = x.shape\n"
HOSTILE = {
    "import os\nos._exit(7)\n": (1, "ended with status 7 while importing model.py"),
    "class Own(BaseException): ...\n\nraise Own('mine')\n": ("raise Own('mine')", "it raised Own: mine"),
    "raise KeyboardInterrupt\n": ("raise KeyboardInterrupt", "it raised KeyboardInterrupt"),
    "input()\n": ("input()", "EOFError"),
    "        import os; os._exit(0)\n": (
        "class Attention(nn.Module):",
        "with status 0 while checking model.py:Attention",
    ),
    "        import ctypes; ctypes.string_at(0)\n": (None, "Python crashed (SIGSEGV): this code"),
    "        import os; os.abort()\n": (None, "Python crashed (SIGABRT): this code"),
    "        import os; os.kill(os.getpid(), 9)\n": (
        "class Attention(nn.Module):",
        "Python crashed (SIGKILL) while checking",
    ),
}


def hostile(code):
    """The model with a line in its forward, or at its end."""
    return RIGHT.replace(MARKED, MARKED + code) if code.startswith(" ") else RIGHT + code


def test_files_that_end_python_are_problems_and_the_next_check_works(tmp_path):
    async def run():
        async with session_of(tmp_path) as (session, _):
            crashed = {code: await checked(session, tmp_path / "model.py", hostile(code)) for code in HOSTILE}
            return crashed, await checked(session, tmp_path / "model.py", RIGHT)

    crashed, right = asyncio.run(run())
    for code, (line, says) in HOSTILE.items():
        [problem] = crashed[code].problems
        assert says in problem.message, code
        text = lines_of(hostile(code))[problem.span.line]
        assert text.strip() == (lines_of(RIGHT)[0] if line == 1 else line or code.strip()), problem
    assert right.problems == []
    assert shapes(right)


def test_what_a_file_prints_is_in_the_log_and_nowhere_else(tmp_path):
    prints = """
import ctypes, os, subprocess, sys
print('{"done": true, "problems": []}')
sys.__stdout__.write('by its own name\\n')
os.write(1, b'{"done": true}\\n')
ctypes.CDLL(None).puts(b'from C')
subprocess.run([sys.executable, '-c', 'print("from a child")'])
sys.stderr.write('to stderr\\n')
"""
    found, listener = found_in(tmp_path, SILENT + prints)
    assert [each.kind for each in found.problems] == ["scramble"]
    [logged] = listener.logged
    for text in (
        '{"done": true, "problems": []}',
        "by its own name",
        '{"done": true}',
        "from C",
        "from a child",
        "to stderr",
    ):
        assert text in logged


@pytest.mark.slow
def test_a_check_that_outlives_its_own_clock_is_stopped_too(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_GRACE", 2.0)
    text = RIGHT + "import faulthandler\nfaulthandler.cancel_dump_traceback_later()\nwhile True: ...\n"
    found, _ = found_in(tmp_path, text, Options(timeout=10.0))
    [problem] = found.problems
    assert problem.message.startswith("the check was stopped after 10 s while importing model.py. ")


@pytest.mark.slow
def test_a_check_that_does_not_end_is_stopped_where_it_is(tmp_path):
    text = RIGHT.replace("        B, T, C = x.shape\n", "        while True:\n            print('x' * 1000)\n")
    found, _ = found_in(tmp_path, text, Options(timeout=15.0))
    [problem] = found.problems
    assert problem.message.startswith("the check was stopped after 15 s; it was here. ")
    assert lines_of(text)[problem.span.line].strip() in ("while True:", "print('x' * 1000)")


SLOW = """
import os, pathlib, time
pathlib.Path("pid").write_text(str(os.getpid()))
time.sleep(1000)
"""


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def slow_check(session, folder):
    """Begins a check that does not end, and waits until it runs; the id of its process."""
    file, pid = folder / "model.py", folder / "pid"
    file.write_text(SILENT + SLOW, encoding="utf-8")
    session.state.put(file, file.read_text(encoding="utf-8"))
    session.check(file)
    await until(lambda: pid.exists() and pid.read_text())
    return int(pid.read_text())


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks a process up in /proc")
@pytest.mark.parametrize("how", ["a newer save", "the user cancels it", "the file is closed", "the server ends"])
def test_a_check_is_ended_with_its_process(tmp_path, how):
    async def run():
        async with session_of(tmp_path) as (session, listener):
            pid = await slow_check(session, tmp_path)
            assert is_running(pid)
            if how == "a newer save":
                found = await checked(session, tmp_path / "model.py", SILENT)
                assert [each.kind for each in found.problems] == ["scramble"]
                assert listener.progress.count("") == 2
            elif how == "the user cancels it":
                listener.cancel()
            elif how == "the file is closed":
                session.close(tmp_path / "model.py")
            else:
                session.end()
            await until(lambda: not is_running(pid))
            await until(lambda: not session._tasks)

    asyncio.run(run())


def test_a_file_is_checked_again_when_one_that_it_uses_is_saved(tmp_path):
    write(tmp_path, layers=RIGHT, model=HEAD + "from layers import Attention\n\n\n" + textwrap.dedent("""\
        class Twice(nn.Module):
            def __init__(self, embed: DimSize, heads: DimSize):
                super().__init__()
                self.first = Attention(embed, heads)

            def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
                return self.first(x)
        """))  # fmt: skip

    async def run():
        layers, model = tmp_path / "layers.py", tmp_path / "model.py"
        async with session_of(tmp_path) as (session, _):
            found = await checked(session, model)
            assert (found.problems, found.files) == ([], {layers, model})
            await checked(session, layers, SILENT)
            session.check_saved(layers)
            await until(lambda: not session._tasks)
            [problem] = session.state.checked[model].problems
            assert (problem.file, problem.kind) == (str(layers), "scramble")
            assert len(session.state.problems(layers)) == 1  # both checks found it
            session.close(layers)
            assert len(session.state.problems(layers)) == 1
            session.close(model)
            assert session.state.problems(layers) == []

    asyncio.run(run())


@pytest.mark.parametrize("text", ["import os\nos._exit(1)\n", "x = (\n", "class A:\n    def forward(self, x): ...\n"])
def test_a_file_without_annotations_is_never_imported(tmp_path, text):
    found, listener = found_in(tmp_path, text)
    assert (found.problems, listener.progress) == ([], [])


@pytest.mark.parametrize(
    ("python", "says"),
    [
        ("/no/such/python", "/no/such/python cannot be started: No such file or directory"),
        ("bare", "bare has no dimtyped: install it there, or name another interpreter"),
    ],
)
def test_an_interpreter_that_cannot_check_says_so(tmp_path, python, says):
    if python == "bare":
        path = tmp_path / "python"
        path.write_text(f'#!/bin/sh\nshift\nexec {os.path.realpath("/proc/self/exe")} -I -S "$@"\n')
        path.chmod(0o755)
        python, says = str(path), says.replace("bare", str(path))
    found, _ = found_in(tmp_path, SILENT, Options(python=python, timeout=LONG))
    [problem] = found.problems
    assert problem.message.startswith(says)


def test_the_process_of_a_check_needs_nothing_of_the_extra():
    code = "import sys; sys.modules['pygls'] = sys.modules['lsprotocol'] = None; import dimtyped.cli.lsp.worker"
    subprocess.run([sys.executable, "-c", code], check=True)
