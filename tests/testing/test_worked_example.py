"""The bug of the documentation's example shows at a batch of 1 only."""

import subprocess
import sys

from tests.docs import documents

PAGE = (documents.ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
CODE, TEXT = documents.blocks(PAGE)[0]


def test_it_is_found_at_batch_one():
    assert "FuzzError: SelfAttention fails for batch=1, seq=2: axis `seq` mixes" in TEXT
    assert documents.without_seed(documents.printed_by(CODE, {"__name__": "page"})) == documents.without_seed(TEXT)


def test_at_batch_two_the_bug_does_not_show():
    names = {"__name__": "page"}
    exec(CODE.partition("\nfuzz(")[0], names)
    names["fuzz"](names["SelfAttention"](4), padding="real", sizes={"batch": 2}, max_examples=20)


def test_a_script_that_fuzzes_its_model_ends_without_a_word():
    code = "from dimtyped import nn, testing\nmodel = nn.Linear(2, 3)\ntesting.fuzz(model, max_examples=3)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert (done.stdout, done.stderr) == ("", "")
