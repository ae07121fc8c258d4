"""Torch's own refusals: the error inputs of its operators and modules, called inside a typed function.

What the notes say of them is put to the test: an axis that must have another size is given it, and a fix is run.
"""

import functools
import re
import warnings
from typing import Any

import pytest
import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

from dimtyped import explain, typed

pytestmark = pytest.mark.any_engine
OF_SHAPES = re.compile(r"\b(sizes?|shapes?|dimensions?|\dD|dims?|number of dimensions|channels?|out of bounds)\b")
# Messages about other arguments than tensors, or about how they lie in memory.
NOT_OF_OPERANDS = re.compile(
    r"memory location|non-negative|positive|negative|identical|appear|repeated|must align|up to 64|only one dimension|"
    r"argument 'output_size'|internal error|at most half|`k` out of range|inferred|non-zero|dim to be specified|dtype|device|"
    r"invalid combination|must be (?:Tensor|tuple)|kernel size|edge_order|layout|Duplicate|permutation|categories|ndim|"
    r"groups=|rotation dim|split_size 0|dims: |\(-1\) exceeds|spacing|destination dims",
)


@typed
def call(function: Any, x: Any, args: Any, kwargs: Any, marker: Shaped[Tensor, "probe"]):
    return function(x, *args, **kwargs)


def refusals():
    """Every error input of `op_db`: the operator, its arguments, and the exception with its note."""
    for op in op_db:
        if op.error_inputs_func is not None and not op.name.startswith("jiterator"):
            for each in op.error_inputs("cpu"):
                sample = each.sample_input
                try:
                    call(op.op, sample.input, sample.args, sample.kwargs, torch.ones(17))
                except Exception as error:  # noqa: BLE001  # operators raise what they like
                    yield op, sample, error


@functools.cache
def all_refusals():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(refusals())


def is_torchs_function(op):
    return getattr(op.op, "__module__", None) != "torch.testing._internal.common_methods_invocations"


@pytest.mark.filterwarnings("ignore")
def test_each_error_is_torchs_own_still():
    for op, sample, error in all_refusals():
        with pytest.raises(type(error)) as plain:
            op.op(sample.input, *sample.args, **sample.kwargs)
        if "0x" not in str(error):
            assert str(plain.value) == str(error)


def test_most_that_are_about_shapes_have_a_note():
    about = [
        (op, error)
        for op, _, error in all_refusals()
        if is_torchs_function(op) and type(error) is not TypeError
        if OF_SHAPES.search(str(error)) and not NOT_OF_OPERANDS.search(str(error))
    ]
    without = [f"{op.name}: {error}" for op, error in about if explain(error) is None]
    assert len(about) > 100
    assert len(without) <= len(about) // 6, "\n".join(without)


def test_few_that_are_about_other_things_have_one():
    other = [
        error
        for _, _, error in all_refusals()
        if not re.search(
            r"size|shape|dim|\d-?D|dtype|type|device|range|bounds|element|channel|numel|vector|matri|inde",
            str(error),
            re.I,
        )
    ]
    with_note = [str(error) for error in other if explain(error) is not None]
    assert len(other) > 50
    assert with_note == []


def changed(value, text, shown, axis, size):
    """The arguments with one axis of the tensor of this text of another size."""
    if isinstance(value, Tensor) and text == shown:
        sizes = [size if place == axis else each for place, each in enumerate(value.shape)]
        return torch.ones(sizes, dtype=value.dtype, device=value.device)
    if isinstance(value, (list, tuple)):
        return type(value)(changed(each, f"{text}[{i}]", shown, axis, size) for i, each in enumerate(value))
    return value


def marked(report):
    """Each axis that must have another size: the operand, the index and the size."""
    for caret in report.carets:
        wanted = re.fullmatch(r"must be (\d+)", caret.text)
        operand = report.operands[caret.operand]
        if wanted:
            yield operand.text, operand.description[: caret.start].count(","), int(wanted[1])


def test_an_axis_that_is_pointed_at_is_what_torch_minds():
    tried = 0
    for op, sample, error in all_refusals():
        marks = list(marked(report)) if (report := explain(error)) is not None else []
        x, args, kwargs = sample.input, sample.args, sample.kwargs
        for text, axis, size in marks:
            x, args = changed(x, "x", text, axis, size), changed(args, "args", text, axis, size)
        if marks:
            tried += 1
            assert accepted(functools.partial(op.op, x, *args, **kwargs), error), f"{op.name}: {error}\n{report}"
    assert tried > 5


def accepted(run, error):
    """True if a call passes, or is refused for another reason."""
    try:
        run()
    except Exception as other:  # noqa: BLE001  # as above
        return re.sub(r"\d+", "", str(other)) != re.sub(r"\d+", "", str(error))
    return True


def test_a_fix_is_accepted_by_torch():
    tried = 0
    for op, sample, error in all_refusals():
        report = explain(error)
        if report is not None and report.fix and report.kind != "device":
            tried += 1
            names = {"function": op.op, "x": sample.input, "args": sample.args, "kwargs": sample.kwargs}
            eval(report.fix, names)
    assert tried >= 3


def test_the_modules_of_torch():
    told, about = 0, 0
    for info in module_db:
        inputs = info.module_error_inputs_func or (lambda *_, **__: ())
        for each in inputs(info, device="cpu", dtype=torch.float32, requires_grad=False, training=True):
            if each.error_on is not ModuleErrorEnum.FORWARD_ERROR:
                continue
            given = each.module_error_input
            module = info.module_cls(*given.constructor_input.args, **given.constructor_input.kwargs)
            first, *rest = given.forward_input.args
            with pytest.raises(each.error_type) as caught:
                call(module, first, rest, given.forward_input.kwargs, torch.ones(17))
            if OF_SHAPES.search(str(caught.value)) and not NOT_OF_OPERANDS.search(str(caught.value)):
                about += 1
                told += explain(caught.value) is not None
    assert about > 5
    assert told * 3 >= about * 2
