"""The examples of mistakes: each error's advice, followed, makes the code run."""

import inspect
import json
import os
import subprocess
import sys

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

import dimtyped
from dimtyped import typed
from dimtyped.cli import examples as _gallery
from dimtyped.cli.examples.example import PRELUDE
from dimtyped.cli.main import main
from dimtyped.diagnosis.fixes import Fix
from dimtyped.runtime import config as _config
from dimtyped.testing import independent
from tests.helpers import fixing

FIELDS = {"type", "message", "where", "argument", "dim", "expected", "actual", "bindings", "hint"}
LINES = 15
WITHOUT_SIZES = {"ambiguous", "unknown-name", "unresolved", "bad-size"}  # no name has one yet
EXAMPLES = _gallery.examples()
every_example = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)


@pytest.fixture(autouse=True)
def mode_as_before():
    """The command switches the checks on."""
    before = _config.mode()
    yield
    _config.configure(before)


@every_example
def test_the_mistake_is_found_and_the_advice_followed_it_is_gone(example):
    assert example.fixed != example.code
    assert example.outcome() is not None
    assert example.fixed_outcome() is None


@pytest.mark.usefixtures("default_engine")
@every_example
def test_the_fix_that_is_proposed_fits_and_keeps_samples_apart(example):
    with fixing.recorded() as found:
        example.outcome()
    (context, fix) = found[-1] if found else (None, None)
    if fix is not None and fix.code and "StateBridge" not in str(fix.code):  # that is a layer to add to the model
        given = {name: value.value for name, value in context.call.values.items()}
        if "return" in fix.code:
            fixing.assert_is_what_it_says(fix, {**given, "result": context.call.result.value})
        else:
            fixing.call(_called(context), fixing.fixed(fix, given))
            assert fixing.mixed_places(fix, context, given) == []
    for function in _with_a_batch(example):
        independent(function, max_examples=5)


def test_a_fix_that_mixes_would_be_noticed():
    @typed
    def pooled(x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        return x

    with fixing.recorded() as found, pytest.raises(dimtyped.DimensionError):
        pooled(torch.ones(3, 4, 3))
    context, _ = found[-1]
    given = {"x": torch.ones(3, 4, 3)}
    for code, mixes in (
        ("x[:, 0]", False),
        ("x.mean(1)", False),
        ("x.mean((0, 1)).expand(3, 3)", True),
        ("x[:, 0].cumsum(0)", True),
    ):
        fix = Fix("", {"x": code}, {})
        assert (code, fixing.mixed_places(fix, context, given) == ["x"]) == (code, mixes)


def _called(context):
    """What made the call: a layer's or a module's own method, or the function, checked."""
    function = context.call.signature.function
    if context.owner is None:
        return typed(function)
    return getattr(type(context.owner), function.__name__)


def _with_a_batch(example):
    """What the fixed code defines or makes that has a batch in its annotations."""
    names = {"__name__": example.name}
    exec(PRELUDE, names)
    known = set(names)
    exec(example.fixed, names)
    for value in (value for name, value in names.items() if name not in known):
        function = value.forward if isinstance(value, torch.nn.Module) else value
        annotations = getattr(inspect.unwrap(function), "__annotations__", {}) if callable(function) else {}
        axes = [str(getattr(hint, "dim_str", "")).split() for hint in annotations.values()]
        if not isinstance(value, type) and "return" in annotations and axes and all("batch" in axis for axis in axes):
            yield value


@every_example
def test_its_text_is_short_plain_and_names_a_class_that_a_user_knows(example):
    text = example.text()
    assert len(text.splitlines()) <= LINES
    assert all(character.isprintable() or character in "\n\t" for character in text)  # no color
    name = text.partition(":")[0]
    assert name in ("RuntimeError", "UserWarning") or hasattr(dimtyped, name)


@every_example
def test_its_data_is_json_with_every_field(example):
    found = example.outcome()
    if isinstance(found, Warning) or type(found) is RuntimeError:
        pytest.skip("a warning, and torch's own error of a checkpoint, have no fields")
    data = found.to_dict()
    assert json.loads(json.dumps(data)) == data
    assert data.keys() == FIELDS
    assert data["message"] == str(found)
    assert data["where"]
    assert data["hint"]
    assert data["actual"] is not None
    assert data["expected"] is not None
    assert data["bindings"] or example.name in WITHOUT_SIZES
    assert all(isinstance(size, int | list) for size in data["bindings"].values())
    assert "jaxtyping" not in str(data)


@pytest.fixture
def default_engine():
    """An expression over an unknown name is told in jaxtyping's words by the other one."""
    _config.configure("on")


@pytest.mark.usefixtures("default_engine")
def test_the_command_prints_every_example(capsys):
    assert main(["errors"]) == 0
    printed = capsys.readouterr().out
    for example in EXAMPLES.values():
        assert f"{example.title} ({example.name})\n" in printed
        assert example.text() in printed


def test_the_command_prints_one(capsys):
    assert main(["errors", "class-axis"]) == 0
    assert capsys.readouterr().out == _gallery.shown(EXAMPLES["class-axis"])


def test_a_name_that_is_none_is_refused_with_those_that_are_near(capsys):
    assert main(["errors", "class-axes"]) == 2
    assert "there is no example 'class-axes'; did you mean class-axis" in capsys.readouterr().err


@pytest.mark.any_engine
@pytest.mark.parametrize("mode", ["on", "off", "reference", "values"])
def test_it_is_shown_in_every_mode(mode):
    shown = subprocess.run(
        [sys.executable, "-m", "dimtyped", "errors", "width"],
        env={**os.environ, "DIMTYPED": mode},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (shown.returncode, shown.stdout) == (0, _gallery.shown(EXAMPLES["width"]))
