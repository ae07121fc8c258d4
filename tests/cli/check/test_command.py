"""`dimtyped check`: what it looks at, and what it prints."""

import importlib
import io
import json
import re
import subprocess
import sys

import pytest

from dimtyped.cli.check import command as module
from tests.cli.check.models import HEAD, RIGHT, SILENT, VARIED, write

FOUND = """\
model.py:20:25: scramble: `o.reshape(B, T, C)` in Attention.forward: a reshape of (batch=5, embed//12=2, seq=7, embed%12=12) \
to (5, 7, 24) cuts across embed//12 and seq and embed%12
    return self.out(o.reshape(B, T, C))
                    ^^^^^^^^^^^^^^^^^^
    o  float32 (batch=5, embed//12=2, seq=7, embed%12=12)
  embed: declared by `embed` of Attention.__init__
  seq: bound by `x` of Attention.forward
  fix: o.transpose(1, 2).reshape(B, T, C)

1 class checked; 1 finding; 10 of 10 operators followed; """


def test_a_silent_bug_is_shown_with_its_line_and_its_fix(command, tmp_path):
    write(tmp_path, model=SILENT)
    done = command("model.py")
    assert done.status == 1
    assert done.out.startswith(FOUND)
    assert re.fullmatch(r"\d+\.\d s\n", done.out.removeprefix(FOUND))
    assert done.err == "dimtyped check: importing model.py: code at the top level of a file runs\n"


def test_a_block_inside_another_class_has_its_finding_once(command, tmp_path):
    around = """

class Twice(nn.Module):
    def __init__(self, embed: DimSize, heads: DimSize):
        super().__init__()
        self.attention = Attention(embed, heads)

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:
        return self.attention(self.attention(x))
"""
    write(tmp_path, model=SILENT + around)
    done = command("model.py")
    assert done.out.startswith(FOUND.partition("\n\n")[0])
    assert done.lines[-1].startswith("2 classes checked; 1 finding; ")


def test_the_advice_mends_it(command, tmp_path):
    write(tmp_path, model=RIGHT)
    done = command("model.py")
    assert done.status == 0
    assert done.lines[0].startswith("1 class checked; no findings; 11 of 11 operators followed; ")


def test_quiet_prints_the_findings_alone(command, tmp_path):
    write(tmp_path, model=RIGHT, silent=SILENT)
    assert (command("model.py", "-q").out, command("model.py", "-q").err) == ("", "")
    done = command("silent.py", "-q")
    assert done.lines[-1] == "  fix: o.transpose(1, 2).reshape(B, T, C)"
    assert done.err == ""


def test_a_file_has_classes_and_functions_and_says_what_is_skipped(command, tmp_path):
    write(tmp_path, model=VARIED)
    done = command("model.py", "-v")
    assert [line for line in done.lines if line.startswith("model.py")] == [
        "model.py:23:9: refused: `return x + 1` in Torchs.forward: the result does not fit: "
        "seq is 5, must be 7; batch is 7, must be 5",
        "model.py:32:5: refused: `return x + 1` in swap: the result does not fit: "
        "seq is 5, must be 7; batch is 7, must be 5",
        "model.py:Torchs: 1 finding; 1 of 1 operators followed",
        "model.py:pool: no findings; 1 of 1 operators followed",
        "model.py:swap: 1 finding; 1 of 1 operators followed",
    ]
    assert done.lines[-5:-1] == [
        "skipped: it needs `width`, which is not a DimSize: give --arg width=...",
        "  model.py:Mlp",
        'skipped: its forward has no annotated tensor, such as x: Float[Tensor, "batch seq"]',
        "  model.py:Plain",
    ]
    assert done.lines[-1].startswith("1 class and 2 functions checked, 2 skipped; 2 findings; 3 of 3 operators")


def test_annotations_are_enforced_while_it_runs_and_not_afterwards(command, tmp_path, monkeypatch):
    write(tmp_path, kept=VARIED, other=VARIED)
    monkeypatch.syspath_prepend(tmp_path)
    kept = importlib.import_module("kept")
    assert command("kept.py:swap", "other.py:swap").status == 1
    assert not hasattr(kept.swap, "__wrapped__")
    assert sys.modules.pop("kept") is kept
    assert "other" not in sys.modules


@pytest.mark.parametrize("name", ["make", "model", "Mlp", "pool"])
def test_what_is_asked_for_by_name_alone_is_checked(command, tmp_path, name):
    write(tmp_path, model=VARIED)
    done = command(f"model.py:{name}", *(["--arg", "width=6"] if name == "Mlp" else []))
    assert done.status == 0
    kind = "function" if name == "pool" else "class"
    assert done.lines[0].startswith(f"1 {kind} checked; no findings; ")


def test_several_targets_of_one_file_are_one_import(command, tmp_path):
    write(tmp_path, model=f"print('once')\n{VARIED}")
    done = command("model.py:make", "model.py:pool", "model")
    assert done.err.count("once") == 1
    assert "1 class and 2 functions checked, 2 skipped" in done.out


# Sizes and arguments --------------------------------------------------------------------------------------------------


def test_sizes_and_arguments_are_what_a_class_is_made_with(command, tmp_path):
    write(tmp_path, model=VARIED)
    done = command("model.py:Mlp", "--size", "embed=12", "--arg", "width=2 + 3", "-v")
    assert "  made with embed=12" in done.lines
    assert done.status == 0


def test_an_argument_may_use_the_names_of_the_file(command, tmp_path):
    write(tmp_path, model=VARIED)
    assert command("model.py:Mlp", "--arg", "width=NUMBER").status == 0


def test_sizes_of_one_class_come_before_those_of_all(command, tmp_path):
    write(tmp_path, model=RIGHT + RIGHT.partition("\n\n\n")[2].replace("Attention", "Other"))
    done = command("model.py", "--size", "embed=36", "--size", "Other.embed=48", "--size", "heads=4", "-v")
    assert [line for line in done.lines if "made with" in line] == [
        "  made with embed=36, heads=4",
        "  made with embed=48, heads=4",
    ]


def test_a_configuration_that_can_be_made_is_made(command, tmp_path):
    write(
        tmp_path,
        model=HEAD
        + """
from dataclasses import dataclass

@dataclass
class Config:
    width: int = 6

class Net(nn.Module):
    def __init__(self, config: "Config"):
        super().__init__()
        self.out = nn.Linear(config.width, 2)
    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch 2"]:
        return self.out(x)
""",
    )
    assert command("model.py").status == 0
    assert command("model.py", "--arg", "config=Config(width=9)").status == 0


def test_a_project_has_settings(command, tmp_path):
    write(tmp_path, model=VARIED, src__silent=SILENT)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.dimtyped]\ntargets = ["model.py:Mlp", "src"]\nexclude = ["src/sil*"]\n'
        '[tool.dimtyped.sizes]\nembed = 24\n[tool.dimtyped.arguments.Mlp]\nwidth = "NUMBER"\n'
    )
    write(tmp_path, src__right=RIGHT)
    done = command("-v")
    assert "  made with embed=24" in done.lines
    assert done.lines[-1].startswith("2 classes checked; no findings")


# Folders, packages, modules -------------------------------------------------------------------------------------------


PACKAGE = {
    "pkg__layers": VARIED,
    "pkg____init__": "",
    "pkg__inner/__init__": "",
    "pkg__inner/net": HEAD
    + """
from ..layers import Mlp

class Net(nn.Module):
    def __init__(self, embed: DimSize):
        super().__init__()
        self.mlp = Mlp(embed, 4)
    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch embed"]:
        return self.mlp(x)[:, -1]
""",
}


@pytest.mark.parametrize("target", ["pkg/inner/net.py", "pkg.inner.net", "pkg/inner", "pkg.inner", "pkg.inner.net:Net"])
def test_a_module_of_a_package_has_its_relative_imports(command, tmp_path, target):
    write(tmp_path, **PACKAGE)
    done = command(target)
    assert done.err == "dimtyped check: importing pkg/inner/net.py: code at the top level of a file runs\n"
    assert done.lines[0].startswith("1 class checked; no findings")


def test_a_folder_is_searched_and_what_has_nothing_to_check_is_not_imported(command, tmp_path):
    write(tmp_path, one__model=SILENT, two__model=RIGHT, two__train="raise SystemExit('trains')\n")
    write(tmp_path, **{".hidden__model": SILENT, "two__old/model": SILENT})
    done = command(".", "--exclude", "two/old")
    assert "2 classes checked; 1 finding; " in done.out
    assert done.status == 1


def test_files_of_one_name_in_two_folders_have_their_own_neighbors(command, tmp_path):
    for folder, fix in (("one", SILENT), ("two", RIGHT)):
        write(
            tmp_path,
            **{f"{folder}__layers": fix, f"{folder}__model": "from layers import Attention\nimport dimtyped\n"},
        )
    done = command(*(f"{folder}/model.py:Attention" for folder in ("one", "two")), "-v")
    assert [line for line in done.lines if "finding" in line][:2] == [
        "one/model.py:Attention: 1 finding; 10 of 10 operators followed",
        "two/model.py:Attention: no findings; 11 of 11 operators followed",
    ]


def test_a_file_may_be_called_as_a_module_of_pythons(command, tmp_path):
    write(tmp_path, types=RIGHT)
    assert command("types.py").lines[0].startswith("1 class checked")


def test_what_a_file_prints_is_not_among_the_results(command, tmp_path):
    write(tmp_path, model=f"import sys\nprint('printed', sys.path[0], sys.argv)\n{RIGHT}")
    done = command("model.py", "--format", "json")
    assert json.loads(done.out)["ok"] is True
    assert f"printed {tmp_path} ['{tmp_path}/model.py']" in done.err


# Options --------------------------------------------------------------------------------------------------------------


MIXES = HEAD + (
    """\
@typed
def running(x: Float[Tensor, "time state"]) -> Float[Tensor, "time state"]:
    return x.cumsum(0)
"""
)


def test_an_independent_name_that_nothing_has_is_said(command, tmp_path):
    write(tmp_path, model=SILENT)
    done = command("model.py", "--independent", "batch,sqe")
    assert done.err.endswith("dimtyped check: --independent: no annotation that was met has an axis `sqe`\n")
    assert "no annotation that was met" not in command("model.py", "--independent", "batch,seq").err


def test_independent_names_more_axes(command, tmp_path):
    write(tmp_path, model=MIXES)
    assert command("model.py").status == 0
    done = command("model.py", "--independent", "batch,time")
    assert "mixing: `x.cumsum(0)` in running: cumsum carries values along time" in done.out


def test_fuzz_finds_what_only_values_show(command, tmp_path):
    write(
        tmp_path,
        model=HEAD
        + """
@typed
def centred(x: Float[Tensor, "batch seq"]) -> Float[Tensor, "batch seq"]:
    return x - torch.from_numpy(x.numpy().mean(0))
""",
    )
    assert command("model.py").status == 0
    assert "axis `batch` mixes" in command("model.py", "--fuzz").out


def test_watch_checks_again_at_each_save(command, tmp_path, monkeypatch):
    write(tmp_path, model=SILENT)

    def sleep(_):
        if (tmp_path / "model.py").read_text() == SILENT:
            write(tmp_path, model=RIGHT + "# saved\n")
        else:
            raise KeyboardInterrupt

    monkeypatch.setattr("dimtyped.cli.check.watching.time.sleep", sleep)
    done = command("model.py", "--watch")
    assert [word in done.out for word in ("; 1 finding;", "; no findings;")] == [True, True]
    assert done.err.count("watching 1 file; Ctrl-C ends it") == 2
    assert done.status == 130


def test_watch_waits_for_a_file_that_an_editor_has_moved_away(command, tmp_path, monkeypatch):
    write(tmp_path, model=RIGHT)
    naps = iter(["gone", "back", "end"])

    def sleep(_):
        nap = next(naps)
        if nap == "end":
            raise KeyboardInterrupt
        if nap == "gone":
            (tmp_path / "model.py").unlink()
        else:
            write(tmp_path, model=SILENT)

    monkeypatch.setattr("dimtyped.cli.check.watching.time.sleep", sleep)
    done = command("model.py", "--watch")
    assert "there is no file `model.py`" in done.err
    assert "; 1 finding;" in done.out
    assert done.status == 130


def test_colors_are_for_terminals(command, tmp_path, monkeypatch):
    write(tmp_path, model=SILENT)
    monkeypatch.setattr(module, "has_colors", lambda: True)
    assert "\x1b[1;31mscramble\x1b[0m" in command("model.py", "-q").out


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("output", "environment", "has_colors"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_no_colors_where_they_are_unwanted(monkeypatch, output, environment, has_colors):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", output)
    assert module.has_colors() is has_colors


def test_output_to_a_pipe_that_closes_is_no_traceback(tmp_path):
    code = "import sys; from dimtyped.cli.main import main; sys.exit(main())"
    write(tmp_path, model=VARIED)
    words, pipe = [sys.executable, "-c", code, "check", "model.py"], subprocess.PIPE
    with subprocess.Popen(words, cwd=tmp_path, stdout=pipe, stderr=pipe) as running:
        running.stdout.close()
        assert b"Traceback" not in running.stderr.read()
    assert running.returncode == 141
