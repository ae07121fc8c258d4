"""A typed function is a plain Python function to everything that looks at one."""

import asyncio
import contextlib
import copy
import gc
import inspect
import io
import linecache
import multiprocessing
import pickle
import pydoc
import sys
import threading
import traceback
import types
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cloudpickle
import joblib
import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from dimtyped import DeclarationError, Dim, DimensionError, configure, typed
from dimtyped.runtime import config as _config

ENGINES = ["on", "reference"]


@pytest.fixture(params=ENGINES, autouse=True)
def _engine(request):
    """Each test runs with each engine; what is typed at the top of this file has the one of DIMTYPED."""
    before = _config._chosen
    configure(request.param)
    yield
    configure(before)


@typed
def scaled(x: Float[Tensor, "batch hidden"], by: float = 2.0, *, bias: Float[Tensor, "hidden"] | None = None):
    """Scales, and adds a bias.

    Args:
        x: What to scale.
    """
    return x * by if bias is None else x * by + bias


class Model(nn.Module):
    def __init__(self, hidden: int = 3):
        super().__init__()
        self.hidden = Dim("hidden", hidden)

    @typed
    def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch"]:
        return x.sum(1)


@typed
@dataclass
class Batch:
    x: Float[Tensor, "batch"]
    y: Float[Tensor, "batch"]


def f32(*shape: int) -> Tensor:
    return torch.zeros(shape)


def refused(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> DimensionError:
    with pytest.raises(DimensionError) as caught:
        function(*arguments, **keywords)
    return caught.value


class TestIntrospection:
    def test_it_is_a_plain_function_with_the_original_s_face(self):
        def f(x: Float[Tensor, "n"], /, y: int = 3, *, z: str = "z") -> Float[Tensor, "n"]:
            """Does nothing."""
            return x

        f.mark = "kept"
        wrapped = typed(f)
        for _ in range(2):  # before the first call and after it
            assert type(wrapped) is types.FunctionType
            assert wrapped.__wrapped__ is f
            for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__", "mark"):
                assert getattr(wrapped, name) == getattr(f, name)
            assert inspect.signature(wrapped) == inspect.signature(f)
            assert inspect.getsource(wrapped) == inspect.getsource(f)
            assert inspect.unwrap(wrapped) is f
            wrapped(f32(2))

    def test_help_shows_signature_and_docstring(self):
        text = pydoc.plain(pydoc.render_doc(scaled))
        assert "scaled(x: " in text
        assert "by: float = 2.0, *, bias: " in text
        assert "Scales, and adds a bias." in text

    def test_the_kind_of_function_stays(self):
        @typed
        async def coroutine(x: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
            return x

        @typed
        def generator(x: Float[Tensor, "n"]) -> Iterator[Float[Tensor, "n"]]:
            yield x

        @typed
        async def async_generator(x: Float[Tensor, "n"]) -> AsyncIterator[Float[Tensor, "n"]]:
            yield x

        async def run():
            await coroutine(f32(2))
            list(generator(f32(2)))
            return [item async for item in async_generator(f32(2))]

        for _ in range(2):
            assert inspect.iscoroutinefunction(coroutine)
            assert asyncio.iscoroutinefunction(coroutine)
            assert inspect.isgeneratorfunction(generator)
            assert inspect.isasyncgenfunction(async_generator)
            assert not inspect.iscoroutinefunction(scaled)
            assert not inspect.isgeneratorfunction(scaled)
            asyncio.run(run())

    def test_the_source_of_the_check_can_be_read(self):
        if _config.mode() == "reference":
            pytest.skip("the reference engine writes no source")

        @typed
        def f(x: Float[Tensor, "n"]): ...

        f(f32(1))
        assert "isinstance(x, " in "".join(linecache.getlines(f.__code__.co_filename))

    def test_marks_of_torchdynamo_stay_with_the_inner_function(self):
        def f(x: Float[Tensor, "n"]):
            return x

        disabled = torch.compiler.disable(f)
        wrapped = typed(disabled)
        assert not any(name.startswith("_torchdynamo") for name in vars(wrapped))
        assert wrapped(f32(2)).shape == (2,)
        assert refused(wrapped, f32(2, 2)).argument == "x"

    def test_disabled_outside(self):
        @torch.compiler.disable
        @typed
        def f(x: Float[Tensor, "n"]):
            return x

        assert f(f32(2)).shape == (2,)
        assert refused(f, f32(2, 2)).argument == "x"


class TestCopies:
    """Pickled by name or by value, copied, sent to another process: always checked, always itself."""

    @pytest.mark.parametrize("called", [False, True], ids=["before the first call", "after it"])
    @pytest.mark.parametrize("through", ["cloudpickle", "joblib"])
    def test_a_local_function_by_value(self, through, called):
        width = 3

        @typed
        def f(
            x: Float[Tensor, "n {size}"], size: int = 3, *, y: Float[Tensor, "n"] | None = None
        ) -> Float[Tensor, "n"]:
            return x.sum(1) * width

        if called:
            f(f32(2, 3))
            f(f32(2, 2), 2, y=f32(2))
        loaded = pickle.loads(cloudpickle.dumps(f)) if through == "cloudpickle" else through_joblib(f)
        for function in (f, loaded):
            assert function(f32(2, 3)).shape == (2,)
            assert function(f32(2, 2), 2, y=f32(2)).shape == (2,)
            assert refused(function, f32(2, 3), y=f32(3)).argument == "y"
            assert refused(function, f32(2, 4)).argument == "x"
        assert inspect.signature(loaded) == inspect.signature(f)

    def test_a_function_by_name(self):
        assert pickle.loads(pickle.dumps(scaled)) is scaled
        assert copy.deepcopy(scaled) is scaled
        assert refused(pickle.loads(pickle.dumps(scaled)), f32(2)).argument == "x"

    @pytest.mark.parametrize(
        "copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)), lambda x: through_joblib(x)]
    )
    def test_a_module_and_its_methods(self, copied):
        model = Model()
        model(f32(2, 3))
        other = copied(model)
        assert other(f32(2, 3)).shape == (2,)
        error = refused(other, f32(2, 4))
        assert (error.dim, error.expected) == ("hidden", 3)
        method = copied(model.forward)
        assert method(f32(2, 3)).shape == (2,)
        assert refused(method, f32(2, 4)).dim == "hidden"

    @pytest.mark.parametrize("called", [False, True])
    def test_a_local_module_by_value(self, called):
        class Local(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden = Dim("hidden", 3)

            @typed
            def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch"]:
                return x.sum(1)

        model = Local()
        if called:
            model(f32(2, 3))
        loaded = pickle.loads(cloudpickle.dumps(model))
        assert loaded(f32(2, 3)).shape == (2,)
        assert refused(loaded, f32(2, 4)).expected == 3
        loaded.other = Dim("other", 2)  # other names: another variant of the check
        assert loaded(f32(2, 3)).shape == (2,)
        assert refused(loaded, f32(2, 4)).expected == 3

    def test_a_module_by_torch_save(self):
        buffer = io.BytesIO()
        torch.save(Model(), buffer)
        buffer.seek(0)
        assert refused(torch.load(buffer, weights_only=False), f32(2, 4)).dim == "hidden"

    def test_a_dataclass(self):
        batch = copy.deepcopy(Batch(f32(2), f32(2)))
        assert pickle.loads(pickle.dumps(batch)).x.shape == (2,)
        assert refused(Batch, f32(2), f32(3)).dim == "batch"

    def test_in_another_process(self):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(scaled, (f32(2, 3),)).shape == (2, 3)
            error = refused(pool.apply, scaled, (f32(2),))
        assert error.argument == "x"

    def test_an_error_pickles_and_holds_no_tensor(self):
        error = refused(scaled, f32(2, 3), bias=f32(4))
        error.__traceback__ = None
        loaded = pickle.loads(pickle.dumps(error))
        assert (str(loaded), vars(loaded)) == (str(error), vars(error))
        assert loaded.bindings == {"batch": 2, "hidden": 3}
        assert not any(isinstance(held, Tensor) for held in reachable(error))


def through_joblib(value: Any) -> Any:
    """What another process of joblib's gives back, which pickles by value what is local."""
    return joblib.Parallel(n_jobs=2, backend="loky")([joblib.delayed(same)(value)])[0]


def same(value: Any) -> Any:
    return value


def reachable(error: BaseException) -> list[Any]:
    """All that an error's own fields lead to."""
    found: list[Any] = []
    waiting: list[Any] = [vars(error), error.args]
    while waiting and len(found) < 1_000:
        value = waiting.pop()
        found.append(value)
        if isinstance(value, dict | list | tuple):
            waiting += gc.get_referents(value)
    return found


class TestThreads:
    @pytest.mark.any_engine  # it runs with both
    def test_eight_at_once_race_on_the_first_call(self):
        """Each thread has sizes of its own, and modules that declare different names: nothing is shared."""
        for _ in range(10):

            class Local(nn.Module):
                def __init__(self, names):
                    super().__init__()
                    for name, size in names.items():
                        setattr(self, name, Dim(name, size))

                @typed
                def forward(
                    self, x: Float[Tensor, "batch hidden"], y: Float[Tensor, "batch"]
                ) -> Float[Tensor, "hidden"]:
                    return x.sum(0)

            @typed
            def f(x: Float[Tensor, "n m"], y: Float[Tensor, "m"] | None = None) -> Float[Tensor, "m n"]:
                return x.T

            models = [Local({"hidden": 5, f"other_{i % 3}": i}) for i in range(8)]
            start = threading.Barrier(8)

            def work(index, f=f, models=models, start=start):
                start.wait()
                for size in range(1, 6):
                    assert f(f32(size, index + 1), f32(index + 1)).shape == (index + 1, size)
                    assert refused(f, f32(size, index + 1), f32(index + 2)).bindings["n"] == size
                    assert models[index](f32(size, 5), f32(size)).shape == (5,)
                    assert refused(models[index], f32(size, 4), f32(size)).expected == 5
                return True

            with ThreadPoolExecutor(8) as pool:
                assert all(pool.map(work, range(8)))

    def test_recursion(self):
        @typed
        def halved(x: Float[Tensor, "n"]) -> Float[Tensor, "m"]:
            return x if len(x) < 2 else halved(x[: len(x) // 2])

        assert halved(f32(9)).shape == (1,)

        @typed
        def shrinking(x: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
            inner = shrinking(x[1:, 1:]) if len(x) else x
            return x if len(inner) < 2 else inner

        error = refused(shrinking, f32(4, 4))
        assert (error.argument, error.expected) == ("return", 4) or error.bindings["n"] == 3

    def test_a_call_within_a_check_s_own_argument(self):
        assert scaled(scaled(f32(2, 3))).shape == (2, 3)


@pytest.mark.any_engine  # each runs with both
class TestMemory:
    """No tensor outlives its last user: reference counting alone frees it, before the next line runs."""

    @pytest.fixture(autouse=True)
    def _no_garbage_collection(self):
        gc.collect()
        gc.disable()
        yield
        gc.enable()

    @pytest.mark.parametrize("first", [True, False], ids=["first call", "later call"])
    def test_after_a_passed_check(self, first):
        @typed
        def f(
            x: Float[Tensor, "n m"], y: list[Float[Tensor, "n"]], z: Float[Tensor, "{y}"] | None = None
        ) -> Float[Tensor, "m"]:
            return x[0]

        if not first:
            f(f32(2, 3), [f32(2)])
        x, y = f32(2, 3), f32(2)
        seen = [weakref.ref(x), weakref.ref(y), weakref.ref(f(x, [y]))]
        del x, y
        assert [ref() for ref in seen] == [None, None, None]

    @pytest.mark.parametrize("first", [True, False], ids=["first call", "later call"])
    @pytest.mark.parametrize("wrong", ["size", "rank", "dtype", "item", "return"])
    def test_after_a_failed_check(self, wrong, first):
        @typed
        def f(x: Float[Tensor, "n m"], y: list[Float[Tensor, "n"]]) -> Float[Tensor, "m"]:
            return x if wrong == "return" else x[0]

        if not first and wrong != "return":
            f(f32(2, 3), [f32(2)])
        x = {"size": f32(3, 3), "rank": f32(2), "dtype": f32(2, 3).int()}.get(wrong, f32(2, 3))
        y = f32(9) if wrong == "item" else f32(2)
        seen = [weakref.ref(x), weakref.ref(y)]
        text = ""
        try:
            f(x, [y])
        except DimensionError as error:
            text = str(error)
        assert text
        del x, y
        assert [ref() for ref in seen] == [None, None]

    @pytest.mark.parametrize("width", [3, 4], ids=["passed", "failed"])
    def test_after_a_module_s_check(self, width):
        model = nn.Sequential(Model())
        x = f32(2, width)
        seen = weakref.ref(x)
        with contextlib.suppress(DimensionError):
            model(x)
        del x
        assert seen() is None

    def test_a_function_and_its_check_are_freed_together(self):
        @typed
        def f(x: Float[Tensor, "n"]):
            return x

        f(f32(2))
        seen = weakref.ref(f)
        del f
        gc.collect()  # a recursive function, which is what the wrapper is, is freed here
        assert seen() is None

    def test_a_local_tensor_named_like_an_axis_is_not_kept(self):
        """String annotations are resolved with what stands around the function: types, and never a tensor."""
        batch = f32(2)
        seen = weakref.ref(batch)

        @typed
        def f(x: "Float[Tensor, 'batch']"):
            return x

        f(batch)
        del batch
        assert seen() is None
        assert f(f32(3)).shape == (3,)


class TestTracebacks:
    """A user sees their own line last, and at most one frame of ours below it."""

    @pytest.mark.parametrize("first", [True, False], ids=["first call", "later call"])
    @pytest.mark.parametrize("wrong", ["argument", "item", "return"])
    def test_of_a_function(self, wrong, first):
        @typed
        def f(x: Float[Tensor, "n"], y: list[Float[Tensor, "n"]]) -> Float[Tensor, "n"]:
            return f32(7) if wrong == "return" else x

        if not first:
            with contextlib.suppress(DimensionError):
                f(f32(2), [])
        call = {"argument": (f32(2, 2), []), "item": (f32(2), [f32(3)]), "return": (f32(2), [])}[wrong]
        assert frames_of_ours(refused(f, *call)) == 0

    @pytest.mark.parametrize("first", [True, False], ids=["first call", "later call"])
    def test_of_a_module(self, first):
        model = Model()
        if not first:
            model(f32(2, 3))
        assert frames_of_ours(refused(model.forward, f32(2, 4))) == 0

    def test_of_a_wrong_declaration(self):
        @typed
        def f(x: Float[Tensor, "n+m"], y: Float[Tensor, "n m"] | None = None): ...

        with pytest.raises(DeclarationError) as caught:
            f(f32(2))
        assert frames_of_ours(caught.value) == 0
        if _config.mode() != "reference":  # which shows what jaxtyping has said
            assert "direct cause" not in "".join(traceback.format_exception(caught.value))

    def test_no_context_is_shown(self):
        """What the check itself went through is no concern of a user's."""

        @typed
        def f(x: Float[Tensor, "n m"]) -> Float[Tensor, "n//m"]:
            return x

        error = refused(f, f32(2, 0))
        text = "".join(traceback.format_exception(error))
        assert "During handling" not in text
        assert "direct cause" not in text
        assert text.count("Traceback") == 1


def frames_of_ours(error: BaseException) -> int:
    """How many frames below the user's line are the package's."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    mine = max(index for index, file in enumerate(files) if file == __file__)
    return len(files) - 1 - mine


def test_the_wrapper_costs_no_recursion_depth_of_its_own():
    @typed
    def down(x: Float[Tensor, ""], left: int) -> int:
        return 0 if left == 0 else 1 + down(x, left - 1)

    if _config.mode() == "reference":
        assert down(f32(), 20) == 20
        return
    down(f32(), 1)
    limit = sys.getrecursionlimit()
    assert down(f32(), limit // 2 - 100) == limit // 2 - 100


def test_ints_that_torch_has_no_room_for_do_not_upset_the_diagnosis():
    @typed
    def f(x: Int[Tensor, "n"], seed: int): ...

    assert refused(f, f32(2), 2**80).argument == "x"
