import copy
import io
import json
import keyword
import operator
import pickle
from typing import Annotated, Optional

import numpy as np
import pytest
import torch
from hypothesis import example, given, strategies as st
from torch import nn

from dimtyped import DeclarationError, Dim, DimSize, dims
from dimtyped.names import is_dim_size, name_of, plain

names = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True).filter(lambda name: not keyword.iskeyword(name))
sizes = st.integers(0, 1000)
operands = st.integers(-5, 1000) | st.booleans() | st.floats(-5, 5) | st.builds(Dim, names, sizes)

NAMING = [operator.add, operator.sub, operator.mul, operator.floordiv]
PLAIN = [
    operator.truediv,
    operator.mod,
    divmod,
    operator.and_,
    operator.or_,
    operator.xor,
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
]
UNARY = [operator.neg, operator.pos, abs, operator.invert, round, int, float, bool, hash, str, json.dumps, bin]
FORMATS = ["", "d", ">6", "06d", ",", "x", "+", ".1f", "e", "%", "c"]


def outcome(operation, *arguments):
    """What an operation gives, or the error it raises."""
    try:
        return operation(*arguments)
    except (ArithmeticError, TypeError) as error:
        return type(error), str(error).replace("'Dim'", "'int'")


class TestDim:
    def test_shows_its_name_in_repr_and_its_digits_elsewhere(self):
        hidden = Dim("hidden", 256)
        assert (repr(hidden), str(hidden), f"{hidden}", f"{hidden!r}") == ("hidden=256", "256", "256", "hidden=256")
        assert (hidden.name, hidden.size) == ("hidden", 256)
        assert type(hidden.size) is int

    @pytest.mark.parametrize("spec", FORMATS)
    def test_formats_as_its_size(self, spec):
        assert format(Dim("hidden", 256), spec) == format(256, spec)

    def test_percent_formats_as_its_size(self):
        assert "%d %s %5d" % ((Dim("hidden", 256),) * 3) == "256 256   256"  # noqa: UP031

    @pytest.mark.parametrize("size", [256, np.int64(256), np.uint8(7), torch.tensor(256), Dim("embed", 256)])
    def test_takes_whatever_stands_for_an_int(self, size):
        hidden = Dim("hidden", size)
        assert (hidden, hidden.name, type(hidden.size)) == (int(size), "hidden", int)

    @pytest.mark.parametrize("name", ["", "2x", "a b", "a-b", "2*hidden", "for", "None", 3, None, b"hidden"])
    def test_refuses_a_name_that_is_no_identifier(self, name):
        kind = "a Python keyword" if name in ("for", "None") else "no identifier"
        with pytest.raises(DeclarationError) as caught:
            Dim(name, 1)
        fix = "give a name such as 'hidden'; a derived size gets its name from arithmetic, 2 * hidden"
        assert str(caught.value) == f"the name of a Dim, {name!r}, is {kind}: {fix}"

    @pytest.mark.parametrize(
        ("size", "why"),
        [
            (-1, "is negative: a size is 0 or more"),
            (True, "is a bool: give the size itself, an int such as 256"),
            (2.0, "is of type float, must be an int: convert it, int(...), or divide with // instead of /"),
            ("256", "is of type str, must be an int: convert it, int(...), or divide with // instead of /"),
            (None, "is of type NoneType, must be an int: convert it, int(...), or divide with // instead of /"),
        ],
    )
    def test_refuses_a_size_that_is_none(self, size, why):
        with pytest.raises(DeclarationError) as caught:
            Dim("hidden", size)
        assert str(caught.value) == f"the size of Dim 'hidden', {size!r}, {why}"
        assert caught.value.dim == "hidden"

    @pytest.mark.parametrize("attribute", ["name", "size", "other"])
    def test_is_frozen(self, attribute):
        hidden = Dim("hidden", 256)
        with pytest.raises(
            AttributeError, match=f"^hidden=256 is frozen, '{attribute}' cannot be set: make another Dim$"
        ):
            setattr(hidden, attribute, 1)
        with pytest.raises(AttributeError, match=f"^hidden=256 is frozen, '{attribute}' cannot be deleted$"):
            delattr(hidden, attribute)

    @given(names, sizes)
    def test_hashes_and_compares_as_its_size(self, name, size):
        dim = Dim(name, size)
        assert dim == size == dim
        assert hash(dim) == hash(size)
        assert {size: "found"}[dim] == "found"
        assert dim == Dim("other", size) != size + 1


class TestArithmetic:
    @pytest.mark.parametrize("operation", NAMING + PLAIN, ids=lambda operation: operation.__name__)
    @given(st.builds(Dim, names, sizes), operands)
    def test_computes_as_the_size_does(self, operation, dim, other):
        for left, right in [(dim, other), (other, dim)]:
            got, expected = outcome(operation, left, right), outcome(operation, plain(left), plain(right))
            assert got == expected
            if not isinstance(got, Dim):
                assert type(got) is type(expected)

    @pytest.mark.parametrize("operation", UNARY, ids=lambda operation: operation.__name__)
    @given(sizes)
    def test_every_operator_of_one_operand_gives_what_int_gives(self, operation, size):
        got, expected = operation(Dim("hidden", size)), operation(size)
        assert (got, type(got)) == (expected, type(expected))

    @pytest.mark.parametrize("operation", [pow, operator.lshift, operator.rshift], ids=["pow", "lshift", "rshift"])
    @given(st.integers(0, 12), st.integers(0, 12))
    def test_powers_and_shifts_give_plain_ints(self, operation, left, right):
        for got in (operation(Dim("a", left), right), operation(left, Dim("b", right))):
            assert (got, type(got)) == (operation(left, right), int)
        assert pow(Dim("a", left), 2, 7) == pow(left, 2, 7)

    @pytest.mark.parametrize("operation", NAMING, ids=lambda operation: operation.__name__)
    @given(st.builds(Dim, names, sizes), operands)
    def test_is_named_exactly_when_it_is_a_size(self, operation, dim, other):
        for left, right in [(dim, other), (other, dim)]:
            got = outcome(operation, left, right)
            named = not isinstance(other, bool | float) and isinstance(got, int) and got >= 0
            assert isinstance(got, Dim) == named

    @given(st.data())
    def test_a_derived_name_is_an_expression_of_the_size_without_spaces(self, data):
        known = {"a": data.draw(sizes), "b": data.draw(sizes)}
        dim = Dim("a", known["a"])
        for operation in data.draw(st.lists(st.sampled_from(NAMING), max_size=5)):
            other = data.draw(st.integers(-3, 9) | st.just(Dim("b", known["b"])) | st.just(dim))
            left, right = data.draw(st.permutations([dim, other]))
            result = outcome(operation, left, right)
            dim = result if isinstance(result, Dim) else dim
        assert eval(dim.name, {}, known) == dim.size
        assert " " not in dim.name

    @pytest.mark.parametrize(
        ("expression", "name"),
        [
            ("2 * hidden", "2*hidden"),
            ("hidden * 2", "hidden*2"),
            ("hidden + embed", "hidden+embed"),
            ("2 * (hidden + embed)", "2*(hidden+embed)"),
            ("(hidden + embed) // 2", "(hidden+embed)//2"),
            ("2 * hidden + embed", "2*hidden+embed"),
            ("hidden - (embed - 1)", "hidden-(embed-1)"),
            ("hidden - embed - 1", "hidden-embed-1"),
            ("hidden // (embed // 2)", "hidden//(embed//2)"),
            ("hidden + -1", "hidden-1"),
            ("hidden - -1", "hidden+1"),
            ("-1 + hidden", "-1+hidden"),
            ("hidden - 1 - -1", "hidden-1+1"),
            ("1000 - hidden", "1000-hidden"),
        ],
    )
    def test_a_derived_name_has_the_parentheses_it_needs(self, expression, name):
        assert eval(expression, {}, {"hidden": Dim("hidden", 256), "embed": Dim("embed", 128)}).name == name

    def test_a_negative_result_is_a_plain_int(self):
        assert type(Dim("hidden", 1) - 2) is int

    @pytest.mark.parametrize("operation", [operator.floordiv, operator.truediv, operator.mod, divmod])
    def test_division_by_zero_is_refused_as_for_int(self, operation):
        with pytest.raises(ZeroDivisionError):
            operation(Dim("hidden", 256), 0)
        with pytest.raises(ZeroDivisionError):
            operation(256, Dim("hidden", 0))

    def test_meets_tensors_and_arrays_as_an_int(self):
        hidden, x = Dim("hidden", 2), torch.tensor([1, 2, 3])
        assert torch.equal(hidden * x, 2 * x)
        assert torch.equal(x == hidden, x == 2)
        assert torch.equal(hidden > x, x < 2)
        assert (hidden + np.arange(3) == 2 + np.arange(3)).all()


class TestCopies:
    @given(names, sizes, st.integers(0, pickle.HIGHEST_PROTOCOL))
    @example("hidden", 256, 0)
    def test_pickles_to_an_equal_dim_of_the_same_name(self, name, size, protocol):
        for dim in (Dim(name, size), 2 * (Dim(name, size) + 1)):
            for loaded in (pickle.loads(pickle.dumps(dim, protocol)), copy.copy(dim), copy.deepcopy([dim])[0]):
                assert (type(loaded), loaded, loaded.name) == (Dim, dim, dim.name)

    def test_is_digits_in_json(self):
        hidden = Dim("hidden", 256)
        assert json.dumps({"hidden": hidden, hidden: [2 * hidden]}) == '{"hidden": 256, "256": [512]}'

    def test_loads_from_a_checkpoint_of_weights_only(self):
        buffer = io.BytesIO()
        torch.save({"width": 2 * Dim("hidden", 256)}, buffer)
        buffer.seek(0)
        assert repr(torch.load(buffer, weights_only=True)) == "{'width': 2*hidden=512}"


class TestDims:
    def test_makes_a_tuple_in_order(self):
        assert repr(dims(vocab=10_000, embed=128)) == "(vocab=10000, embed=128)"
        assert dims() == ()

    def test_refuses_what_dim_refuses(self):
        with pytest.raises(DeclarationError, match="^the size of Dim 'embed', 1.5, is of type float"):
            dims(vocab=10, embed=1.5)
        with pytest.raises(DeclarationError, match="^the name of a Dim, 'a b', is no identifier"):
            dims(**{"a b": 1})


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (DimSize, True),
        (DimSize | None, True),
        (Optional[DimSize], True),
        (None | DimSize, True),
        (Annotated[DimSize, "the width"], True),
        (int, False),
        (int | None, False),
        (Dim, False),
        (Annotated[int, "the width"], False),
        (tuple[DimSize, ...], False),
        (None, False),
        ("DimSize", False),
    ],
    ids=str,
)
def test_is_dim_size(annotation, expected):
    assert is_dim_size(annotation) is expected


def test_name_of_and_plain():
    hidden = Dim("hidden", 256)
    assert (name_of(hidden), name_of(2 * hidden), name_of(256), name_of("hidden")) == ("hidden", "2*hidden", None, None)
    assert (type(plain(hidden)), plain(hidden), plain(3), plain(True)) == (int, 256, 3, True)


class Traced(nn.Module):
    """Uses Dims in every way that a traced forward may."""

    def __init__(self, hidden: int, embed: int):
        super().__init__()
        self.hidden = hidden
        self.embed = embed

    def forward(self, x: torch.Tensor):
        hidden, embed, n = self.hidden, self.embed, x.shape[0] // int(self.hidden)
        named = hidden * 2, 2 * hidden, hidden // 2, 9 // hidden, hidden - 1, 9 - hidden, hidden + embed, 1 + hidden
        plain = hidden / 2, hidden % 3, hidden**2, 2**hidden, -hidden, abs(hidden), divmod(hidden, 3), hidden < embed
        symbolic = n * hidden, hidden * n, n + hidden, hidden - n, n // hidden, hidden % n, n % hidden
        text = f"{hidden} {hidden:>3} {str(embed)} %d" % hidden  # noqa: RUF010
        tensors = x.view(-1, hidden), x * hidden, hidden - x, x == hidden, hidden > x, torch.zeros(hidden, 2 * embed)
        return named, plain, symbolic, text, tensors, hidden == 4


def flat(nested):
    return [leaf for item in nested for leaf in flat(item)] if isinstance(nested, tuple) else [nested]


@pytest.mark.parametrize("dynamic", [False, True])
def test_traces_as_plain_ints_do(dynamic):
    named, ints = Traced(*dims(hidden=4, embed=2)), Traced(4, 2)
    torch.compiler.reset()
    compiled = torch.compile(named, fullgraph=True, backend="eager", dynamic=dynamic)
    for rows in (3, 5):
        x = torch.arange(rows * 4)
        for got, expected in zip(flat(compiled(x)), flat(ints(x)), strict=True):
            assert torch.equal(got, expected) if isinstance(got, torch.Tensor) else got == expected


def test_a_compiled_module_follows_the_size_of_its_dim():
    torch.compiler.reset()
    for size in (4, 2, 4):
        compiled = torch.compile(Traced(Dim("hidden", size), 2), fullgraph=True, backend="eager")
        assert compiled(torch.arange(8))[4][0].shape == (8 // size, size)
