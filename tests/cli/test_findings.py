"""The gallery of findings: each mistake is found once, by its kind, at its line, and nothing in the program made right."""

import functools
import re

import pytest

from dimtyped.cli.examples.findings import FINDINGS, report_of
from dimtyped.flow import KINDS

EXAMPLES = {example.name: example for family in FINDINGS.values() for example in family}
every_example = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
pytestmark = pytest.mark.filterwarnings("ignore:Using a target size")  # torch's own, of a loss between two shapes

# Examples without a fix that can be applied: none fits, or several do.
UNFIXED = {
    "flattened-apart": "either of two flattenings may be the wrong one",
    "scores-across-samples": "the right program is another one",
    "positions-by-batch": "the wrong number was read lines before",
    "labels-not-shifted": "either may be shifted",
    "mask-of-the-other": "another mask is meant, or another place of this one",
    "mask-without-heads": "the mask may be for rows or for columns",
    "mask-without-heads-coincidence": "the mask may be for rows or for columns",
    "keys-not-transposed": "either operand may be transposed",
    "patches-by-view": "no order of axes makes one view right",
    "odd-sizes": "the right program is another one",
    "short-buffer": "a size of the model is too small",
    "repeated-rows": "only values show it",
    "expert-routing": "either operand may be transposed",
    "swapped-arguments": "the arguments may be swapped, or the result transposed",
}
_IN_PLACE_OF = re.compile(r"`(.*)` in place of `(.*)` in line (\d+)")
_BATCH_FIRST = re.compile(r"(batch_first=True) where `(.*)` is made")


@functools.cache
def wrong_report(name):
    return EXAMPLES[name].report()


@every_example
def test_the_mistake_is_found_once_by_its_kind_at_its_line(example):
    report = wrong_report(example.name)
    assert [(found.kind, found.line) for found in report.findings] == [(example.kind, example.line)], str(report)


@every_example
def test_nothing_is_found_in_the_right_program(example):
    assert example.fixed != example.code
    report = example.fixed_report()
    assert report.ok, str(report)


def with_fix(code, found):
    """The program that follows a finding's fix."""
    if match := _BATCH_FIRST.fullmatch(found.fix):
        return re.sub(rf"({re.escape(match[2])} = nn\.\w+\(.*)\)", rf"\1, {match[1]})", code)
    lines = code.splitlines()
    if match := _IN_PLACE_OF.fullmatch(found.fix):
        lines[int(match[3]) - 1] = lines[int(match[3]) - 1].replace(match[2], match[1])
    else:
        line = lines[found.line - 1]
        lines[found.line - 1] = line[: found.column] + found.fix + line[found.end_column :]
    return "\n".join([*lines, ""])


@every_example
def test_the_fix_makes_the_program_right(example):
    [found] = wrong_report(example.name).findings
    if example.name in UNFIXED:
        assert example.name == "short-buffer" or not found.fix
        return
    fixed = with_fix(example.code, found)
    assert fixed != example.code
    report = report_of(fixed, f"{example.name}-by-its-fix")
    assert report.ok, f"{found.fix}\n{report}"


def test_every_kind_has_an_example():
    assert {example.kind for example in EXAMPLES.values()} == set(KINDS)
    assert len(EXAMPLES) >= 40
