"""Fixes of findings, and what `check` says of a target or of inputs that it cannot use."""

import functools
from collections.abc import Callable, Iterator

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import CheckError, DeclarationError, DimSize, check, typed
from tests.flow.check_cases import Gpt


def test_fixes_are_tried_on_names():
    @typed
    def joined(x: Float[Tensor, "batch heads seq head"]) -> Float[Tensor, "batch seq _"]:
        return x.reshape(x.shape[0], x.shape[2], -1)

    @typed
    def split(x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch 4 seq _"]:
        return x.view(x.shape[0], 4, x.shape[1], -1)

    @typed
    def moved(x: Float[Tensor, "batch height width channels"]) -> Float[Tensor, "batch channels height width"]:
        return x.reshape(x.shape[0], x.shape[3], x.shape[1], x.shape[2])

    @typed
    def difference(x: Float[Tensor, "batch"], y: Float[Tensor, "batch 1"]) -> Float[Tensor, "batch _"]:
        return x - y

    fixes = [check(joined), check(split, sizes={"embed": 8}), check(moved), check(difference)]
    assert [report.findings[0].fix for report in fixes] == [
        "x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1)",
        "x.view(x.shape[0], x.shape[1], 4, -1).transpose(1, 2)",
        "x.permute(0, 3, 1, 2)",
        "x - y.squeeze(-1)",
    ]


def test_raise_if_any():
    check(Gpt(10, 4, 2, 1)).raise_if_any()
    with pytest.raises(CheckError, match="scramble: `o.reshape") as caught:
        check(Gpt(10, 4, 2, 1, transposed=False)).raise_if_any()
    assert isinstance(caught.value, AssertionError)


@pytest.mark.parametrize("target", [3, "model", None, torch.ones(2)])
def test_what_is_no_target(target):
    with pytest.raises(DeclarationError, match="check takes a module, a function, or a class that makes a module"):
        check(target)


def test_a_class_that_needs_more():
    with pytest.raises(
        DeclarationError, match=r"Gpt needs `blocks`, which is not a DimSize\n.*arguments=\{'blocks': \.\.\.\}"
    ):
        check(Gpt)
    with pytest.raises(DeclarationError, match="Gpt has no parameter `depth`"):
        check(Gpt, arguments={"blocks": 1, "depth": 2})


def test_inputs_that_do_not_bind():
    with pytest.raises(
        DeclarationError, match="does not accept the arguments given to check: too many positional arguments"
    ):
        check(Gpt(10, 4, 2, 1), torch.ones(2), torch.ones(2))


def test_no_annotation_and_no_inputs():
    with pytest.raises(DeclarationError, match="no annotation says which tensors it takes, and no inputs were given"):
        check(torch.nn.Linear(2, 3))
    with pytest.raises(DeclarationError, match="no annotation says which tensors it takes"):
        check(lambda x: x)


def test_an_input_that_cannot_be_made():
    @typed
    def apply(x: Float[Tensor, "batch dim"], function: Callable[[Tensor], Tensor]) -> Float[Tensor, "batch dim"]:
        return function(x)

    with pytest.raises(DeclarationError, match=r"no input can be made for `function`.*\n.*check\(target, function="):
        check(apply)
    assert check(apply, function=torch.relu).ok


def test_a_lazy_layer_without_sizes():
    with pytest.raises(DeclarationError, match=r"Sequential\.0 has no sizes yet"):
        check(torch.nn.Sequential(torch.nn.LazyLinear(3)), torch.ones(2, 2))


def test_what_the_target_raises_itself_stays_what_it_is():
    @typed
    def stubborn(x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        raise KeyError("no such key")

    with pytest.raises(KeyError) as caught:
        check(stubborn)
    assert caught.value.__notes__ == [
        "dimtyped: check ran stubborn with batch=5, dim=7; the target raised this itself. "
        "Where it takes other sizes alone: check(..., sizes={...})"
    ]


@pytest.mark.parametrize("size", [0, -1, True, 2.0, "3"])
def test_sizes_that_are_none(size):
    with pytest.raises(DeclarationError, match="must be an int of at least 1"):
        check(Gpt(10, 4, 2, 1), sizes={"seq": size})


def test_arguments_of_a_module_that_is_made():
    with pytest.raises(DeclarationError, match="arguments= is for a class or a factory"):
        check(Gpt(10, 4, 2, 1), arguments={"blocks": 1})


def test_a_function_whose_parameters_nothing_says():
    with pytest.raises(DeclarationError, match=r"^relu has no signature that Python can read\n"):
        check(torch.relu, torch.ones(2))


@typed
async def later(x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
    return x


@typed
def pieces(x: Float[Tensor, "batch dim"]) -> Iterator[Float[Tensor, "dim"]]:
    yield from x


@pytest.mark.parametrize(("target", "kind"), [(later, "a coroutine function"), (pieces, "a generator function")])
def test_a_function_that_runs_later(target, kind):
    with pytest.raises(
        DeclarationError, match=rf"is {kind}: a call of it runs nothing yet\n.*with watch\(\) as report"
    ):
        check(target)


def test_a_factory_by_partial():
    report = check(functools.partial(Gpt, blocks=1, transposed=False))
    assert [found.kind for found in report.findings] == ["scramble"]


def test_a_factory_that_raises_or_makes_no_module():
    def broken(dim: DimSize):
        raise KeyError("config")

    def three(dim: DimSize):
        return 3

    with pytest.raises(KeyError) as caught:
        check(broken)
    assert caught.value.__notes__ == ["dimtyped: check made broken with dim=13; it raised this itself"]
    with pytest.raises(DeclarationError, match="^three makes 3 of type int, not a module\n"):
        check(three)


def test_sizes_of_names_that_are_not_there_or_have_another_size():
    with pytest.raises(
        DeclarationError, match=r"^sizes: Gpt.forward has no name `sequence`\n  It has `batch`, .*`seq`"
    ):
        check(Gpt(10, 4, 2, 1), sizes={"sequence": 3})
    with pytest.raises(DeclarationError, match=r"^sizes: `embed` is 5, and Gpt.forward declares embed=4\n"):
        check(Gpt(10, 4, 2, 1), sizes={"embed": 5})


def test_independent_names():
    @typed
    def mixed(x: Float[Tensor, "sample dim"]) -> Float[Tensor, "sample dim"]:
        return x.softmax(0)

    assert [found.kind for found in check(mixed, independent="sample").findings] == ["mixing"]
    report = check(mixed, independent=["sampel"])
    assert report.notes == ["independent=: no annotation that was met has an axis `sampel`"]
