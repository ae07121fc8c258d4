"""The gallery of findings: each mistake is found once, by its kind, at its line, and nothing in the program made right."""

import pytest

from dimtyped.cli.examples.findings import FINDINGS
from dimtyped.flow import KINDS

EXAMPLES = {example.name: example for family in FINDINGS.values() for example in family}
every_example = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
pytestmark = pytest.mark.filterwarnings("ignore:Using a target size")  # torch's own, of a loss between two shapes


@every_example
def test_the_mistake_is_found_once_by_its_kind_at_its_line(example):
    report = example.report()
    assert [(found.kind, found.line) for found in report.findings] == [(example.kind, example.line)], str(report)


@every_example
def test_nothing_is_found_in_the_right_program(example):
    assert example.fixed != example.code
    report = example.fixed_report()
    assert report.ok, str(report)


def test_every_kind_has_an_example():
    assert {example.kind for example in EXAMPLES.values()} == set(KINDS)
    assert len(EXAMPLES) >= 40
