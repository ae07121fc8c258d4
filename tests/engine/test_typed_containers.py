"""`typed` with containers of tensors, and hints that hold no tensor."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Generic,
    List,
    NamedTuple,
    NewType,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    Union,
)

import numpy as np
import pytest
import torch
from beartype.vale import Is
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from dimtyped import Dim, typed
from tests.helpers.calls import f32, refused

pytestmark = [pytest.mark.any_engine, pytest.mark.usefixtures("engine")]  # each test runs with both


class TestContainers:
    def test_several_arguments_of_which_any_will_do(self):
        @typed
        def f(*parts: Any | Float[Tensor, "n"], **named: Any | None) -> None: ...

        f(1, f32(2), name=3)

    def test_optional_and_none(self):
        @typed
        def f(x: Float[Tensor, "n"] | None, y: Float[Tensor, "n"] | None) -> None: ...

        f(None, None)
        f(None, f32(3))
        assert refused(f, f32(2), f32(3)).dim == "n"
        assert refused(f, 3, None).argument == "x"

    def test_a_union_takes_the_option_that_fits(self):
        @typed
        def f(x: Float[Tensor, "n"] | Float[Tensor, "n m"] | Int[Tensor, ""], y: Float[Tensor, "n"]): ...

        f(f32(2), f32(2))
        f(f32(2, 5), f32(2))
        f(torch.tensor(3), f32(7))
        assert refused(f, f32(2, 5), f32(3)).argument == "y"
        assert refused(f, f32(2, 5, 6), f32(2)).argument == "x"

    def test_a_refused_option_binds_nothing(self):
        @typed
        def f(x: Float[Tensor, "n m m"] | Float[Tensor, "m _ k"], y: Float[Tensor, "n"], z: Float[Tensor, "k"]): ...

        f(f32(2, 3, 4), f32(9), f32(4))
        f(f32(2, 3, 3), f32(2), f32(9))
        assert refused(f, f32(2, 3, 4), f32(9), f32(5)).argument == "z"

    def test_a_tuple(self):
        @typed
        def f(x: tuple[Float[Tensor, "n"], Float[Tensor, "n m"], int]) -> tuple[Float[Tensor, "m"], int]:
            return f32(x[2]), 3

        f((f32(2), f32(2, 4), 4))
        assert str(refused(f, (f32(2), f32(3, 4), 4))).startswith("f: argument `x[1]` does not fit: n is 3, must be 2")
        assert refused(f, (f32(2), f32(2, 4))).argument == "x"
        assert refused(f, [f32(2), f32(2, 4), 4]).argument == "x"
        assert refused(f, (f32(2), f32(2, 4), "four")).argument == "x"
        assert str(refused(f, (f32(2), f32(2, 4), 5))).startswith(
            "f: `[0]` of the result does not fit: m is 5, must be 4"
        )

    @pytest.mark.parametrize("make", [list, tuple, deque], ids=["list", "tuple", "deque"])
    @pytest.mark.parametrize("place", range(4))
    def test_every_item_of_a_sequence(self, make, place):
        """A stated difference: beartype looks at one item, at random."""
        annotations = {
            list: list[Float[Tensor, "n"]],
            tuple: tuple[Float[Tensor, "n"], ...],
            deque: deque[Float[Tensor, "n"]],
        }

        def f(x): ...

        f.__annotations__ = {"x": annotations[make]}
        f = typed(f)
        f(make([]))
        f(make([f32(2)] * 4))
        wrong = [f32(2)] * 4
        wrong[place] = f32(3)
        assert refused(f, make(wrong)).dim == "n"
        wrong[place] = None
        assert refused(f, make(wrong)).argument == "x"
        assert refused(f, f32(2)).argument == "x"

    def test_items_bind_names_for_what_follows(self):
        @typed
        def f(x: Sequence[Float[Tensor, "n"]], y: Float[Tensor, "n"]): ...

        f([], f32(5))
        assert refused(f, [f32(2)], f32(5)).argument == "y"

    @pytest.mark.parametrize("hint", [dict[str, Float[Tensor, "n"]], Mapping[str, Float[Tensor, "n"]]], ids=str)
    def test_every_value_and_key_of_a_mapping(self, hint):
        def f(x): ...

        f.__annotations__ = {"x": hint}
        f = typed(f)
        f({})
        f(OrderedDict(a=f32(2), b=f32(2)))
        assert str(refused(f, {"a": f32(2), "b": f32(3)})).startswith(
            "f: argument `x['b']` does not fit: n is 3, must be 2"
        )
        assert str(refused(f, {"a": f32(2), 3: f32(2)})).startswith(
            "f: argument `x[key 3]` does not fit: it is 3, must be str"
        )
        assert refused(f, [f32(2)]).argument == "x"

    def test_an_iterable_is_looked_into_only_if_that_does_not_use_it_up(self):
        @typed
        def f(x: Iterable[Float[Tensor, "n"]]):
            return list(x)

        assert len(f(iter([f32(2), f32(3)]))) == 2
        assert len(f(x for x in [f32(2)])) == 1
        assert refused(f, [f32(2), f32(3)]).argument == "x"
        assert refused(f, 3).argument == "x"

    def test_records_are_looked_into(self):
        """A stated difference: beartype looks at the class alone."""

        class Pair(NamedTuple):
            x: Float[Tensor, "n"]
            y: Float[Tensor, "n"]

        @dataclass
        class Batch:
            pair: Pair
            z: Float[Tensor, "n"] | None
            name: str = ""

        @typed
        def f(pair: Pair, batch: Batch) -> Float[Tensor, "n"]:
            return f32(2)

        good = Pair(f32(2), f32(2))
        f(good, Batch(good, f32(2)))
        f(good, Batch(good, None))
        assert str(refused(f, Pair(f32(2), f32(3)), Batch(good, None))).startswith("f: argument `pair.y` does not fit")
        assert str(refused(f, good, Batch(good, f32(3)))).startswith(
            "f: argument `batch.z` does not fit: n is 3, must be 2"
        )
        assert str(refused(f, good, Batch(good, None, name=3))).startswith("f: argument `batch.name` does not fit")
        assert refused(f, (f32(2), f32(2)), Batch(good, None)).argument == "pair"

    def test_a_record_that_holds_its_own_kind(self):
        f = typed(depth)
        assert f(Tree(f32(2), Tree(f32(2), None))) == 2
        assert refused(f, Tree(f32(2, 2), None)).argument == "tree"
        assert refused(f, Tree(f32(2), f32(2))).argument == "tree"

    def test_nested(self):
        @typed
        def f(x: list[tuple[dict[str, Float[Tensor, "n"]] | None, Int[Tensor, "m"]]]) -> list[list[Float[Tensor, "n"]]]:
            return [[f32(2)], [], [f32(2), f32(2)]]

        ids = torch.zeros(3, dtype=torch.int)
        f([({"a": f32(2)}, ids), (None, ids), ({}, ids)])
        error = refused(f, [({"a": f32(2)}, ids), ({"a": f32(2), "b": f32(4)}, ids)])
        assert (
            str(error).startswith("f: argument `x[1][0]['b']` does not fit: n is 4, must be 2") or error.argument == "x"
        )
        assert refused(f, [({"a": f32(4)}, ids)]).argument == "return"


class Tree(NamedTuple):
    x: Float[Tensor, "n"]
    below: "Tree | None"


def depth(tree: Tree) -> int:
    return 1 + (depth(tree.below) if tree.below else 0)


class TestOtherHints:
    """Hints that beartype cannot check, or checks by their class alone, stop nobody."""

    def test_self_and_paramspec_and_unbound_type_variables(self):
        P, T = ParamSpec("P"), TypeVar("T")

        class Box(Generic[T]):
            @typed
            def put(self, x: Float[Tensor, "n"], other: T, *args: P.args, **kwargs: P.kwargs) -> Self:
                return self

        box: Box[int] = Box()
        assert box.put(f32(2), 3, "more", even=1) is box
        assert refused(box.put, f32(2, 2), 3).argument == "x"

    def test_a_protocol_that_cannot_be_checked(self):
        class Sized(Protocol):
            def size(self) -> int: ...

        @typed
        def f(x: Float[Tensor, "n"], y: Sized): ...

        f(f32(2), 3)

    def test_a_callable_of_tensors_is_a_callable(self):
        @typed
        def f(x: Float[Tensor, "n"], y: Callable[[Float[Tensor, "n"]], Float[Tensor, "m"]]): ...

        f(f32(2), len)
        assert refused(f, f32(2), 3).argument == "y"

    def test_the_old_names_of_typing_warn_nobody(self):
        @typed
        def f(x: List[Float[Tensor, "n"]], y: List[int], z: Union[List[str], None] = None): ...  # noqa: UP006

        f([f32(2)], [3])
        assert refused(f, [f32(2)], ["three"]).argument == "y"

    def test_names_for_annotations(self):
        Hidden = NewType("Hidden", Float[Tensor, "n"])
        T = TypeVar("T", bound=Float[Tensor, "n"])

        def f(x, y): ...

        f.__annotations__ = {"x": Hidden, "y": T}
        f = typed(f)
        f(f32(2), f32(2))
        assert refused(f, f32(2), f32(3)).argument == "y"

    def test_annotated(self):
        @typed
        def f(
            x: Annotated[Float[Tensor, "n"], "documented"], y: Annotated[Float[Tensor, "n"], Is[lambda y: y.sum() == 0]]
        ): ...

        f(f32(2), f32(2))
        assert refused(f, f32(2), f32(3)).argument == "y"
        assert refused(f, f32(2), f32(2) + 1).argument == "y"

    def test_an_annotation_of_several_array_types(self):
        @typed
        def f(x: Float[Tensor | np.ndarray, "n"], y: Float[Tensor, "n"]): ...

        f(np.zeros(2), f32(2))
        assert refused(f, np.zeros(3), f32(2)).argument == "y"
        assert refused(f, np.zeros((2, 2)), f32(2)).argument == "x"

    def test_an_annotation_extended_by_another(self):
        @typed(dims=[Dim("m", 3)])
        def f(x: Shaped[Float[Tensor, "m"], "n"], y: list[Shaped[Int[Tensor, "m"], "n"]]): ...

        ids = torch.zeros(2, 3, dtype=torch.int)
        f(f32(2, 3), [ids])
        assert refused(f, ids, [ids]).argument == "x"
        assert refused(f, f32(2, 3), [f32(2, 3)]).argument == "y"
        assert refused(f, f32(2, 4), [ids]).expected == 3

    def test_a_record_that_cannot_be_resolved_and_has_no_tensors_is_not_looked_into(self):
        @dataclass
        class Config:
            model: "NotImported"
            width: int = 3

        @typed
        def f(x: Float[Tensor, "n"], config: Config): ...

        f(f32(2), Config(None))
        assert refused(f, f32(2), None).argument == "config"
