"""The gallery of mistakes at torch's operators: each has its note, and the program with the note's fix runs."""

import pytest

from dimtyped.cli.examples.torch_errors import TORCH_ERRORS

EXAMPLES = {example.name: example for family in TORCH_ERRORS.values() for example in family}
WITHOUT_FIX = {
    "added-in-place": "the sum needs a tensor of its own",
    "stacked-lengths": "only padding helps",
    "heads-that-do-not-divide": "the number of heads is the user's choice",
    "one-step-too-far": "which step is meant is not known",
    "too-many-indices": "which one is too many is not known",
    "id-outside": "the table is too short",
    "checkpoint": "the checkpoint is another model's",
    "all-pairs": "there is no memory for it",
}
every_example = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)


@every_example
def test_the_error_is_torchs_with_a_note_that_says_what_does_not_fit(example):
    error = example.error()
    assert type(error).__module__ == "builtins"
    (note,) = error.__notes__
    report = example.report()
    assert note == str(report)
    assert note.startswith(f"dimtyped: `{report.source}` in {report.where}:")
    assert report.problem
    assert report.source in example.code.splitlines()[report.line - 1]
    assert max(map(len, note.splitlines())) <= 130


@every_example
def test_the_program_with_the_fix_runs(example):
    report = example.report()
    assert bool(report.fix) is (example.name not in WITHOUT_FIX), report
    if report.fix:
        assert example.fixed_error() is None


def test_there_are_thirty():
    assert len(EXAMPLES) >= 30
    assert set(WITHOUT_FIX) <= set(EXAMPLES)
