"""`typed` on coroutine functions and generators."""

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager

import pytest
from jaxtyping import Float
from torch import Tensor

from dimtyped import DeclarationError, typed
from tests.helpers.calls import f32, refused

pytestmark = [pytest.mark.any_engine, pytest.mark.usefixtures("engine")]  # each test runs with both


class TestCoroutinesAndGenerators:
    def test_a_coroutine_function(self):
        @typed
        async def f(x: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
            await asyncio.sleep(0)
            return x[:2]

        async def both():
            return await asyncio.gather(f(f32(2)), f(f32(1)))

        assert [x.shape for x in asyncio.run(both())] == [(2,), (1,)]
        assert refused(lambda: asyncio.run(f(f32(2, 2)))).argument == "x"
        assert refused(lambda: asyncio.run(f(f32(3)))).argument == "return"

    def test_a_generator_function_checks_each_item(self):
        @typed
        def f(x: Float[Tensor, "n m"]) -> Iterator[Float[Tensor, "m k"]]:
            yield f32(3, 1)
            yield f32(3, 2)
            yield x

        items = f(f32(2, 3))
        assert (next(items).shape, next(items).shape) == ((3, 1), (3, 2))
        error = refused(next, items)
        assert (error.argument, error.dim, error.expected) == ("return", "m", 3)
        assert list(items) == []
        unstarted = f(f32(2))
        assert refused(next, unstarted).argument == "x"

    def test_send_throw_close_and_the_returned_value(self):
        closed = []

        @typed
        def f(x: Float[Tensor, "n"]) -> Generator[Float[Tensor, "n"], str, str]:
            said = []
            try:
                while len(said) < 3:
                    try:
                        said.append((yield x))
                    except KeyError as error:
                        said.append(f"thrown {error.args[0]}")
            finally:
                closed.append(True)
            return " ".join(map(str, said))

        generator = f(f32(2))
        next(generator)
        generator.send("sent")
        generator.throw(KeyError("in"))
        with pytest.raises(StopIteration) as stopped:
            next(generator)
        assert (stopped.value.value, closed) == ("sent thrown in None", [True])

        another = f(f32(2))
        next(another)
        another.close()
        assert closed == [True, True]
        third = f(f32(2))
        next(third)
        with pytest.raises(ValueError, match="passes through"):
            third.throw(ValueError("passes through"))
        assert len(closed) == 3

    def test_a_generator_function_without_tensors_in_its_result(self):
        @typed
        def f(x: Float[Tensor, "n"]) -> Iterator[int]:
            yield from range(len(x))

        assert list(f(f32(3))) == [0, 1, 2]
        assert refused(list, f(f32(3, 3))).argument == "x"

    def test_an_async_generator_function(self):
        events = []

        @typed
        async def f(x: Float[Tensor, "n"]) -> AsyncIterator[Float[Tensor, "n"]]:
            try:
                while True:
                    try:
                        events.append((yield x[:2]))
                    except KeyError as error:
                        events.append(str(error))
            finally:
                events.append("closed")

        async def drive():
            for _ in range(2):
                items = f(f32(2))
                assert (await anext(items)).shape == (2,)
                await items.asend("sent")
                await items.athrow(KeyError("thrown"))
                await items.aclose()

        asyncio.run(drive())
        assert events == ["sent", "'thrown'", "closed"] * 2

        async def first(items):
            return [item async for item in items]

        assert refused(lambda: asyncio.run(first(f(f32(3))))).argument == "return"
        assert events[-1] == "closed"
        assert refused(lambda: asyncio.run(first(f(f32(3, 2))))).argument == "x"

    def test_an_async_generator_that_ends(self):
        @typed
        async def f(x: Float[Tensor, "n"]) -> AsyncIterator[Float[Tensor, ""]]:
            for item in x:
                yield item

        async def all_of(items):
            return [item async for item in items]

        assert len(asyncio.run(all_of(f(f32(3))))) == 3
        assert len(asyncio.run(all_of(f(f32(2))))) == 2

    def test_a_context_manager_either_way(self):
        @contextmanager
        @typed
        def below(x: Float[Tensor, "n"]) -> Iterator[Float[Tensor, "n"]]:
            yield x[:2]

        @typed
        @contextmanager
        def above(x: Float[Tensor, "n"]) -> Iterator[Float[Tensor, "n"]]:
            yield x

        with below(f32(2)) as inner, above(f32(3)) as outer:
            assert (inner.shape, outer.shape) == ((2,), (3,))
        assert refused(lambda: below(f32(3)).__enter__()).argument == "return"
        assert refused(above, f32(3, 3)).argument == "x"

    def test_a_generator_annotated_as_a_tensor_is_a_wrong_declaration(self):
        @typed
        def f(x: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
            yield x

        with pytest.raises(DeclarationError, match=r"f: it yields, so its result must be annotated Iterator\[...\]"):
            list(f(f32(2)))
