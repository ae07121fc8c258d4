"""Checked code under TorchDynamo: graphs, operators, recompiles and errors are what they are untyped."""

import re
from collections.abc import Iterator
from typing import Annotated

import pytest
import torch
from beartype.vale import Is
from jaxtyping import Float
from torch import Tensor

from dimtyped import DimensionError, typed
from tests.engine.compile_cases import (
    CASES,
    MODULES,
    assert_equal,
    attention,
    each_case,
    each_module,
    keyword_only,
    layered_decoder,
    ones,
    run_compiled,
    scale,
)


@pytest.fixture(autouse=True)
def _fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@each_case
@pytest.mark.parametrize("dynamic", [None, True])
def test_a_function_compiles_as_often_and_to_as_many_ops_as_untyped(case, dynamic):
    plain, expected = run_compiled(case.function, case, dynamic=dynamic)
    checked, actual = run_compiled(case.checked(), case, dynamic=dynamic)
    assert (checked.frame_count, checked.op_count) == (plain.frame_count, plain.op_count)
    assert_equal(actual, expected)


@each_module
@pytest.mark.parametrize("dynamic", [None, True])
def test_a_module_compiles_as_often_and_to_as_many_ops_as_untyped(case, dynamic):
    untyped, module = case.twins()
    plain, expected = run_compiled(untyped, case, dynamic=dynamic)
    checked, actual = run_compiled(module, case, dynamic=dynamic)
    assert (checked.frame_count, checked.op_count) == (plain.frame_count, plain.op_count)
    assert_equal(actual, expected)


@each_module
def test_it_makes_no_difference_whether_a_module_ran_before_it_is_compiled(case):
    untyped, module = case.twins()
    module(*case.calls[0])
    plain, _ = run_compiled(untyped, case)
    checked, _ = run_compiled(module, case)
    assert (checked.frame_count, checked.op_count) == (plain.frame_count, plain.op_count)


@each_module
def test_explain_counts_the_same_graphs_and_ops_and_no_break(case):
    untyped, module = case.twins()
    expected = torch._dynamo.explain(untyped)(*case.calls[0])
    torch._dynamo.reset()
    actual = torch._dynamo.explain(module)(*case.calls[0])
    assert (actual.graph_count, actual.op_count, actual.graph_break_count) == (1, expected.op_count, 0)


@each_case
def test_a_wrong_call_of_a_function_tells_its_error_where_no_graph_may_break(case):
    with pytest.raises(DimensionError) as eager:
        case.call(case.checked(), case.wrong)
    with pytest.raises(DimensionError) as compiled:
        case.call(torch.compile(case.checked(), backend="eager", fullgraph=True), case.wrong)
    assert str(eager.value) in str(compiled.value)
    assert isinstance(compiled.value, torch._dynamo.exc.Unsupported)


@pytest.mark.parametrize("case", CASES[::4], ids=lambda case: case.name)
def test_a_wrong_call_of_a_function_raises_its_error(case):
    with pytest.raises(DimensionError) as eager:
        case.call(case.checked(), case.wrong)
    with pytest.raises(DimensionError) as compiled:
        case.call(torch.compile(case.checked(), backend="eager"), case.wrong)
    assert without_place(compiled.value) == without_place(eager.value)


@each_module
def test_a_wrong_call_of_a_module(case):
    with pytest.raises(DimensionError) as eager:
        case.checked()(*case.wrong)
    with pytest.raises(DimensionError) as default:
        torch.compile(case.checked(), backend="eager")(*case.wrong)
    torch._dynamo.reset()
    with pytest.raises(DimensionError) as whole:
        torch.compile(case.checked(), backend="eager", fullgraph=True)(*case.wrong)
    assert without_place(default.value) == without_place(eager.value)
    assert without_place(eager.value)["message"] in str(whole.value)


def without_place(error):
    """An error as data, without the line of this file that made the call."""
    data = error.to_dict()
    return {**data, "message": re.sub(r"\n    called at .*", "", data["message"])}


def test_a_wrong_call_does_not_show_a_trace_of_our_own_code(caplog):
    compiled = torch.compile(typed(scale), backend="eager")
    for wrong in (ones(2, 4), ones(2, 5)):
        with pytest.raises(DimensionError):
            compiled(ones(2, 3, 4), wrong)
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_a_wrong_call_leaves_later_calls_right():
    compiled = torch.compile(typed(scale), backend="eager")
    for length in (3, 5):
        with pytest.raises(DimensionError):
            compiled(ones(2, length, 4), ones(2, 7))
        assert compiled(ones(2, length, 4), ones(2, length)).shape == (2, length, 4)


def test_a_caught_error_in_compiled_code():
    checked = typed(scale)

    def or_zeros(x: Tensor, y: Tensor) -> Tensor:
        try:
            return checked(x, y)
        except DimensionError:
            return x * 0

    compiled = torch.compile(or_zeros, backend="eager")
    assert compiled(ones(2, 3, 4), ones(2, 5)).sum() == 0
    assert compiled(ones(2, 3, 4), ones(2, 3)).sum() == 24


def test_a_function_that_only_the_reference_engine_can_check_breaks_the_graph_and_stays_checked():
    @typed
    def double(x: Annotated[Float[Tensor, "batch n"], Is[lambda x: x.shape[0] < 5]]) -> Float[Tensor, "batch n"]:
        return x * 2

    compiled = torch.compile(double, backend="eager")
    assert_equal(compiled(ones(2, 3)), 2 * ones(2, 3))
    with pytest.raises(DimensionError, match="double: argument `x` does not fit"):
        compiled(ones(7, 3))
    torch._dynamo.reset()
    with pytest.raises(
        torch._dynamo.exc.Unsupported, match="double: jaxtyping and beartype check its annotations, which no trace can"
    ):
        torch.compile(double, backend="eager", fullgraph=True)(ones(2, 3))


def test_generators():
    @typed
    def doubled(xs: list[Float[Tensor, "n"]]) -> Iterator[Float[Tensor, "n"]]:
        for x in xs:
            yield x * 2

    compiled = torch.compile(lambda x: sum(doubled([x, x])), backend="eager", fullgraph=True)
    assert_equal(compiled(ones(3)), 4 * ones(3))


def test_sizes_that_depend_on_data():
    checked = typed(keyword_only)
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        compiled = torch.compile(lambda x: checked(x[x[:, 0] > 0]), backend="eager", fullgraph=True)
        assert compiled(ones(4, 3)).shape == (4, 3)


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # torch's own
def test_inductor_computes_the_same():
    for case in MODULES:
        if case.make in (attention, layered_decoder):
            untyped, module = case.twins()
            compiled = [torch.compile(model, fullgraph=True) for model in (untyped, module)]
            assert_equal(compiled[1](*case.calls[1]), compiled[0](*case.calls[1]))
