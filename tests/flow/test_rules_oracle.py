"""torch's own samples of its operators judge the rules: one slice of an input changes, and so must the output, and only there."""

import warnings

import pytest
from torch import Tensor
from torch.testing._internal.common_methods_invocations import op_db

from dimtyped.flow import RULES
from tests.flow.oracle import judge, samples_of

BACKWARD = "an operator of the backward pass, which no Python calls"
INTERNAL = "an operator that torch's compiler and layers call, and no user"
SPARSE = "sparse layouts have no axes of items"
GIVEN_UP = "reads memory at will"
RARE = "new axes of sizes that nobody compares by name"
NO_RULE = {
    "_batch_norm_with_update": INTERNAL,
    "_chunk_cat": INTERNAL,
    "_segment_reduce.lengths": RARE,
    "_segment_reduce.offsets": RARE,
    "_softmax_backward_data": BACKWARD,
    "_unsafe_masked_index": INTERNAL,
    "_unsafe_masked_index_put_accumulate": INTERNAL,
    "as_strided": GIVEN_UP,
    "as_strided.partial_views": GIVEN_UP,
    "as_strided_copy": GIVEN_UP,
    "as_strided_scatter": GIVEN_UP,
    "hash_tensor": "one number that depends on everything",
    "histogramdd": RARE,
    "linalg.tensorinv": RARE,
    "linalg.tensorsolve": RARE,
    "lu_unpack": RARE,
    "max_pool2d_with_indices_backward": BACKWARD,
    "sparse.mm.reduce": SPARSE,
    "sparse.sampled_addmm": SPARSE,
    "to_sparse": SPARSE,
}
NOT_JUDGED = {
    "empty_like": "memory that nobody wrote",
    **{
        f"jiterator_{kind}": "a GPU's only"
        for kind in ("unary", "binary", "2inputs_2outputs", "4inputs_with_extra_args")
    },
    "jiterator_binary_return_by_ref": "a GPU's only",
}


def name_of(op):
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else op.name


OPERATORS = {name_of(op): op for op in op_db}
JUDGED = {name: op for name, op in OPERATORS.items() if name not in {*NO_RULE, *NOT_JUDGED}}


def variants(op):
    found = {"function": op.op, "method": op.method_variant, "in place": op.inplace_variant}
    return {kind: function for kind, function in found.items() if function is not None}


@pytest.mark.parametrize("letters", ["_", *"abcdefghijklmnopqrstuvwxyz"])
def test_the_rules_say_what_torch_does(letters):
    wrong, unfollowed = [], []
    for name, op in JUDGED.items():
        if name.lower().removeprefix("nn.functional.")[0] not in letters:
            continue
        judged = judge(name, op.op, samples_of(op))
        wrong += judged.wrong[:1]
        if judged.unfollowed and not judged.judged:
            unfollowed.append(name)
    assert not wrong, "\n".join(map(str, wrong))
    assert not unfollowed, f"no rule holds for {unfollowed}: add one, or a reason to NO_RULE"


@pytest.mark.parametrize("kind", ["method", "in place"])
def test_variants_have_the_rule_of_the_function(kind):
    wrong, unfollowed, count = [], [], 0
    for name, op in JUDGED.items():
        function = variants(op).get(kind)
        if function is None:
            continue
        samples = [sample for sample in samples_of(op, 2) if isinstance(sample.input, Tensor)]
        judged = judge(f"{name} ({kind})", function, [sample for sample in samples if accepts(function, sample)])
        wrong += judged.wrong[:1]
        count += judged.judged > 0
        if judged.unfollowed and not judged.judged:
            unfollowed.append(name)
    assert not wrong, "\n".join(map(str, wrong))
    assert not unfollowed
    assert count > {"method": 300, "in place": 100}[kind]


def accepts(function, sample):
    """False for a sample that only the function takes: a result of another shape or dtype cannot be written in place."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(sample.input.clone(), *sample.args, **sample.kwargs)
    except (RuntimeError, TypeError):
        return False
    return True


@pytest.mark.parametrize("name", NO_RULE)
def test_an_operator_that_has_no_rule_needs_the_reason(name):
    if name == "as_strided.partial_views":
        pytest.skip("its samples are views of a larger memory, and a copy of one is none")
    assert judge(name, OPERATORS[name].op, samples_of(OPERATORS[name], 3)).judged == 0


WRONG_RULES = {
    "softmax": lambda call: call.first(),  # says nothing of what it mixes
    "transpose": lambda call: call.first(),  # the axes stay where they were
    "mm": lambda call: (*call.axes(call.args[0])[:-1], call.axes(call.args[1])[-2]),  # the wrong axis is left
    "sum": lambda call: call.first()[: len(call.shape)],  # always the last axes are summed
    "flip": lambda call: call.first(),
    "cat": lambda call: call.axes(call.args[0][0]),  # wrong sizes
}


@pytest.mark.parametrize("name", WRONG_RULES)
def test_the_oracle_finds_a_wrong_rule(name, monkeypatch):
    op = OPERATORS[name]
    assert not judge(name, op.op, samples_of(op)).wrong
    monkeypatch.setitem(RULES, name, WRONG_RULES[name])
    found = judge(name, op.op, samples_of(op)).wrong
    assert found
    assert str(found[0]).startswith(f"{name}: ")


def test_most_of_the_judged_axes_are_seen_to_change():
    """An oracle whose inputs change nothing would find nothing."""
    judged = [judge(name, op.op, samples_of(op, 3)) for name, op in list(JUDGED.items())[::5]]
    assert sum(each.seen for each in judged) > 0.3 * sum(each.judged for each in judged)


def test_coverage_of_op_db():
    """The number that the documentation gives."""
    assert len(NO_RULE) <= 20
    assert len(OPERATORS) - len(NO_RULE) >= 0.95 * len(OPERATORS)
