import os
import re
import subprocess
import sys

import pytest

from dimtyped.cli.demo import cost, text
from dimtyped.cli.main import main

pytestmark = pytest.mark.any_engine
PROSE = " ".join(f"{a}{b} reads {b}{a}" for a in "bcdfghjklmnp" for b in "aeiouqrstvwxyz")


def python(*arguments, **environment):
    """Runs Python in a process of its own, its output as wide as the longest line."""
    wide = os.environ | {"COLUMNS": "200", "PYTHONIOENCODING": "utf-8"} | environment
    return subprocess.run([sys.executable, *arguments], env=wide, capture_output=True, text=True, encoding="utf-8")


def test_without_a_command_it_lists_them(capsys):
    assert main([]) == 0
    assert re.search(r"^ +demo +train a typed model", capsys.readouterr().out, re.MULTILINE)


def test_import_takes_nothing_of_the_demo():
    done = python(
        "-c", "import sys, dimtyped; print([m for m in sys.modules if m.split('.')[0] == 'rich' or '_demo' in m])"
    )
    assert done.stdout == "[]\n"


def test_the_demo_trains_catches_three_mistakes_and_tells_the_cost():
    done = python("-m", "dimtyped", "demo", "--steps", "5")
    assert (done.returncode, done.stderr) == (0, "")
    shown = [line.strip("│ ") for line in done.stdout.splitlines()]
    first, last = next(
        re.fullmatch(r"loss (\d\.\d\d) -> (\d\.\d\d)", line) for line in shown if line.startswith("loss")
    ).groups()
    assert float(last) < float(first)
    for pattern in (
        r"Linear.weight: cannot be assigned a parameter of shape \(vocab=(\d+), embed=64\), "
        r"the weight of Embedding\(vocab=\1 -> embed=64\)",
        r"torch.nn alone: line 3, RuntimeError: (?:\w+: )?mat1 and mat2 shapes cannot be multiplied \(1x128 and 64x\d+\)",
        r"Decoder.forward: argument `state` does not fit: batch is 1, must be 64",
        r'state    Float\[Tensor, "layers batch hidden"\]',
        r"Two axes are swapped: `state.permute\(1, 0, 2\)` fits.",
        r"Decoder.embedding: argument `input` has 1 token id outside the vocabulary: (\d+), must be 0 to \d+",
        r"torch.nn alone: line 3, IndexError: index out of range in self",
        r"training step: \d+\.\d ms with the checks, \d+\.\d ms without: [+-]\d+\.\d%",
    ):
        assert any(re.fullmatch(pattern, line) for line in shown), pattern


def test_it_takes_a_text_of_the_users(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cost, "PAIRS", 2)
    file = tmp_path / "[bold]mine.txt"
    file.write_text(PROSE, encoding="utf-8-sig")
    assert main(["demo", "--steps", "1", "--text", str(file)]) == 0
    assert "[bold]mine.txt" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(None, "{file} cannot be read: No such file or directory", id="missing"),
        pytest.param(
            b"", "the text is too short: it has 0 different phrases of 3 words and at most 24 letters", id="empty"
        ),
        pytest.param(b"read this line", "the text is too short: it has 1 different phrases of 3 words", id="short"),
        pytest.param(b"caf\xe9", "{file} is not UTF-8: byte 0xe9 at 3", id="latin-1"),
    ],
)
def test_a_text_of_no_use_is_refused(content, reason, tmp_path, capsys):
    file = tmp_path / "text"
    if content is not None:
        file.write_bytes(content)
    assert main(["demo", "--text", str(file)]) == 2
    assert f"dimtyped demo: error: --text: {reason.format(file=file)}" in capsys.readouterr().err


@pytest.mark.parametrize("steps", ["0", "-1", "1.5", "many"])
def test_steps_are_a_positive_whole_number(steps, capsys):
    with pytest.raises(SystemExit, match="^2$"):
        main(["demo", f"--steps={steps}"])
    assert f"argument --steps: {steps!r} is not a positive whole number" in capsys.readouterr().err


def test_without_rich_it_names_the_extra():
    done = python(
        "-c", "import sys; sys.modules['rich'] = None; from dimtyped.cli.main import main; sys.exit(main(['demo']))"
    )
    assert done.returncode == 2
    assert done.stderr == (
        "dimtyped demo: error: rich is not installed; the extra `demo` has it: pip install 'dimtyped[demo]'\n"
    )


def test_the_held_out_phrases_are_other_phrases():
    corpus = text.split(PROSE)
    assert not set(corpus.held) & set(corpus.train)
    assert set("".join(corpus.held)) <= set(corpus.characters)


def test_vowels_go_with_their_accents():
    assert text.without_vowels("the café opens") == "th cf pns"
    assert text.without_vowels("a e") == "a e"
