"""Every annotated method of a `dimtyped.nn.Module` is enforced, whatever kind of method it is and wherever it comes from."""

import asyncio
import functools
import inspect
import os
import pickle
import subprocess
import sys
import textwrap
import typing
from collections.abc import Iterator

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

import dimtyped
from dimtyped import DimensionError, DimSize, assert_dims, nn


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


def refuses(call, *args, match: str) -> DimensionError:
    with pytest.raises(DimensionError, match=match) as caught:
        call(*args)
    return caught.value


class Block(nn.Module):
    """One method of each kind."""

    def __init__(self, hidden: DimSize) -> None:
        super().__init__()
        self.value = ones(hidden)

    def attend(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch hidden"]:
        return x

    def __call__(self, x: Float[Tensor, "batch hidden"]):
        return super().__call__(x)

    def __getitem__(self, x: Float[Tensor, "batch hidden"]):
        return x

    @staticmethod
    def still(x: Float[Tensor, "n n"]):
        return x

    @classmethod
    def made(cls, x: Float[Tensor, "n n"]):
        return x

    @property
    def bias(self) -> Float[Tensor, "hidden"]:
        return self.value

    @bias.setter
    def bias(self, value: Float[Tensor, "hidden"]) -> None:
        self.value = value

    @functools.cached_property
    def kept(self) -> Float[Tensor, "hidden"]:
        return self.value

    @torch.no_grad()
    def quiet(self, x: Float[Tensor, "batch hidden"]):
        return x

    async def later(self, x: Float[Tensor, "batch hidden"]):
        return x

    def each(self, x: Float[Tensor, "batch hidden"]) -> Iterator[Float[Tensor, "hidden"]]:
        yield from x

    def _private(self, x: Float[Tensor, "batch hidden"]):
        return x

    def __mangled(self, x: Float[Tensor, "batch hidden"]):
        return x

    def mangled(self, x):
        return self.__mangled(x)

    def inside(self, x):
        return assert_dims(x, Float[Tensor, "batch hidden"])

    def forward(self, x):
        return x

    @typing.no_type_check
    def left_out(self, x: Float[Tensor, "batch hidden"]):
        return x

    def bare(self, x: Tensor, scale: float = 1):
        return x


CALLS = {
    "attend": lambda block, x: block.attend(x),
    "__call__": lambda block, x: block(x),
    "__getitem__": lambda block, x: block[x],
    "quiet": lambda block, x: block.quiet(x),
    "later": lambda block, x: asyncio.run(block.later(x)),
    "each": lambda block, x: list(block.each(x)),
    "_private": lambda block, x: block._private(x),
    "mangled": lambda block, x: block.mangled(x),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_method_of_each_kind(call) -> None:
    call(Block(4), ones(2, 4))
    error = refuses(call, Block(4), ones(2, 5), match="argument `x` does not fit: hidden is 5, must be 4")
    assert error.where.startswith("Block.")


def test_a_body_that_asserts_knows_the_declared_names() -> None:
    Block(4).inside(ones(2, 4))
    refuses(Block(4).inside, ones(2, 5), match="hidden is 5, must be 4")


@pytest.mark.parametrize("name", ["still", "made"])
def test_static_and_class_methods_bind_their_names_per_call(name: str) -> None:
    for holder in (Block, Block(4)):
        assert getattr(holder, name)(ones(5, 5)).shape == (5, 5)
        refuses(getattr(holder, name), ones(5, 4), match=f"Block.{name}: argument `x` does not fit")


def test_properties() -> None:
    block = Block(4)
    assert block.bias.shape == block.kept.shape == (4,)
    with pytest.raises(DimensionError, match="hidden is 5, must be 4"):
        block.bias = ones(5)
    block.value = ones(5)
    for name in ("bias", "still_kept"):
        with pytest.raises((DimensionError, AttributeError), match="hidden is 5, must be 4|still_kept"):
            getattr(block, name)
    other = Block(4)
    other.value = ones(5)
    with pytest.raises(DimensionError, match="hidden is 5, must be 4"):
        other.kept  # noqa: B018  # reading it is the call


def test_no_type_check_leaves_one_out() -> None:
    assert Block(4).left_out(ones(2, 5)).shape == (2, 5)


def test_no_type_check_of_the_whole_class() -> None:
    @typing.no_type_check
    class Free(nn.Module):
        def __init__(self, hidden: DimSize):
            super().__init__()

        def attend(self, x: Float[Tensor, "batch hidden"]):
            return x

    assert Free(4).attend(ones(2, 5)).shape == (2, 5)


def test_a_method_without_annotations_of_tensors_is_left_alone() -> None:
    def bare(self, x: Tensor, scale: float = 1):
        return x

    still = staticmethod(bare)
    made = type("Made", (nn.Module,), {"bare": bare, "still": still})
    assert vars(made)["bare"] is bare
    assert vars(made)["still"] is still


def test_a_function_from_elsewhere_as_a_method() -> None:
    made = type("Made", (Block,), {"elsewhere": elsewhere})
    assert made(4).elsewhere(ones(4)).shape == (4,)
    refuses(made(4).elsewhere, ones(5), match="hidden is 5, must be 4")
    assert elsewhere(None, ones(5)).shape == (5,)


def elsewhere(self, x: Float[Tensor, "hidden"]):
    return x


# Construction ---------------------------------------------------------------------------------------------------------


def test_an_init_that_takes_a_tensor() -> None:
    class Weighted(nn.Module):
        def __init__(self, weight: Float[Tensor, "vocab embed"], embed: DimSize, *, rate: float = 1.0) -> None:
            super().__init__()
            self.weight = nn.Parameter(weight)

    assert Weighted(ones(9, 4), 4).weight.shape == (9, 4)
    assert Weighted(ones(9, 4), 4, rate=2.0).weight.shape == (9, 4)
    error = refuses(Weighted, ones(9, 5), 4, match="argument `weight` does not fit: embed is 5, must be 4")
    assert error.where == "Weighted.__init__"
    assert list(inspect.signature(Weighted).parameters) == ["weight", "embed", "rate"]


# Inheritance ----------------------------------------------------------------------------------------------------------


class Heir(Block):
    def attend(self, y: Float[Tensor, "hidden batch"]) -> Float[Tensor, "batch hidden"]:
        return super().attend(y.T)


def test_an_inherited_method_and_one_that_a_subclass_overrides() -> None:
    heir = Heir(4)
    assert heir.attend(ones(4, 2)).shape == (2, 4)
    assert refuses(heir.attend, ones(5, 2), match="hidden is 5, must be 4").where == "Heir.attend"
    refuses(heir._private, ones(2, 5), match="Block._private: .*hidden is 5, must be 4")


def test_an_override_without_annotations_is_not_held_to_those_of_its_parent() -> None:
    class Loose(Block):
        def attend(self, x):
            return x

    assert Loose(4).attend(ones(2, 5)).shape == (2, 5)


class Mixin:
    """A plain class, of which nobody looks after."""

    def mixed(self, x: Float[Tensor, "batch hidden"]):
        return x

    @staticmethod
    def still(x: Float[Tensor, "n n"]):
        return x


class Theirs(torch.nn.Module):
    def encode(self, x: Float[Tensor, "batch hidden"]):
        return x

    def forward(self, x: Float[Tensor, "batch hidden"]):
        return x


class Mixed(Mixin, Theirs, nn.Module):
    def __init__(self, hidden: DimSize) -> None:
        super().__init__()


def test_methods_of_classes_that_are_no_modules_of_ours() -> None:
    model = Mixed(4)
    for method in (model.mixed, model.encode, model.forward, model):
        assert method(ones(2, 4)).shape == (2, 4)
        refuses(method, ones(2, 5), match="hidden is 5, must be 4")
    refuses(model.still, ones(2, 5), match="Mixin.still: argument `x` does not fit")
    assert Mixin().mixed(ones(2, 5)).shape == Theirs().encode(ones(2, 5)).shape == (2, 5)


def test_a_method_of_a_mixin_that_another_class_hides_stays_hidden() -> None:
    class First(nn.Module):
        def mixed(self, x):
            return x

    class Both(First, Mixin):
        pass

    assert Both().mixed(ones(2, 3, 4)).shape == (2, 3, 4)
    assert "mixed" not in vars(Both)


def test_it_pickles() -> None:
    refuses(pickle.loads(pickle.dumps(Heir(4)))._private, ones(2, 5), match="hidden is 5, must be 4")


# Strings --------------------------------------------------------------------------------------------------------------

STRINGS = """
    from __future__ import annotations

    from typing import TYPE_CHECKING, NamedTuple

    from jaxtyping import Float
    from torch import Tensor, ones

    from dimtyped import DimensionError, DimSize, nn

    if TYPE_CHECKING:
        from elsewhere import Config

    class Net(nn.Module):
        def __init__(self, hidden: DimSize) -> None:
            super().__init__()

        def attend(self, x: Float[Tensor, "batch hidden"]) -> Tensor:
            return x

        def late(self, x: Late) -> Tensor:
            return x

        def quoted(self, x: "Late | None") -> Tensor:
            return x

        def plain(self, x: Tensor, scale: float = 1) -> Tensor:
            return x

        def theirs(self, config: Config) -> None:
            return config

        def ours(self, other: Later) -> None:
            return other

    plain, ours = vars(Net)["plain"], vars(Net)["ours"]

    Late = Float[Tensor, "batch hidden"]

    class Later(NamedTuple):
        config: int

    def refused(call, *args):
        try:
            call(*args)
        except DimensionError as error:
            return error.dim

    net = Net(4)
    for method in (net.attend, net.late, net.quoted):
        assert refused(method, ones(2, 4)) is None, method
        assert refused(method, ones(2, 5)) == "hidden", method
    assert net.plain(None) is None and net.theirs(1) == 1 and net.ours(2) == 2
    assert not hasattr(plain, "__wrapped__")
    assert hasattr(ours, "__wrapped__") and not hasattr(vars(Net)["ours"], "__wrapped__")
"""


@pytest.mark.parametrize("mode", ["on", "reference"])
def test_a_file_whose_annotations_are_strings(tmp_path, mode: str) -> None:
    file = tmp_path / "strings.py"
    file.write_text(textwrap.dedent(STRINGS))
    done = subprocess.run(
        [sys.executable, str(file)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"DIMTYPED": mode},
    )
    assert done.stderr == ""


ALL_KINDS = """
    import asyncio
    import torch
    from dimtyped import DimensionError
    from tests.nn.test_methods import CALLS, Block, Mixed, ones

    def refused(call, *args):
        try:
            call(*args)
        except DimensionError as error:
            return error.dim

    print([name for name, call in CALLS.items() if refused(call, Block(4), ones(2, 4)) is not None])
    print([name for name, call in CALLS.items() if refused(call, Block(4), ones(2, 5)) != "hidden"])
    print(refused(Block.still, ones(2, 3)), refused(Mixed(4).mixed, ones(2, 3)))
    compiled = torch.compile(Block(4).attend, backend="eager")
    print(refused(compiled, ones(2, 4)))
"""


def run(mode: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ALL_KINDS)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"DIMTYPED": mode},
    )
    return done.stdout.splitlines()


def test_by_the_reference_engine() -> None:
    assert run("reference") == ["[]", "[]", "n hidden", "None"]


def test_off_it_is_torchs() -> None:
    assert run("off") == ["[]", str([*CALLS]), "None None", "None"]


# What status says of them ---------------------------------------------------------------------------------------------


def why(module: torch.nn.Module) -> tuple[str, str]:
    row = dimtyped.status(module).rows[0]
    return row.state, row.why


def test_status_lists_the_methods(capsys) -> None:
    class Listed(nn.Module):
        def forward(self, x: Float[Tensor, "batch hidden"]):
            return x

        def attend(self, x: Float[Tensor, "batch hidden"]):
            return x

        @staticmethod
        def still(x: Float[Tensor, "n n"]):
            return x

        def bare(self, x):
            return x

    assert dimtyped.status(Listed()).rows[0].methods == ("forward", "attend", "still")
    assert "(model)  Listed  checked: forward, attend, still\n" in capsys.readouterr().out
    [row] = dimtyped.status(Heir(4)).rows
    assert "attend" in row.methods
    assert "_private" in row.methods
    assert "left_out" not in row.methods
    assert (row.state, row.why) == (
        "checked",
        "forward is not annotated; not checked: left_out (typing.no_type_check excludes it)",
    )


def test_status_names_annotated_methods_that_are_not_checked() -> None:
    class Cached(nn.Module):
        @functools.lru_cache  # noqa: B019  # what is shown
        def table(self, x: Float[Tensor, "batch hidden"]):
            return x

        def forward(self, x: Float[Tensor, "batch hidden"]):
            return x

        def attend(self, x: Float[Tensor, "batch hidden"]):
            return x

    model = Cached()
    model.attend = lambda x: x
    assert why(model) == (
        "checked",
        "not checked: table (it is a _lru_cache_wrapper; decorate the function inside with @dimtyped.typed), "
        "attend (it was replaced on the instance)",
    )


def test_status_of_a_plain_module_that_is_annotated() -> None:
    assert why(Theirs()) == (
        "skipped",
        "forward is annotated, but Theirs is not a dimtyped.nn.Module: derive it from dimtyped.nn.Module, or decorate "
        "the class with @dimtyped.typed; not checked: encode",
    )
