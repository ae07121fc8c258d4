"""Shapes that are worked out without torch are those that torch gives, over the samples of `op_db`."""

import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db

from dimtyped.diagnosis.torch_errors.light import light_run

pytestmark = [pytest.mark.any_engine, pytest.mark.filterwarnings("ignore")]
NAMES = (
    "matmul bmm mm add sub mul true_divide eq lt maximum where masked_fill exp tanh clamp cumsum contiguous "
    "sum mean amax std var prod any all argmax logsumexp softmax nn.functional.relu nn.functional.gelu nn.functional.dropout"
)
OPERATORS = [op for op in op_db if op.name in NAMES.split() and not op.variant_test_name]
OURS = {
    "true_divide": "truediv",
    "nn.functional.relu": "relu",
    "nn.functional.gelu": "gelu",
    "nn.functional.dropout": "dropout",
}


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.name)
def test_a_shape_and_dtype_are_torchs(op):
    run = light_run(OURS.get(op.name, op.name))
    dtype = torch.bool if op.name in ("any", "all") else torch.float32
    checked = 0
    for sample in op.sample_inputs("cpu", dtype):
        if "dtype" in sample.kwargs or "unbiased" in sample.kwargs:
            continue
        result = op.op(sample.input, *sample.args, **sample.kwargs)
        meta = sample.transform(lambda value: value.to("meta") if isinstance(value, torch.Tensor) else value)
        found = run(meta.input, *meta.args, **meta.kwargs)
        assert (found.shape, found.dtype) == (result.shape, result.dtype), sample
        checked += 1
    assert checked


def test_each_operator_of_the_list_is_there():
    assert {op.name for op in OPERATORS} == set(NAMES.split())
