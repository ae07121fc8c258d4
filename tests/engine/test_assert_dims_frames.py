"""Where `assert_dims` finds the typed call around it; its errors; modes, and what else runs it."""

import asyncio
import gc
import inspect
import subprocess
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest
import torch
from beartype.vale import Is
from jaxtyping import Float
from torch import Tensor
from torch._dynamo.testing import CompileCounter

import dimtyped
from dimtyped import DimensionError, assert_dims, configure, typed
from dimtyped.runtime import config as _config
from tests.engine.test_assert_dims import FITTING, MISFITS
from tests.helpers.calls import ones, refuses


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
