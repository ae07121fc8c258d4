"""Two verdicts on one question: flow says by names that `batch` does not mix, `independent` measures it by values."""

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from dimtyped import DeclarationError, check, retype
from dimtyped.cli.examples.findings import FINDINGS, FINDINGS_PRELUDE
from dimtyped.flow import Dimension, Flow, anonymous, axis_of
from dimtyped.flow.targets import Factory, makes_module
from dimtyped.testing import MixedError, independent
from tests.flow.oracle import allowed, changed, with_slice_changed
from tests.flow.test_models import AXES, MODELS, OTHER_AXES

# Kinds of findings after which a result may have others' values.
NAMED = ("mixing", "scramble", "outer", "coincidence", "selection")
# What check finds with `fuzz=True` alone.
BY_VALUES_ALONE = ("repeated-rows",)
EXAMPLES = {example.name: example for family in FINDINGS.values() for example in family}


def target_of(code):
    """What a program checks, made where it is a class; its arguments to `check` are left out."""
    seen = []
    names = {"__name__": "program"}
    exec(FINDINGS_PRELUDE, names)
    names["check"] = lambda target, *_, sizes=None, **__: seen.append((target, sizes or {}))
    exec(code, names)
    if not seen:
        return None, {}
    [(target, sizes)] = seen
    return (next(Factory(target, {}, {}).targets())[0].remake() if makes_module(target, None) else target), sizes


def measured(target, sizes):
    """True if samples mix, by values; None where the annotations have no batch in both inputs and result."""
    try:
        independent(target, "batch", sizes=sizes or None, max_examples=6)
    except MixedError:
        return True
    except DeclarationError:
        return None
    return False


def by_names(report):
    """What flow says: whether values are carried along the batch, and whether the batch is in any finding."""
    found = [each for each in report.findings if each.kind in NAMED and any("batch" in name for name in each.names)]
    return any(each.kind == "mixing" for each in found), bool(found)


def programs():
    for example in EXAMPLES.values():
        yield pytest.param(example.fixed, id=f"{example.name}-right")
        if example.kind in NAMED and example.kind != "coincidence" and example.name not in BY_VALUES_ALONE:
            yield pytest.param(example.code, id=example.name)


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("code", [*programs()])
def test_names_and_values_agree_on_the_gallery(code):
    target, sizes = target_of(code)
    if target is None:
        return
    mixes = measured(target, sizes)
    if mixes is None:
        return
    is_mixing, is_found = by_names(check(target, sizes=sizes))
    assert is_found or not mixes, "values mix, and flow says nothing"
    assert mixes or not is_mixing, "flow says that values mix, and they do not"


def test_the_gallery_decides_often_enough():
    """Most programs have a batch in inputs and result; an oracle that judges none would find nothing."""
    decided = [measured(*target_of(EXAMPLES[name].code)) for name in ("softmax-axis", "joined-heads", "state-viewed")]
    assert decided == [True, False, True]


def batch_of(flow, inputs, name):
    """Names the batch of a model's inputs, as their annotations do in the tests of models."""
    batch = None
    for parameter, tensor in inputs.items():
        words = OTHER_AXES.get((name, parameter), AXES[parameter]).split()
        place = words.index("batch")
        batch = batch or Dimension(tensor.shape[place], "batch")
        axes = [axis_of(batch) if dim == place else anonymous(size) for dim, size in enumerate(tensor.shape)]
        flow.name_tensor(tensor, axes)
    return batch


def outputs_of(model, inputs):
    torch.manual_seed(0)
    with torch.no_grad():
        return [leaf for leaf in tree_leaves(model(**inputs)) if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def disagreement(model, name, inputs):
    """Where values reach another sample than flow says; the number of outputs that have the batch."""
    with Flow() as flow:
        batch = batch_of(flow, inputs, name)
        before = outputs_of(model, inputs)
    axes = [flow.axes_of(tensor) for tensor in before]
    places = {
        parameter: OTHER_AXES.get((name, parameter), AXES[parameter]).split().index("batch") for parameter in inputs
    }
    other = {parameter: with_slice_changed(tensor, places[parameter], 0) for parameter, tensor in inputs.items()}
    kept = [has_batch(each, batch) for each in axes]
    wrong = [
        bool((changed(one, two) & ~allowed(each, batch, 0)).any())
        for one, two, each, is_kept in zip(before, outputs_of(model, other), axes, kept, strict=True)
        if is_kept and one.shape == two.shape
    ]
    return flow.findings, sum(wrong), len(wrong)


def has_batch(axes, batch):
    return any(factor.dimension.root is batch for axis in axes for factor in axis.factors)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_names_and_values_agree_on_models(model):
    torch.manual_seed(0)
    inputs = model.inputs()
    findings, wrong, judged = disagreement(retype(model.make()).eval(), model.name, inputs)
    assert not findings
    assert not wrong
    assert judged


class Mixed(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, **inputs):
        result = self.model(**inputs)
        return result + result.flip(0)


def test_values_show_a_verdict_that_is_wrong():
    """A flip along the batch is silent by names, and the values tell it: the oracle can fail."""
    model = next(each for each in MODELS if each.name == "resnet18")
    inputs = model.inputs()
    findings, wrong, judged = disagreement(Mixed(model.make()).eval(), model.name, inputs)
    assert (findings, wrong, judged) == ([], 1, 1)
