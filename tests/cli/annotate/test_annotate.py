"""`dimtyped annotate`: the annotations it proposes, how it writes them, and what it cannot run."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from dimtyped.cli.main import main
from tests.cli.annotate.programs import COMMENTS, GPT, GPT_ANNOTATIONS, GPT_COMMAND, IMAGES, LAYERS, PROGRAM

pytest.importorskip("libcst", reason="the extra `annotate` has it")
pytestmark = pytest.mark.any_engine


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def heads(source: str) -> list[str]:
    """The heads of the functions of a source that are annotated, each in one line."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return [ast.unparse(node.args) + " -> " + ast.unparse(node.returns) for node in nodes if node.returns]


def written(folder, source, command, *, name="model.py"):
    """The file after `annotate --write`, and after a second time."""
    (folder / name).write_text(source, encoding="utf-8")
    assert main(["annotate", *command, "--write"]) == 0
    once = (folder / name).read_text(encoding="utf-8")
    assert main(["annotate", *command, "--write"]) == 0
    assert (folder / name).read_text(encoding="utf-8") == once
    return once


# Names ----------------------------------------------------------------------------------------------------------------


def test_names_from_variables_constructors_and_other_functions(folder):
    text = written(folder, GPT, GPT_COMMAND)
    for annotation in GPT_ANNOTATIONS:
        assert annotation in text
    assert main(["check", "model.py:GPT", "--arg", "config=Config()"]) == 0


def test_comments_and_layout_stay(folder):
    text = written(folder, GPT, GPT_COMMAND)
    for comment in ("# losses", "  # batch, time, width", "    # what a block does\n    def", "  # a residual"):
        assert comment in text
    bare = [line for line in text.splitlines() if "Tensor" not in line]
    assert [line for line in bare if line in GPT.splitlines()] == [
        line for line in GPT.splitlines() if not line.startswith("    def forward")
    ]


def test_a_long_result_has_a_line_for_each_item(folder):
    source = (
        "def described(memory_of_the_encoder, queries_of_the_decoder):\n"
        "    return memory_of_the_encoder + 1, queries_of_the_decoder + 1, memory_of_the_encoder.mean(0)\n"
    )
    text = written(
        folder,
        source,
        ["model.py:described"]
        + [
            f"--input={name}=float32[sequences,positions,channels]"
            for name in ("memory_of_the_encoder", "queries_of_the_decoder")
        ],
    )
    assert text.endswith(
        ') -> tuple[\n    Float[Tensor, "sequences positions channels"],\n    Float[Tensor, "sequences positions channels"],\n'
        '    Float[Tensor, "positions channels"],\n]:\n' + source.partition("\n")[2]
    )


def test_imports_are_added_beside_torchs(folder):
    text = written(folder, GPT, GPT_COMMAND)
    assert (
        "import torch\nimport torch.nn as nn\nfrom jaxtyping import Float, Int\nfrom torch import Tensor\n"
        "from torch.nn import functional as F  # losses\n" in text
    )


def test_names_that_a_module_declares(folder):
    text = written(folder, LAYERS, ["model.py:Mlp", "--input", "x=float32[batch,seq,embed]"])
    assert 'def widen(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq hidden"]:' in text
    assert 'def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq embed"]:' in text
    assert main(["check", "model.py"]) == 0


def test_names_from_comments_and_docstrings(folder):
    inputs = ["q=float32[2,5,8]", "k=float32[2,6,8]", "mask=bool[5,6]"]
    text = written(folder, COMMENTS, ["model.py:attend", *(f"--input={each}" for each in inputs)])
    assert heads(text) == [
        "q: Float[Tensor, 'B T D'], k: Float[Tensor, 'B S D'], mask: Bool[Tensor, 'T S'] -> Float[Tensor, 'B T S']"
    ]
    text = written(folder, COMMENTS, ["model.py:pool", "--input=x=float32[2,5,8]", "--input=lengths=int64[2]"])
    assert heads(text) == [
        "x: Float[Tensor, 'batch_size sequence_length width'], lengths: Int[Tensor, 'batch_size']"
        " -> Float[Tensor, 'batch_size width']"
    ]


def test_products_and_multiples_of_names(folder):
    text = written(folder, COMMENTS, ["model.py:flat", "--input=images=uint8[2,3,8,9]"])
    assert heads(text) == [
        "images: UInt[Tensor, 'n c a b'], scale=2 -> tuple[UInt[Tensor, 'n*c a b'], UInt[Tensor, 'n c a 2*b']]"
    ]


def test_sizes_that_agree_by_chance_have_two_names(folder):
    source = "def outer(x, y):\n    return x[:, None] + y\n"
    text = written(folder, source, ["model.py:outer", "--input=x=float32[4]", "--input=y=float32[4]"])
    assert heads(text) == ["x: Float[Tensor, 'a'], y: Float[Tensor, 'b'] -> Float[Tensor, 'a b']"]


def test_sizes_that_belong_together_have_one_name(folder):
    source = "def dot(x, y):\n    return x @ y\n"
    text = written(folder, source, ["model.py:dot", "--input=x=float32[4,4]", "--input=y=float32[4,4]"])
    assert heads(text) == ["x: Float[Tensor, 'a b'], y: Float[Tensor, 'b c'] -> Float[Tensor, 'a c']"]


def test_a_size_that_the_code_fixes_is_a_number(folder):
    source = "import torch\n\n\ndef gray(x):\n    return x @ torch.ones(3, 1)\n"
    text = written(folder, source, ["model.py:gray", "--input=x=float32[5,3]"])
    assert heads(text) == ["x: Float[Tensor, 'a 3'] -> Float[Tensor, 'a 1']"]


def test_a_comment_that_is_wrong_gives_no_names(folder):
    source = "def same(x):  # x: (N, N, 3)\n    return 2 * x\n"
    text = written(folder, source, ["model.py:same", "--input=x=float32[5,6,3]"])
    assert heads(text) == ["x: Float[Tensor, 'a b c'] -> Float[Tensor, 'a b c']"]


def test_a_comment_that_contradicts_the_constructor_gives_no_names(folder):
    source = (
        "from torch import nn\n\n\nclass Heads(nn.Module):\n    def __init__(self, heads=2):\n        super().__init__()\n"
        "        self.heads = heads\n\n    def forward(self, x):  # x: (nodes, heads, width)\n        return x + 1\n"
    )
    text = written(folder, source, ["model.py:Heads", "--input=x=float32[2,5,6]"])
    assert heads(text) == ["self, x: Float[Tensor, 'a b c'] -> Float[Tensor, 'a b c']"]


def test_sizes_that_only_even_ones_share_are_not_one(folder):
    source = "def halves(x):\n    n = len(x) // 2 * 2\n    return x[:n].view(2, -1).flatten()\n"
    text = written(folder, source, ["model.py:halves", "--input=x=float32[64]"])
    assert heads(text) == ["x: Float[Tensor, 'a'] -> Float[Tensor, 'b']"]


def test_bare_tensors_get_axes_and_helpers_of_anything_stay(folder):
    source = (
        "import torch\nfrom typing import Optional\n\n\ndef exists(value):\n    return value is not None\n\n\n"
        "def mean(x: torch.Tensor, mask: Optional[torch.Tensor] = None) -> torch.Tensor:\n"
        "    return (x * mask if exists(mask) else x).mean(-1)\n"
    )
    text = written(folder, source, ["model.py:mean", "--input=x=float32[5,6]", "--input=mask=bool[5,6]"])
    assert heads(text) == ["x: Float[Tensor, 'a b'], mask: Bool[Tensor, 'a b'] | None=None -> Float[Tensor, 'a']"]


# Programs -------------------------------------------------------------------------------------------------------------


def test_a_program_gives_the_same_results_afterwards(folder):
    def shown():
        done = subprocess.run([sys.executable, "model.py"], capture_output=True, text=True, check=True, cwd=folder)
        return done.stdout

    (folder / "model.py").write_text(PROGRAM, encoding="utf-8")
    before = shown()
    text = written(folder, PROGRAM, ["model.py:train"])
    assert 'def forward(self, x: Float[Tensor, "a width"]) -> Float[Tensor, "a classes"]:' in text
    assert shown() == before


def test_a_program_that_exits(folder, capsys):
    source = PROGRAM.replace('    print(f"{value.item():.6f}")', "    raise SystemExit(CODE)")
    text = written(folder, source.replace("CODE", "0"), ["model.py:train"])
    assert 'def forward(self, x: Float[Tensor, "a width"])' in text
    (folder / "model.py").write_text(source.replace("CODE", "3"), encoding="utf-8")
    assert main(["annotate", "model.py:train"]) == 1
    assert "model.py:train stopped at RuntimeError: it calls sys.exit(3)\n" in capsys.readouterr().err


def test_sides_that_are_no_sizes_of_their_own_are_numbers_in_a_model_and_its_loss(folder):
    found = heads(written(folder, IMAGES, ["model.py:train"]))
    assert (
        "self, x: Float[Tensor, 'a 1 28 28'] -> tuple[Float[Tensor, 'a 784'], Float[Tensor, 'a 8'], Float[Tensor, 'a 8']]"
        in found
    )
    assert (
        "made: Float[Tensor, 'a 784'], x: Float[Tensor, 'a 1 28 28'], mean: Float[Tensor, 'a b'], "
        "spread: Float[Tensor, 'a b'] -> Float[Tensor, '']" in found
    )
    assert main(["check", "model.py:VAE", "model.py:loss_function"]) == 0


def test_what_makes_a_model_and_its_inputs(folder):
    text = written(folder, PROGRAM, ["model.py:net_and_inputs"])
    assert 'def forward(self, x: Float[Tensor, "a width"]) -> Float[Tensor, "a classes"]:' in text


def test_annotated_parameters_stay(folder):
    source = 'from jaxtyping import Float\nfrom torch import Tensor\n\n\ndef twice(x: Float[Tensor, "n d"], y):\n    return x + y\n'
    text = written(folder, source, ["model.py:twice", "--input=y=float32[5,7]"])
    assert heads(text) == ["x: Float[Tensor, 'n d'], y: Float[Tensor, 'n d'] -> Float[Tensor, 'n d']"]


def test_a_return_that_did_not_run_leaves_the_result(folder, capsys):
    source = "def half(x, deep=False):\n    if deep:\n        return x[0]\n    return x / 2\n"
    text = written(folder, source, ["model.py:half", "--input=x=float32[5,7]"])
    assert 'def half(x: Float[Tensor, "a b"], deep=False):' in text
    assert (
        "dimtyped annotate: model.py:3: half: the result: the return in line 5 did not run\n" in capsys.readouterr().err
    )


def test_a_parameter_that_becomes_something_else_stays(folder, capsys):
    source = "def total(x):\n    x = x.sum().item()\n    return x\n"
    (folder / "model.py").write_text(source, encoding="utf-8")
    assert main(["annotate", "model.py:total", "--input=x=float32[5,7]"]) == 0
    assert "model.py:1: total: `x`: the function assigns a float to it\n" in capsys.readouterr().err


def test_names_of_the_file_that_are_others(folder):
    source = "class Float:\n    pass\n\n\nTensor = list\n\n\ndef twice(x):\n    return 2 * x\n"
    text = written(folder, source, ["model.py:twice", "--input=x=float32[5]"])
    assert text.startswith("import torch\nimport jaxtyping\n")
    assert 'def twice(x: jaxtyping.Float[torch.Tensor, "a"]) -> jaxtyping.Float[torch.Tensor, "a"]:' in text


def test_windows_line_ends_and_another_encoding_stay(folder):
    source = "# -*- coding: latin-1 -*-\r\ndef twice(x):  # \xe9\r\n    return 2 * x\r\n"
    (folder / "model.py").write_bytes(source.encode("latin-1"))
    assert main(["annotate", "model.py:twice", "--input=x=float32[5]", "--write"]) == 0
    text = (folder / "model.py").read_bytes().decode("latin-1")
    assert 'def twice(x: Float[Tensor, "a"]) -> Float[Tensor, "a"]:  # \xe9\r\n' in text
    assert text.count("\n") == text.count("\r\n")


# What is printed ------------------------------------------------------------------------------------------------------


def test_the_diff(folder, capsys):
    (folder / "model.py").write_text("import torch\n\n\ndef twice(x):\n    return 2 * x\n", encoding="utf-8")
    assert main(["annotate", "model.py:twice", "--input=x=float32[5]"]) == 0
    printed = capsys.readouterr()
    assert printed.out == (
        "--- a/model.py\n+++ b/model.py\n@@ -1,5 +1,7 @@\n import torch\n+from jaxtyping import Float\n"
        "+from torch import Tensor\n \n \n-def twice(x):\n"
        '+def twice(x: Float[Tensor, "a"]) -> Float[Tensor, "a"]:\n     return 2 * x\n'
    )
    assert printed.err == "dimtyped annotate: annotations for 1 function in 1 file; --write writes them\n"


def test_a_run_that_fails(folder, capsys):
    (folder / "model.py").write_text("def add(x, y):\n    return x + y\n", encoding="utf-8")
    assert main(["annotate", "model.py:add", "--input=x=float32[5]", "--input=y=float32[4]"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "dimtyped annotate: model.py:add stopped at RuntimeError: " in printed.err


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["other.py"], "there is no file `other.py`"),
        ([], "nothing to look at; name a file, a module or a folder: dimtyped annotate model.py"),
        (["model.py:Nets"], "model.py has no `Nets`; did you mean `Net`?"),
        (["model.py"], "nothing of it can be run as it is; name a model and its inputs: "),
        (["model.py", "--input=x=float32[4]"], "--input is for one model; name it: dimtyped annotate model.py:GPT"),
        (["model.py:Net", "--input=x=float32[4,8]"], "model.py:Net: it needs `width` and `classes`"),
        (
            ["model.py:Net", "--arg=width=8", "--arg=classes=5"],
            "model.py:Net: Net.forward: no input can be made for `x`, which has neither an annotation nor a default; "
            "give it: --input 'x=int64[4,16]'",
        ),
        (
            ["model.py:Net", "--arg=width=8", "--arg=classes=5", "--input=y=float32[4]"],
            "Net.forward has no `y`; it takes x",
        ),
        (["model.py:loss", "--input=scores=float33[4,5]"], "`float33` is no dtype; did you mean `float32`?"),
        (["model.py:loss", "--input=scores=float32[4,-5]"], "`-5` is not a size; write a whole number of at least 1"),
        (["model.py:loss", "--input=float32"], "--input float32: not a name and a value; write --input 'tokens="),
        (["model.py:loss", "--input=scores=nothing(4)"], "--input scores=nothing(4): NameError: name 'nothing'"),
        (
            ["model.py:loss", "--input=scores=float32[4,5]"],
            "model.py:loss: loss: no input can be made for `labels`, which has neither an annotation nor a default; give it: ",
        ),
    ],
)
def test_bad_input_is_one_line_and_2(folder, command, text, capsys):
    (folder / "model.py").write_text(PROGRAM, encoding="utf-8")
    assert main(["annotate", *command]) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1
    assert (folder / "model.py").read_text(encoding="utf-8") == PROGRAM


def test_a_file_that_cannot_be_parsed_stays(folder, capsys, monkeypatch):
    import libcst

    def refuse(source):
        raise libcst.ParserSyntaxError("no", lines=["x"], raw_line=1, raw_column=0)

    monkeypatch.setattr(libcst, "parse_module", refuse)
    (folder / "model.py").write_text(PROGRAM, encoding="utf-8")
    assert main(["annotate", "model.py:train", "--write"]) == 2
    assert "model.py cannot be parsed, and stays as it is" in capsys.readouterr().err
    assert (folder / "model.py").read_text(encoding="utf-8") == PROGRAM


def test_static_checkers_accept_what_is_written(folder):
    text = written(folder, GPT, GPT_COMMAND)
    (folder / "model.py").write_text(text, encoding="utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--level", "error", "--pythonpath", sys.executable, "model.py"],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert "0 errors" in checked.stdout, checked.stdout
