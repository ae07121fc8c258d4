"""What `dimtyped check` cannot look at: one line, exit status 2, and what to write instead."""

import re

import pytest

from tests.cli.check.models import RIGHT, VARIED, write

FORMS = "write model.py, model.py:Decoder, package.module, package.module:factory or a folder"

WRONG = {
    "modle.py": "there is no file `modle.py`; did you mean `model.py`?",
    "other/net.py": f"there is no file `other/net.py`; {FORMS}",
    "nothing": "there is no module `nothing`; run it in the folder that the package is in, or name the file",
    "mode": "there is no module `mode`; did you mean `model.py`?",
    "a b": f"`a b` is neither a file nor a module; {FORMS}",
    "model.py:": f"`model.py:` is not a target; {FORMS}",
    "model.py:Mpl": "model.py has no `Mpl`; did you mean `Mlp`?",
    "model.py:zzz": "model.py has no `zzz`; it has Mlp, Plain, Torchs, pool, swap, count, make, wrong_number",
    "model.py:NUMBER": "model.py:NUMBER is 3 of type int; "
    "name a module class, a typed function, a model, or a function that makes one",
    "model.py:Tensor": "model.py:Tensor is a class that is not a torch.nn.Module; name a module class, a typed function, "
    "a model, or a function that makes one",
    "model.py:Mlp": "model.py:Mlp cannot be checked: it needs `width`, which is not a DimSize: give --arg width=...",
    "model.py:Plain": "model.py:Plain cannot be checked: its forward has no annotated tensor, "
    'such as x: Float[Tensor, "batch seq"]',
    "model.py:wrong_number": "model.py:wrong_number cannot be checked: wrong_number makes 3 of type int, not a module",
    "model.py --size embed=abc": "--size embed=abc: `abc` is not a size; write a whole number of at least 1: --size embed=64",
    "model.py --size embed=0": "--size embed=0: `0` is not a size; write a whole number of at least 1: --size embed=64",
    "model.py --size embed": "--size embed: not a name and a value; write --size hidden=64",
    "model.py --arg 3=4": "--arg 3=4: not a name and a value; write --arg heads=4",
    "model.py --size embd=3": "--size embd: nothing that was found has `embd`; did you mean `embed`?",
    "model.py --arg Mpl.width=3": "--arg Mpl.width: nothing that was found has `Mpl.width`; did you mean `width`?",
    "model.py --arg width=4x": "--arg width=4x: SyntaxError: invalid decimal literal; write Python that the file could contain, or a "
    "text: --arg 'width=\"...\"'",
    "model.py --format xml": "argument --format: invalid choice: 'xml' (choose from 'text', 'json', 'github', 'sarif'); "
    "see dimtyped check --help",
    "": "nothing to look at; name a file, a module or a folder: dimtyped check model.py",
    "empty": f"`empty` has no Python file; {FORMS}",
}


@pytest.mark.parametrize("words", WRONG)
def test_one_line_says_what_is_wrong_and_what_to_write(command, tmp_path, words):
    write(tmp_path, model=VARIED)
    (tmp_path / "empty").mkdir()
    done = command(*(["a b"] if words == "a b" else words.split()))
    assert done.err.splitlines()[-1] == f"dimtyped check: error: {WRONG[words]}"
    assert "error" not in "".join(done.err.splitlines()[:-1])
    assert (done.status, done.out) == (2, "")


IMPORTS = {
    "import einopss\nimport dimtyped\n": (
        "model.py does not import: ModuleNotFoundError: No module named 'einopss'; "
        "install `einopss`, or run where it can be imported",
        "model.py:1: import einopss",
    ),
    "def f(:\n": ("model.py does not import: SyntaxError: invalid syntax", "model.py:1: def f(:"),
    "import dimtyped, sys\ndef main():\n    sys.exit(3)\nmain()\n": (
        'model.py does not import: it calls sys.exit(3); put what runs a program below `if __name__ == "__main__":`',
        "model.py:4: main()",
        "model.py:3: sys.exit(3)",
    ),
    "import dimtyped\nraise KeyError('x')\n": (
        "model.py does not import: KeyError: 'x'",
        "model.py:2: raise KeyError('x')",
    ),
}


@pytest.mark.parametrize("text", IMPORTS)
def test_a_file_that_does_not_import_shows_its_own_lines_alone(command, tmp_path, text):
    write(tmp_path, model=text)
    done = command("model.py", "-q")
    first, *rest = IMPORTS[text]
    assert done.err.splitlines() == [f"dimtyped check: error: {first}", *(f"    {line}" for line in rest)]
    assert (done.status, done.out) == (2, "\n" if done.out else "")


def test_what_can_be_checked_is_checked_beside_it(command, tmp_path):
    write(tmp_path, a__broken="import dimtyped, nothing_there\n", a__right=RIGHT)
    done = command("a")
    assert done.lines[0].startswith("1 class checked; no findings")
    assert "a/broken.py does not import: ModuleNotFoundError" in done.err
    assert done.status == 2


def test_files_that_fail_for_one_reason_are_one_error(command, tmp_path):
    write(tmp_path, pkg____init__="import nothing_there\n", pkg__one=RIGHT, pkg__two=RIGHT)
    done = command("pkg", "-q")
    assert done.err.splitlines() == [
        "dimtyped check: error: pkg/one.py and 1 more do not import: ModuleNotFoundError: No module named 'nothing_there'; "
        "install `nothing_there`, or run where it can be imported",
        "    pkg/__init__.py:1: import nothing_there",
    ]


def test_a_class_that_raises_is_skipped_and_says_where(command, tmp_path):
    text = RIGHT.replace("        B, T, C = x.shape\n", "        B, T, C = x.shape\n        {}['key']\n")
    write(tmp_path, model=text)
    done = command("model.py")
    assert done.lines[:2] == [
        "skipped: it raised KeyError: 'key' at model.py:18: {}['key']",
        "  model.py:Attention",
    ]
    assert done.lines[2] == "nothing was checked: 1 skipped"


def test_a_class_that_no_size_makes_says_why(command, tmp_path):
    write(tmp_path, model=RIGHT.replace("        self.heads = heads\n", "        assert heads == embed, 'square'\n"))
    done = command("model.py")
    assert re.match(
        r"skipped: Attention cannot be made to check it; with embed=13, heads=17: AssertionError: square; "
        r"give --size or --arg$",
        done.lines[0],
    ), done.out


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("[tool.dimtyped]\nsize = 3", "[tool.dimtyped] has no `size`; did you mean `sizes`?"),
        (
            "[tool.dimtyped]\nsizes = 3",
            "[tool.dimtyped] sizes is 3; write [tool.dimtyped.sizes] and below it name = value",
        ),
        (
            "[tool.dimtyped.sizes]\nembed = '3'",
            "[tool.dimtyped] sizes: `embed` is '3'; write a whole number of at least 1",
        ),
        ("[tool.dimtyped]\ntargets = 'a'", "[tool.dimtyped] targets is 'a'; write targets = [\"...\"]"),
    ],
)
def test_settings_of_a_project_are_read_with_care(command, tmp_path, table, says):
    write(tmp_path, model=RIGHT)
    (tmp_path / "pyproject.toml").write_text(table)
    done = command("model.py")
    assert (done.status, done.err) == (2, f"dimtyped check: error: pyproject.toml: {says}\n")
