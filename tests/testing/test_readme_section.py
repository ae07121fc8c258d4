"""The worked example of the README prints what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")
SECTION = re.search(r"<!-- testing:begin -->(.*)<!-- testing:end -->", README, re.DOTALL)[1]


def test_the_bug_that_shows_only_at_batch_one_is_found_as_the_readme_says():
    code, text = (re.search(rf"^```{kind}\n(.*?)^```", SECTION, re.DOTALL | re.MULTILINE)[1] for kind in ("py", "text"))
    with pytest.raises(AssertionError) as caught:
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    printed = f"{type(caught.value).__name__}: {caught.value}\n"
    assert "for batch=1, seq=2" in printed
    blob = r'repeat=".*"'  # another release of hypothesis prints another one
    assert re.sub(blob, "", printed) == re.sub(blob, "", text)


def test_a_script_that_fuzzes_its_model_ends_without_a_word():
    code = "from dimtyped import nn, testing\nmodel = nn.Linear(2, 3)\ntesting.fuzz(model, max_examples=3)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_at_batch_two_the_bug_does_not_show():
    code = re.search(r"^```py\n(.*?)^fuzz", SECTION, re.DOTALL | re.MULTILINE)[1]
    names = {"__name__": "readme"}
    exec(compile(code, "README.md", "exec"), names)
    names["fuzz"](names["SelfAttention"](4), padding="real", sizes={"batch": 2}, max_examples=20)
