"""`assert_dims`: in a typed call's body it shares the call's names, with either engine; elsewhere it stands alone."""

import asyncio
import gc
import inspect
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, NamedTuple

import pytest
import torch
from beartype.vale import Is
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch._dynamo.testing import CompileCounter

import dimtyped
from dimtyped import DeclarationError, Dim, DimensionError, DimSize, assert_dims, configure, dims, nn, typed
from dimtyped.runtime import config as _config


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


@pytest.fixture(params=["on", "reference"])
def engine(request):
    """Either engine, for what is decorated in the test."""
    before = _config._chosen
    configure(request.param)
    yield request.param
    configure(before)


def refuses(message: str) -> Any:
    return pytest.raises(DimensionError, match=message)


# Alone ----------------------------------------------------------------------------------------------------------------

FITTING = [
    (ones(2, 3), Float[Tensor, "batch seq"]),
    (ones(2, 2), Float[Tensor, "n n"]),
    (ones(2, 4), Float[Tensor, "n 2*n"]),
    (ones(2, 1), Float[Tensor, "n #n"]),
    (ones(), Float[Tensor, ""]),
    (ones(2), Shaped[Tensor, "..."]),
    (None, Float[Tensor, "n"] | None),
    (ones(3), Float[Tensor, "n n"] | Float[Tensor, "n"]),
    ((ones(2), ones(2, 3)), tuple[Float[Tensor, "n"], Float[Tensor, "n m"]]),
    ([ones(2), ones(2)], list[Float[Tensor, "n"]]),
    ({"a": ones(2)}, dict[str, Float[Tensor, "n"]]),
    (3, int),
    ([1, 2], list[int]),
    (ones(3), Annotated[Float[Tensor, "n"], Is[lambda x: len(x) < 5]]),
    (ones(3), Any),
]
MISFITS = [
    (ones(2), Float[Tensor, "batch seq"], "it has 1 axis, must have 2"),
    (ones(2, 3), Float[Tensor, "n n"], "n is 3, must be 2"),
    (ones(2, 3), Int[Tensor, "n m"], "its dtype is float32"),
    (ones(2, 5), Float[Tensor, "n 2*n"], r"2\*n is 5, must be 4"),
    (None, Float[Tensor, "n"], "it is None, must be a Tensor"),
    ((ones(2), ones(3)), tuple[Float[Tensor, "n"], Float[Tensor, "n"]], "n is 3, must be 2"),
    ([ones(2), ones(3)], list[Float[Tensor, "n"]], "n is 3, must be 2"),
    ("3", int, "it is '3', must be int"),
    (["a"], list[int], "list"),
    (ones(7), Annotated[Float[Tensor, "n"], Is[lambda x: len(x) < 5]], "does not fit"),
]


@pytest.mark.usefixtures("engine")
class TestAlone:
    @pytest.mark.parametrize(("value", "annotation"), FITTING, ids=lambda part: str(part)[:40])
    def test_gives_back_what_fits(self, value, annotation):
        assert assert_dims(value, annotation) is value

    @pytest.mark.parametrize(("value", "annotation", "message"), MISFITS, ids=lambda part: str(part)[:40])
    def test_refuses_what_does_not(self, value, annotation, message):
        with refuses(message):
            assert_dims(value, annotation)

    def test_shares_nothing_with_another_one(self):
        assert_dims(ones(2), Float[Tensor, "n"])
        assert_dims(ones(3), Float[Tensor, "n"])

    def test_an_expression_over_an_unknown_name_is_a_wrong_declaration(self):
        with pytest.raises(DeclarationError, match=r"2\*n"):
            assert_dims(ones(4), Float[Tensor, "2*n"])

    def test_a_placeholder_needs_a_typed_call(self):
        with pytest.raises(DeclarationError, match=r"`\{width\}` names no parameter of a typed function around"):
            assert_dims(ones(4), Float[Tensor, "{width}"])


@pytest.mark.parametrize("wrong", ["batch seq", 5, (2, 3), ones(2), torch.float32, [Float[Tensor, "n"]]], ids=str)
def test_what_is_no_annotation_is_a_wrong_declaration(wrong):
    with pytest.raises(
        DeclarationError, match="^assert_dims takes a value and its annotation, not .* as the annotation"
    ):
        assert_dims(ones(2), wrong)


# In a typed call ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("engine")
class TestInACall:
    def test_shares_the_names_of_the_arguments(self):
        @typed
        def attend(q: Float[Tensor, "batch query"], k: Float[Tensor, "batch key"], scores: Any) -> Any:
            return assert_dims(scores, Float[Tensor, "batch query key"])

        q, k = ones(2, 3), ones(2, 4)
        assert attend(q, k, ones(2, 3, 4)).shape == (2, 3, 4)
        with refuses("query is 4, must be 3; key is 3, must be 4"):
            attend(q, k, ones(2, 4, 3))

    def test_a_name_bound_there_holds_for_later_ones(self):
        @typed
        def split(x: Float[Tensor, "batch"], parts: Any) -> None:
            for part in parts:
                assert_dims(part, Float[Tensor, "batch new"])

        split(ones(2), [ones(2, 3), ones(2, 3)])
        with refuses("new is 4, must be 3"):
            split(ones(2), [ones(2, 3), ones(2, 4)])
        split(ones(2), [ones(2, 4)])

    def test_a_name_bound_there_holds_for_the_result(self):
        @typed
        def cut(x: Float[Tensor, "n"], width: int, given: int) -> Float[Tensor, "new 2*new"]:
            assert_dims(x[:width], Float[Tensor, "new"])
            return ones(given, 2 * given)

        assert cut(ones(5), 3, 3).shape == (3, 6)
        with refuses(r"cut: the result does not fit: new is 4, must be 3(.|\n)*new += 3  bound by assert_dims"):
            cut(ones(5), 3, 4)

    def test_a_name_that_the_call_left_unbound(self):
        @typed
        def f(x: Float[Tensor, "n"] | None, y: Tensor, z: Tensor) -> Float[Tensor, "n"]:
            assert_dims(y, Float[Tensor, "n"])
            return z

        f(None, ones(2), ones(2))
        f(ones(2), ones(2), ones(2))
        with refuses("n is 3, must be 2"):
            f(ones(2), ones(3), ones(3))
        with refuses("the result does not fit: n is 3, must be 2"):
            f(None, ones(2), ones(3))

    def test_expressions_and_placeholders_read_the_call(self):
        @typed
        def f(x: Float[Tensor, "n"], y: Tensor, width: int = 3) -> None:
            assert_dims(y, Float[Tensor, "2*n {width}"])

        f(ones(2), ones(4, 3))
        f(ones(2), ones(4, 5), 5)
        with refuses(r"\{width\} is 5, must be 3"):
            f(ones(2), ones(4, 5))
        with refuses(r"2\*n is 3, must be 4"):
            f(ones(2), ones(3, 3))

    def test_several_axes(self):
        @typed
        def f(x: Float[Tensor, "*batch n"], y: Tensor, z: Tensor) -> Float[Tensor, "*other"]:
            assert_dims(y, Float[Tensor, "*batch m"])
            assert_dims(y[..., 0], Float[Tensor, "*#batch"])
            assert_dims(y, Float[Tensor, "*other"])
            return z

        f(ones(2, 3, 4), ones(2, 3, 5), ones(2, 3, 5))
        with refuses(r"\*batch is \(2, 5\), must be \(2, 3\)"):
            f(ones(2, 3, 4), ones(2, 5, 5), ones(2, 5, 5))
        with refuses(r"\*other is \(2, 3\), must be \(2, 3, 5\)"):
            f(ones(2, 3, 4), ones(2, 3, 5), ones(2, 3))

    def test_broadcasting_axes_of_the_call(self):
        @typed
        def f(x: Float[Tensor, "*#batch n"], y: Tensor) -> None:
            assert_dims(y, Float[Tensor, "*#batch n"])
            assert_dims(y, Float[Tensor, "#n *_"])

        f(ones(2, 1, 4), ones(1, 3, 4))
        with refuses(r"\*batch"):
            f(ones(2, 4), ones(3, 4))

    def test_fixed_names(self):
        @typed(dims=dims(embed=4))
        def f(x: Tensor) -> None:
            assert_dims(x, Float[Tensor, "batch embed"])

        f(ones(2, 4))
        with refuses(r"embed is 5, must be 4(.|\n)*fixed by typed"):
            f(ones(2, 5))

    def test_names_that_a_module_declares(self):
        class Plain(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden = Dim("hidden", 4)

            @typed
            def forward(self, x: Float[Tensor, "batch _"]) -> Float[Tensor, "..."]:
                return assert_dims(x, Float[Tensor, "batch hidden"])

        Plain()(ones(2, 4))
        with refuses(r"assert_dims in Plain.forward: .*hidden is 5, must be 4(.|\n)*declared by Plain.hidden"):
            Plain()(ones(2, 5))

    def test_names_that_a_module_of_ours_declares(self):
        class Net(nn.Module):
            def __init__(self, embed: DimSize, hidden: DimSize):
                super().__init__()
                self.up = nn.Linear(embed, hidden)

            def forward(self, x: Float[Tensor, "batch embed"], cut: int) -> Float[Tensor, "batch _"]:
                return assert_dims(self.up(x)[:, :cut], Float[Tensor, "batch hidden"])

        Net(4, 8)(ones(2, 4), 8)
        with refuses(r"hidden is 7, must be 8(.|\n)*hidden = 8  declared by"):
            Net(4, 8)(ones(2, 4), 7)

    def test_a_declared_name_that_changed_unseen(self):
        class Plain(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden = Dim("hidden", 4)

            @typed
            def forward(self, x: Float[Tensor, "batch _"]) -> Float[Tensor, "..."]:
                return assert_dims(x, Float[Tensor, "batch hidden"])

        module = Plain()
        module(ones(2, 4))
        module.hidden = Dim("hidden", 5)
        module(ones(2, 5))
        with refuses("hidden is 4, must be 5"):
            module(ones(2, 4))

    def test_a_name_that_could_mean_two_sizes(self):
        class Part(nn.Module):
            def __init__(self, hidden: DimSize):
                super().__init__()

        class Whole(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = Part(4), Part(5)

            def forward(self, x: Float[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
                return assert_dims(x, Float[Tensor, "batch hidden"])

        with pytest.raises(
            DeclarationError, match="`hidden` in the annotations could mean more than one size: a.hidden=4"
        ):
            Whole()(ones(2, 4))

    def test_an_annotation_that_only_jaxtyping_can_check(self):
        @typed
        def f(x: Float[Tensor, "n"], y: Tensor) -> None:
            assert_dims(y, Annotated[Float[Tensor, "n"], Is[lambda y: y.sum() > 0]])

        f(ones(2), ones(2))
        for wrong in (-ones(2), ones(3)):
            with refuses("assert_dims in .*f: argument `y` does not fit Annotated"):
                f(ones(2), wrong)

    def test_records(self):
        class Pair(NamedTuple):
            left: Float[Tensor, "n"]
            right: Float[Tensor, "m"]

        @typed
        def f(x: Float[Tensor, "n"], pair: Any) -> Float[Tensor, "m"]:
            return assert_dims(pair, Pair).right

        f(ones(2), Pair(ones(2), ones(3)))
        with refuses("n is 3, must be 2"):
            f(ones(2), Pair(ones(3), ones(3)))

    def test_an_unannotated_function_can_share_too(self):
        @typed
        def f(x, y):
            assert_dims(x, Float[Tensor, "n"])
            assert_dims(y, Float[Tensor, "n"])

        f(ones(2), ones(2))
        with refuses("n is 3, must be 2"):
            f(ones(2), ones(3))

    def test_a_refused_one_binds_nothing(self):
        @typed
        def f(x: Tensor, y: Tensor) -> None:
            with pytest.raises(DimensionError):
                assert_dims(x, Float[Tensor, "n n"])
            assert_dims(y, Float[Tensor, "n"])

        f(ones(2, 3), ones(7))


# Where it finds the call ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("engine")
class TestFrames:
    def test_a_function_called_by_the_body_stands_alone(self):
        def helper(y: Tensor) -> Tensor:
            return assert_dims(y, Float[Tensor, "n"])

        @typed
        def f(x: Float[Tensor, "n"]) -> None:
            assert_dims(x, Float[Tensor, "n"])
            helper(ones(5))

        f(ones(2))

    def test_comprehensions_and_lambdas_belong_to_the_body(self):
        @typed
        def f(x: Float[Tensor, "n"], ys: Any) -> list[Tensor]:
            list(map(lambda y: assert_dims(y, Float[Tensor, "n"]), ys))  # noqa: C417
            return [assert_dims(y, Float[Tensor, "n"]) for y in ys]

        f(ones(2), [ones(2)])
        with refuses("n is 3, must be 2"):
            f(ones(2), [ones(3)])

    def test_a_decorator_may_lie_between(self):
        @typed
        @torch.no_grad()
        def f(x: Float[Tensor, "n"], y: Tensor) -> None:
            assert_dims(y, Float[Tensor, "n"])

        f(ones(2), ones(2))
        with refuses("n is 3, must be 2"):
            f(ones(2), ones(3))

    def test_under_another_name(self):
        check = assert_dims

        @typed
        def by_attribute(x: Float[Tensor, "n"], y: Tensor) -> None:
            dimtyped.assert_dims(y, Float[Tensor, "n"])

        @typed
        def by_closure(x: Float[Tensor, "n"], y: Tensor) -> None:
            check(y, Float[Tensor, "n"])

        for f in (by_attribute, by_closure, by_global):
            with refuses("n is 3, must be 2"):
                typed(f)(ones(2), ones(3))

    def test_recursion(self):
        @typed
        def f(x: Float[Tensor, "n"], deep: int) -> None:
            assert_dims(ones(len(x), deep), Float[Tensor, "n m"])
            if deep:
                f(ones(len(x) + 1), deep - 1)
            assert_dims(ones(len(x), deep), Float[Tensor, "n m"])

        f(ones(2), 3)

    def test_threads(self):
        gate = threading.Barrier(4)
        failed: list[BaseException] = []

        @typed
        def f(x: Float[Tensor, "n"]) -> None:
            for _ in range(20):
                gate.wait()
                assert_dims(ones(len(x)), Float[Tensor, "n"])

        def run(size: int) -> None:
            try:
                f(ones(size))
            except BaseException as error:  # noqa: BLE001  # told below
                failed.append(error)

        threads = [threading.Thread(target=run, args=(size,)) for size in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []

    def test_coroutines_keep_their_names_apart(self):
        @typed
        async def f(x: Float[Tensor, "n"], y: Tensor) -> Float[Tensor, "m"]:
            for _ in range(3):
                await asyncio.sleep(0)
                assert_dims(y, Float[Tensor, "n"])
                assert_dims(y, Float[Tensor, "m"])
            return y

        async def both() -> None:
            await asyncio.gather(f(ones(2), ones(2)), f(ones(3), ones(3)))

        asyncio.run(both())
        with refuses("n is 3, must be 2"):
            asyncio.run(f(ones(2), ones(3)))

    def test_generators_keep_their_names_apart(self):
        @typed
        def f(x: Float[Tensor, "n"], last: int) -> Iterator[Float[Tensor, "n m"]]:
            assert_dims(ones(len(x), 4), Float[Tensor, "n m"])
            yield ones(len(x), 4)
            yield ones(len(x), last)

        for pair in zip(f(ones(2), 4), f(ones(3), 4), strict=True):
            assert [len(item) for item in pair] == [2, 3]
        with refuses("m is 5, must be 4"):
            list(f(ones(2), 5))

    def test_async_generators(self):
        @typed
        async def f(x: Float[Tensor, "n"], last: int) -> AsyncIterator[Float[Tensor, "m"]]:
            assert_dims(ones(len(x), 4), Float[Tensor, "n m"])
            yield ones(4)
            yield assert_dims(ones(last), Float[Tensor, "m"])

        async def run(last: int) -> int:
            return len([item async for item in f(ones(2), last)])

        assert asyncio.run(run(4)) == 2
        with refuses("m is 5, must be 4"):
            asyncio.run(run(5))

    def test_keeps_no_tensor(self):
        seen: list[weakref.ref[Tensor]] = []

        @typed
        def f(x: Float[Tensor, "n"], wrong: int) -> None:
            y = ones(len(x) + wrong)
            seen.append(weakref.ref(y))
            assert_dims(y, Float[Tensor, "n"])

        f(ones(2), 0)
        with refuses("n is 3, must be 2"):
            f(ones(2), 1)
        gc.collect()  # jaxtyping's own errors hold their frames
        assert [reference() for reference in seen] == [None, None]


shorter = assert_dims


def by_global(x: Float[Tensor, "n"], y: Tensor) -> None:
    shorter(y, Float[Tensor, "n"])


# Errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("engine")
def test_the_error_tells_as_much_as_one_about_an_argument():
    @typed
    def attend(q: Float[Tensor, "batch query"], k: Float[Tensor, "batch key"]) -> None:
        assert_dims(q[:, :1], Float[Tensor, "batch one"])
        assert_dims(
            k[:, :, None] * ones(2),
            Float[Tensor, "batch query one"],
        )

    with pytest.raises(DimensionError) as caught:
        attend(ones(2, 3), ones(2, 4))
    assert str(caught.value) == inspect.cleandoc(
        """
        assert_dims in attend: argument `k[:, :, None] * ones(2)` does not fit: query is 4, must be 3; one is 2, must be 1

            k[:, :, None] * ones(2) Float[Tensor, "batch query one"]
            got                     float32 (2, 4, 2)
                                                ^  ^ query = 3, one = 1
            query = 3  from `q` (2, 3)
            one   = 1  bound by an assert_dims before
            batch = 2  from `q` (2, 3)
        """
    ).replace("attend:", f"{attend.__qualname__.rpartition('<locals>.')[2]}:")
    error = caught.value
    assert (error.where, error.argument, error.dim) == ("attend", "k[:, :, None] * ones(2)", "query")
    assert (error.expected, error.actual) == (3, 4)
    assert error.bindings == {"batch": 2, "query": 3, "key": 4, "one": 1}


def test_outside_a_typed_call_the_error_names_the_function():
    def project(weights: Tensor) -> None:
        assert_dims(weights, Float[Tensor, "n n"])

    with refuses("^assert_dims in project: argument `weights` does not fit: n is 3, must be 2"):
        project(ones(2, 3))


def test_code_without_source():
    with refuses("^assert_dims: argument `x` does not fit: n is 3, must be 2"):
        exec("assert_dims(y, hint)", {"assert_dims": assert_dims, "y": ones(2, 3), "hint": Float[Tensor, "n n"]})


# Modes, and what else runs it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("environment", [{"DIMTYPED": "off"}, {"JAXTYPING_DISABLE": "1"}])
def test_off_looks_at_nothing(environment, monkeypatch):
    monkeypatch.delenv("DIMTYPED", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code = "from dimtyped import assert_dims; print(assert_dims(5, 'nothing'))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "5\n"


def test_configure_switches_it():
    before = _config._chosen
    try:
        configure("off")
        assert assert_dims(5, str) == 5
    finally:
        configure(before)
    with refuses("it is 5, must be str"):
        assert_dims(5, str)


def test_annotations_made_anew_at_each_call_leave_nothing_behind():
    from dimtyped.engine import assertions as _assert  # its cache is looked at

    assert_dims([ones(2)], list[Float[Tensor, "some axes"]] | None | list[Float[Tensor, "axis"]])
    before = len(_assert._checks)
    for _ in range(600):
        assert_dims(ones(2, 3), Float[Tensor, "batch seq"])
        assert_dims([ones(2)], list[Float[Tensor, "some axes"]] | None | list[Float[Tensor, "axis"]])
    assert len(_assert._checks) <= before + 1
    assert len(_assert._known) <= _assert._KEPT


def attend(q: Float[Tensor, "batch query"], k: Float[Tensor, "batch key"]) -> Float[Tensor, "batch query key"]:
    scores = assert_dims(q[:, :, None] * k[:, None], Float[Tensor, "batch query key"])
    return assert_dims(scores * 2, Float[Tensor, "*batch 2*n"] | Float[Tensor, "batch query {q}"])


@pytest.mark.usefixtures("engine")
class TestCompiled:
    @pytest.fixture(autouse=True)
    def _fresh(self):
        torch._dynamo.reset()
        yield
        torch._dynamo.reset()

    @pytest.mark.parametrize("dynamic", [None, True])
    def test_as_many_graphs_and_ops_as_without(self, dynamic):
        def plain(q: Tensor, k: Tensor) -> Tensor:
            return q[:, :, None] * k[:, None] * 2

        def count(function: Callable[..., Tensor]) -> tuple[int, int]:
            torch._dynamo.reset()
            counter = CompileCounter()
            compiled = torch.compile(function, backend=counter, fullgraph=True, dynamic=dynamic)
            for batch, query, key in ((2, 3, 4), (5, 3, 4), (5, 6, 7), (5, 1, 7)):
                assert compiled(ones(batch, query), ones(batch, key)).shape == (batch, query, key)
            return counter.frame_count, counter.op_count

        assert count(typed(attend)) == count(plain) == count(attend)

    def test_checks_alone(self):
        @typed
        def f(x: Float[Tensor, "n"], y: Tensor) -> Tensor:
            return assert_dims(y, Float[Tensor, "m m"]) + 1

        with refuses(r"assert_dims in .*: argument `x` does not fit: m is 3, must be 2"):
            torch.compile(f, backend="eager", fullgraph=True)(ones(2), ones(2, 3))
        with refuses(r"assert_dims in f: argument `y` does not fit: m is 3, must be 2"):
            torch.compile(f, backend="eager")(ones(2), ones(2, 3))

    @pytest.mark.parametrize(("value", "annotation"), FITTING[:11], ids=lambda part: str(part)[:40])
    def test_takes_what_fits(self, value, annotation):
        compiled = torch.compile(lambda x, v: (x + 1, assert_dims(v, annotation)), backend="eager", fullgraph=True)
        assert compiled(ones(2), value)[0].sum() == 4

    @pytest.mark.parametrize(("value", "annotation", "message"), MISFITS[:7], ids=lambda part: str(part)[:40])
    def test_refuses_what_does_not(self, value, annotation, message):
        compiled = torch.compile(lambda x, v: (x + 1, assert_dims(v, annotation)), backend="eager", fullgraph=True)
        with refuses(message):
            compiled(ones(2), value)

    def test_an_annotation_that_only_jaxtyping_can_check_breaks_the_graph(self):
        hint = Annotated[Float[Tensor, "n"], Is[lambda x: len(x) < 5]]
        compiled = torch.compile(lambda x: assert_dims(x + 1, hint) * 2, backend="eager")
        assert compiled(ones(2)).sum() == 8
        with refuses("does not fit Annotated"):
            compiled(ones(7))


def test_symbolic_trace_passes_proxies_through():
    class Net(torch.nn.Module):
        @typed
        def forward(self, x: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
            return assert_dims(x + 1, Float[Tensor, "n"])

    assert torch.fx.symbolic_trace(Net())(ones(2)).sum() == 4
