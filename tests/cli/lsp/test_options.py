"""What an editor may give as initializationOptions."""

from __future__ import annotations

import sys

import pytest

from dimtyped.cli.lsp.options import Options, options_of
from dimtyped.cli.targets.usage import UsageError


def test_nothing_given_is_the_default():
    assert options_of(None) == options_of({}) == Options(sys.executable, 60.0, True, {})


def test_settings_are_those_of_a_project():
    options = options_of(
        {"timeout": 5, "checkOnOpen": False, "sizes": {"embed": 8}, "arguments": {"Mlp": {"width": 4}}}
    )
    assert (options.timeout, options.check_on_open) == (5.0, False)
    assert options.settings == {"sizes": {"embed": 8}, "arguments": {"Mlp": {"width": 4}}}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([1], """initializationOptions is [1]; write an object: {"timeout": 60}"""),
        ({"size": {}}, "initializationOptions has no `size`; did you mean `sizes`?"),
        (
            {"zzz": 1},
            "initializationOptions has no `zzz`; it has python, timeout, checkOnOpen, sizes, arguments, independent, skip, exclude",
        ),
        ({"timeout": 0}, """initializationOptions: timeout is 0; write "timeout": 60, in seconds"""),
        ({"timeout": True}, """initializationOptions: timeout is True; write "timeout": 60, in seconds"""),
        ({"python": 3}, """initializationOptions: python is 3; write "python": "/path/to/python\""""),
        ({"checkOnOpen": "no"}, """initializationOptions: checkOnOpen is 'no'; write "checkOnOpen": false"""),
        ({"sizes": 3}, """initializationOptions sizes is 3; write "sizes": {"name": value}"""),
        ({"sizes": {"n": 0}}, "initializationOptions sizes: `n` is 0; write a whole number of at least 1"),
    ],
)
def test_what_cannot_be_is_said(given, says):
    with pytest.raises(UsageError) as caught:
        options_of(given)
    assert str(caught.value) == says
