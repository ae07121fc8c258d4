import contextlib
import io
import re
from pathlib import Path

import pytest

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
