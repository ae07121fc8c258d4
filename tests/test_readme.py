import contextlib
import dataclasses
import io
import re
from pathlib import Path

import pytest
from jaxtyping import Shaped
from torch import Tensor

from dimtyped import nn
from dimtyped.cli import layer_table as _contracts
from dimtyped.cli.main import main

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", README, re.MULTILINE | re.DOTALL)


def printed_by(code, names):
    """What a block prints, with the last line of the traceback where it raises."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        try:
            exec(compile(code, "README.md", "exec"), names)
        except (ValueError, TypeError) as error:
            output.write(f"{type(error).__name__}: {error}\n")
    return output.getvalue()


def test_each_block_prints_what_the_readme_says():
    names = {"__name__": "readme"}
    assert [printed_by(code, names) for code, _ in BLOCKS] == [text for _, text in BLOCKS]


def test_the_first_screen_is_one_sentence_the_two_commands_ten_lines_and_their_error():
    title, sentence, commands, code = README.split("\n\n```text")[0].split("\n\n", 3)
    assert title == "# dimtyped"
    assert sentence.count(".") == 1
    assert commands.splitlines()[1:-1] == [
        "pip install -e '.[demo]' && python -m dimtyped demo",
        "pip install -e '.[test]' && pytest",
    ]
    assert len(code.splitlines()) <= 10 + len(["fence", "blank", "blank", "fence"])
    assert BLOCKS[0][1].startswith("TyingError: ")


@pytest.mark.parametrize("wrong", ["raise ValueError('one thing')", "print('one thing')", "None"])
def test_a_text_that_is_not_printed_is_noticed(wrong):
    assert printed_by(wrong, {}) != "ValueError: another\n"


# The table of layers --------------------------------------------------------------------------------------------------


def test_the_table_of_layers_is_what_they_declare():
    assert _contracts.with_table(README) == README, "bring it up to date: python -m dimtyped layers --write"


def test_a_table_that_is_not_what_they_declare_is_noticed(monkeypatch):
    changed = dataclasses.replace(nn.Linear.contract, output=Shaped[Tensor, "... classes"])
    monkeypatch.setattr(nn.Linear, "contract", changed)
    assert _contracts.with_table(README) != README


def test_every_typed_layer_is_in_the_table():
    typed = {name for name, value in vars(nn).items() if isinstance(value, type) and hasattr(value, "contract")}
    in_rows = {name for row in _contracts.rows() for name in row.layers}
    assert {name for name in typed if not name.startswith("Lazy")} == in_rows


def test_a_row_tells_what_goes_in_what_comes_out_and_the_parameters():
    rows = {row.layers: row for row in _contracts.rows()}
    conv = rows["Conv1d", "Conv2d", "Conv3d"]
    assert conv.takes == ("input ([batch], in_channels, *space)",)
    assert conv.gives == "([batch], out_channels, *out_space)"
    assert conv.parameters == ("weight (out_channels, in_channels//groups, *kernel)", "bias (out_channels)")


def test_the_command_prints_the_layers(capsys):
    assert main(["layers"]) == 0
    assert capsys.readouterr().out.startswith(
        "Linear\n    takes       input (..., in_features)\n    gives       (..., out_features)\n"
        "    parameters  weight (out_features, in_features)\n                bias (out_features)\n"
    )


def test_the_command_brings_a_readme_up_to_date(tmp_path):
    wrong = README.replace("| `Linear` |", "| `Lineal` |")
    (tmp_path / "README.md").write_text(wrong, encoding="utf-8")
    assert main(["layers", "--write", str(tmp_path)]) == 0
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == README != wrong
