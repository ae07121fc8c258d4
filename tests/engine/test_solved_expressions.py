"""An expression with one unknown name is solved where it is linear in it, by both engines and in `assert_dims`."""

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings, strategies as st
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from dimtyped import DeclarationError, DimensionError, DimSize, Packed, assert_dims, dims, nn, typed
from dimtyped.engine import typed_on_import
from dimtyped.engine.reference import ReferenceCheck
from dimtyped.testing import calls, fuzz, tensors


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


@typed
def halved(x: Float[Tensor, "2*batch seq"]) -> Float[Tensor, "batch seq"]:
    return x[: len(x) // 2]


@typed
def before(x: Float[Tensor, "2*batch"], y: Float[Tensor, "batch"]):
    return x, y


@typed
def after(y: Float[Tensor, "batch"], x: Float[Tensor, "2*batch"]):
    return x, y


@typed
def lower(x: Float[Tensor, "batch size-1"], y: Float[Tensor, "batch size"]):
    return x, y


@typed
def one_tensor(x: Float[Tensor, "3*size size"]):
    return x


@typed
def product(x: Float[Tensor, "rows*cols"], y: Float[Tensor, "rows"]) -> Float[Tensor, "rows cols"]:
    return x.reshape(len(y), x.numel() // max(len(y), 1))


@typed
def optional(
    x: Float[Tensor, "2*n"] | None, y: Float[Tensor, "n"] | None = None, z: Float[Tensor, "n+1"] | None = None
):
    return x, y, z


@typed
def either(x: Float[Tensor, "2*n"] | Float[Tensor, "3*n 1"], y: Float[Tensor, "n"]):
    return x, y


@typed
def listed(xs: list[Float[Tensor, "2*n"]], y: Float[Tensor, "n"]):
    return xs, y


@typed
def half_of_listed(
    xs: list[Float[Tensor, "n"]],
    half: Float[Tensor, "n//2"],
    y: Float[Tensor, "n"],
    z: Float[Tensor, "n"] | None = None,
):
    pass


@typed
def half_beside_many(xs: list[Float[Tensor, "*n a"]], half: Float[Tensor, "n//2"], y: Float[Tensor, "n"]):
    pass


@typed
def broadcast(x: Float[Tensor, "#2*n"], y: Float[Tensor, "n"]):
    return x, y


@typed
def packed(x: Packed[Float[Tensor, "2*batch seq 3"]], y: Float[Tensor, "batch"]):
    return x, y


@typed
def keywords(*, x: Float[Tensor, "2*n"], y: Float[Tensor, "n"] | None = None) -> Float[Tensor, "n"]:
    return x[::2]


@typed
def body(x: Float[Tensor, "n"], y: Tensor):
    assert_dims(y, Float[Tensor, "2*m"])
    return assert_dims(x, Float[Tensor, "m"])


@typed
def result_alone(x: Tensor) -> Float[Tensor, "2*n n"]:
    return x


class Heads(nn.Module):
    def __init__(self, heads: DimSize) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, x: Float[Tensor, "batch heads*width"]) -> Float[Tensor, "batch heads width"]:
        return x.unflatten(1, (self.heads, -1))

    def by_path(self, x: Float[Tensor, "batch*{self.heads}"]) -> Float[Tensor, "batch"]:
        return x[:: self.heads]


def pack(batch: int) -> object:
    return pack_padded_sequence(ones(2, batch, 3), torch.full((batch,), 2), enforce_sorted=False)


FITS = {
    "halved": lambda: halved(ones(6, 2)),
    "halved, nothing": lambda: halved(ones(0, 2)),
    "before": lambda: before(ones(6), ones(3)),
    "after": lambda: after(ones(3), ones(6)),
    "lower": lambda: lower(ones(2, 3), ones(2, 4)),
    "lower, nothing": lambda: lower(ones(2, 0), ones(2, 1)),
    "one tensor": lambda: one_tensor(ones(6, 2)),
    "product": lambda: product(ones(6), ones(2)),
    "product, nothing": lambda: product(ones(0), ones(0)),
    "optional": lambda: optional(ones(6), ones(3), ones(4)),
    "optional, none": lambda: optional(None, ones(3), ones(4)),
    "optional, the last alone": lambda: optional(None, None, ones(4)),
    "either, the first": lambda: either(ones(6), ones(3)),
    "either, the second": lambda: either(ones(6, 1), ones(2)),
    "listed": lambda: listed([ones(6), ones(6)], ones(3)),
    "listed, nothing": lambda: listed([], ones(3)),
    "half of listed": lambda: half_of_listed([ones(6)], ones(3), ones(6)),
    "half of listed, nothing": lambda: half_of_listed([], ones(3), ones(6)),
    "half beside many": lambda: half_beside_many([ones(2, 3)], ones(3), ones(6)),
    "half beside many, nothing": lambda: half_beside_many([], ones(3), ones(6)),
    "broadcast": lambda: broadcast(ones(6), ones(3)),
    "broadcast, 1": lambda: broadcast(ones(1), ones(3)),
    "packed": lambda: packed(pack(4), ones(2)),
    "keywords": lambda: keywords(x=ones(6)),
    "body": lambda: body(ones(3), ones(6)),
    "result alone": lambda: result_alone(ones(4, 2)),
    "heads": lambda: Heads(3)(ones(2, 6)),
    "by path": lambda: Heads(3).by_path(ones(6)),
}

REFUSED = {
    "halved": (
        lambda: halved(ones(5, 2)),
        "2*batch",
        "argument `x` does not fit: 2*batch is 5, must be a multiple of 2",
    ),
    "before": (lambda: before(ones(6), ones(4)), "batch", "batch is 4, must be 3"),
    "after": (lambda: after(ones(3), ones(8)), "2*batch", "2*batch is 8, must be 6"),
    "lower": (lambda: lower(ones(2, 3), ones(2, 3)), "size", "size is 3, must be 4"),
    "one tensor": (lambda: one_tensor(ones(5, 2)), "3*size", "3*size is 5, must be 6"),
    "product": (lambda: product(ones(6), ones(4)), "rows*cols", "rows*cols is 6, must be a multiple of rows"),
    "optional": (lambda: optional(ones(6), None, ones(3)), "n+1", "n+1 is 3, must be 4"),
    "optional, no size": (lambda: optional(None, None, ones(0)), "n+1", "n+1 is 0, must be at least 1"),
    "either": (lambda: either(ones(6, 1), ones(3)), "n", "n is 3, must be 2"),
    "listed": (lambda: listed([ones(6), ones(4)], ones(3)), "2*n", "2*n is 4, must be 6"),
    "half of listed": (lambda: half_of_listed([], ones(2), ones(6)), "n//2", "n//2 is 2, must be 3"),
    "broadcast": (lambda: broadcast(ones(5), ones(3)), "2*n", "2*n is 5, must be a multiple of 2"),
    "packed": (lambda: packed(pack(3), ones(1)), "2*batch", "2*batch is 3, must be a multiple of 2"),
    "keywords": (lambda: keywords(x=ones(6), y=ones(2)), "n", "n is 2, must be 3"),
    "body": (lambda: body(ones(2), ones(6)), "m", "m is 2, must be 3"),
    "body, no size": (lambda: body(ones(2), ones(5)), "2*m", "2*m is 5, must be a multiple of 2"),
    "result alone": (lambda: result_alone(ones(4, 3)), "2*n", "2*n is 4, must be 6"),
    "heads": (lambda: Heads(3)(ones(2, 7)), "heads*width", "heads*width is 7, must be a multiple of heads"),
    "by path": (lambda: Heads(3).by_path(ones(7)), "batch*{self.heads}", "is 7, must be a multiple of 3"),
}


@pytest.mark.parametrize("call", FITS.values(), ids=FITS)
def test_what_fits(call) -> None:
    for _ in range(2):
        call()


@pytest.mark.parametrize(("call", "dim", "text"), REFUSED.values(), ids=REFUSED)
def test_what_does_not(call, dim: str, text: str) -> None:
    for _ in range(2):
        with pytest.raises(DimensionError) as caught:
            call()
        assert caught.value.dim == dim
        assert text in str(caught.value)


@pytest.mark.any_engine
@pytest.mark.parametrize(("axis", "names"), [("a*b", "`a` and `b`"), ("n*n", "`n`"), ("a+b+batch", "`a` and `b`")])
@pytest.mark.parametrize("kind", ["argument", "optional", "result", "static method"])
def test_what_nothing_binds_is_refused_at_decoration(axis: str, names: str, kind: str) -> None:
    hint = Float[Tensor, axis]
    given = {"optional": hint | None, "result": Float[Tensor, "batch"]}.get(kind, hint)

    def function(start: Float[Tensor, "batch"], x: given): ...

    if kind == "result":
        function.__annotations__["return"] = hint
    target = type("Holder", (), {"function": staticmethod(function)}) if kind == "static method" else function
    with pytest.raises(DeclarationError) as caught:
        typed(target)
    either = names.replace(" and ", " or ")
    assert str(caught.value).partition(": ")[2] == (
        f"the axis `{axis}` can have no size: nothing binds {names}\n"
        f"  Declare {either} with typed(dims=[...]), or give a tensor an axis of that name."
    )
    assert caught.value.argument == ("return" if kind == "result" else "x")


def test_what_something_binds_is_not_refused() -> None:
    @typed
    def by_a_later_one(x: Float[Tensor, "a*b"], y: Float[Tensor, "a"]): ...

    @typed
    def by_a_result(x: Float[Tensor, "a"]) -> Float[Tensor, "b a*b"]:
        return ones(3, 6)

    @typed
    def by_an_assertion(x: Float[Tensor, "n"]) -> Float[Tensor, "a*b"]:
        assert_dims(x, Float[Tensor, "a"])
        assert_dims(x, Float[Tensor, "b"])
        return ones(4)

    @typed(dims=dims(a=2))
    def by_the_decorator(x: Float[Tensor, "a*b"]): ...

    @typed
    def by_one_that_may_be_missing(x: Float[Tensor, "a"] | None = None, y: Float[Tensor, "a*a"] | None = None): ...

    by_a_later_one(ones(6), ones(2))
    by_a_result(ones(2))
    by_the_decorator(ones(6))
    by_one_that_may_be_missing(ones(2), ones(4))


def test_parameters_that_need_each_others_names_are_checked() -> None:
    @typed
    def both(x: Float[Tensor, "a a n//2"], y: Float[Tensor, "n+a"]) -> None: ...

    for length in (7, 8):
        both(ones(3, 3, 2), ones(length))
    for length in (2, 6, 9):
        with pytest.raises(DimensionError):
            both(ones(3, 3, 2), ones(length))


def test_an_alias_that_comes_later_waits_for_the_first_call() -> None:
    scope = {"typed": typed, "Float": Float, "Tensor": Tensor}
    exec('@typed\ndef function(x: "Later"): ...\nLater = Float[Tensor, "a*b"]', scope)
    with pytest.raises(DeclarationError, match=r"a\*b"):
        scope["function"](ones(4))


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled(dynamic: bool) -> None:
    torch.compiler.reset()
    heads = torch.compile(Heads(3), fullgraph=True, backend="eager", dynamic=dynamic)
    half = torch.compile(halved, fullgraph=True, backend="eager", dynamic=dynamic)
    for batch in (2, 4):
        assert heads(ones(batch, 6)).shape == (batch, 3, 2)
        assert half(ones(2 * batch, 3)).shape == (batch, 3)
    with pytest.raises(Exception, match=r"heads\*width is 7, must be a multiple of heads"):
        heads(ones(2, 7))
    with pytest.raises(Exception, match=r"2\*batch is 5, must be a multiple of 2"):
        half(ones(5, 3))


def test_by_the_reference_engine() -> None:
    selected = "test_what_fits or test_what_does_not"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-q", __file__, "-k", selected],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"DIMTYPED": "reference"},
    )
    assert f"{len(FITS) + len(REFUSED)} passed" in done.stdout, done.stdout


# Any annotations ------------------------------------------------------------------------------------------------------

AXES = st.sampled_from(["n", "m", "2*n", "n-1", "n+m", "2*m+1", "n*m", "3", "#2*n", "m-n"])
TEXTS = st.lists(AXES, min_size=1, max_size=2).map(" ".join)


def verdict(call, *values) -> str:
    try:
        return "fits" if call(*values) is not False else "refused"
    except DimensionError:
        return "refused"
    except DeclarationError:
        return "declaration"


@settings(max_examples=60)
@given(st.lists(TEXTS, min_size=1, max_size=3), st.data())
def test_the_engines_agree(texts: list[str], data: st.DataObject) -> None:
    names = [f"x{index}" for index in range(len(texts))]
    scope = {f"hint_{name}": Float[Tensor, text] for name, text in zip(names, texts, strict=True)}
    arguments = ", ".join(f"{name}: hint_{name}" for name in names)
    exec(f"def function({arguments}): pass", scope)
    function = typed_on_import(scope["function"])
    sizes = st.integers(0, 4)
    for _ in range(3):
        values = [ones(*(data.draw(sizes) for _ in text.split())) for text in texts]
        reference = ReferenceCheck(function.__dimtyped__.signature, {})
        fast, slow = verdict(function, *values), verdict(reference.accepts, tuple(values), {})
        assert fast == slow or "declaration" in (fast, slow)
        if verdict(typed, scope["function"]) == "declaration":
            assert fast != "fits"


# Inputs ---------------------------------------------------------------------------------------------------------------


@given(tensors(Float[Tensor, "2*n n"]))
def test_tensors_are_drawn_to_it(x: Tensor) -> None:
    assert x.shape[0] == 2 * x.shape[1]


@given(st.data())
def test_calls_are_drawn_to_it(data: st.DataObject) -> None:
    for function in (halved, before, after, lower, product):
        args, kwargs = data.draw(calls(function))
        function(*args, **kwargs)


def test_fuzz_takes_it() -> None:
    fuzz(halved, max_examples=20)
    fuzz(Heads(3), max_examples=20)
