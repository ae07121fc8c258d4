import copy
import json
import pickle
import traceback

import jaxtyping
import pytest

import dimtyped
from dimtyped import DeclarationError, Dim, DimensionError, StateError, TyingError, VocabularyError
from dimtyped.errors import (
    DimensionAssertionError,
    DimensionIndexError,
    DimensionNotImplementedError,
    DimensionValueError,
    RankError,
)

CALL_ERRORS = [
    DimensionError,
    VocabularyError,
    RankError,
    DimensionAssertionError,
    DimensionIndexError,
    DimensionNotImplementedError,
    DimensionValueError,
]
DECLARATION_ERRORS = [DeclarationError, TyingError, StateError]
DEFAULTS = {"where": "", "argument": "", "dim": "", "expected": None, "actual": None, "bindings": {}, "hint": ""}
FIELDS = {
    "where": "Decoder.forward",
    "argument": "state",
    "dim": "hidden",
    "expected": 256,
    "actual": 128,
    "bindings": {"batch": 32},
    "hint": "permute(1, 0, 2)",
}


def filled(kind: type[Exception]) -> Exception:
    error = kind("hidden is 128, must be 256")
    for name, value in FIELDS.items():
        setattr(error, name, value)
    return error


@pytest.mark.parametrize("kind", CALL_ERRORS)
@pytest.mark.parametrize("caught_as", [jaxtyping.TypeCheckError, TypeError, RuntimeError, DimensionError])
def test_an_error_at_a_call_is_caught_as(kind, caught_as):
    with pytest.raises(caught_as, match="^hidden is 128, must be 256$"):
        raise filled(kind)


@pytest.mark.parametrize(
    ("kind", "caught_as"),
    [(VocabularyError, IndexError), (RankError, ValueError), (DimensionAssertionError, AssertionError)],
)
def test_an_error_is_also_what_torch_raises_there(kind, caught_as):
    assert issubclass(kind, caught_as)


@pytest.mark.parametrize("kind", DECLARATION_ERRORS)
def test_a_wrong_declaration_is_a_value_error_and_never_a_type_error(kind):
    assert issubclass(kind, ValueError)
    assert issubclass(kind, DeclarationError)
    assert not issubclass(kind, TypeError | DimensionError)


@pytest.mark.parametrize("kind", CALL_ERRORS + DECLARATION_ERRORS)
class TestData:
    def test_every_field_has_an_empty_default(self, kind):
        error = kind("text")
        assert {name: getattr(error, name) for name in DEFAULTS} == DEFAULTS

    def test_the_default_bindings_cannot_be_changed(self, kind):
        with pytest.raises(TypeError, match="does not support item assignment"):
            kind("text").bindings["batch"] = 32

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_pickles_with_its_text_and_fields(self, kind, protocol):
        error = pickle.loads(pickle.dumps(filled(kind), protocol))
        assert type(error) is kind
        assert str(error) == "hidden is 128, must be 256"
        assert vars(error) == FIELDS

    def test_copies_with_its_text_and_fields(self, kind):
        error = copy.deepcopy(filled(kind))
        assert (type(error), error.args, vars(error)) == (kind, ("hidden is 128, must be 256",), FIELDS)

    def test_to_dict_is_ready_for_json(self, kind):
        data = filled(kind).to_dict()
        assert json.loads(json.dumps(data)) == data
        assert data == {"type": kind.__qualname__, "message": "hidden is 128, must be 256", **FIELDS}

    def test_has_no_constructor_of_its_own(self, kind):
        """TorchDynamo cannot trace one: it would report that in place of our text."""
        own = [parent for parent in kind.__mro__ if parent.__module__.startswith("dimtyped")]
        assert not any({"__init__", "__new__"} & vars(parent).keys() for parent in own)


def test_to_dict_turns_dims_into_ints_and_the_rest_into_text():
    error = DimensionError("text")
    error.expected = (Dim("hidden", 256), 2.5, None, True)
    error.actual = {Dim("hidden", 256): pickle}
    error.bindings = {"hidden": Dim("hidden", 256)}
    data = error.to_dict()
    assert data["expected"] == [256, 2.5, None, True]
    assert type(data["expected"][0]) is int
    assert data["actual"] == {"256": str(pickle)}
    assert type(data["bindings"]["hidden"]) is int


@pytest.mark.parametrize("kind", [*CALL_ERRORS, *DECLARATION_ERRORS])
def test_a_traceback_shows_the_public_name(kind):
    """That of torch's own kind of exception, which some add, is no name to remember."""
    shown = traceback.format_exception_only(kind("text"))[0].partition(":")[0]
    assert shown == f"dimtyped.{kind.__name__ if hasattr(dimtyped, kind.__name__) else 'DimensionError'}"
    assert hasattr(dimtyped, shown.removeprefix("dimtyped."))
