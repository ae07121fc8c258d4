"""`dimtyped.nn.functional`: torch's functions with checks, over torch's own samples and its own refusals."""

import inspect
import pickle
import re
import subprocess
import sys
import textwrap

import pytest
import torch
import torch.nn.functional as torch_functional
from jaxtyping import Float
from torch import Tensor
from torch.testing._internal.common_methods_invocations import op_db

import dimtyped
from dimtyped import VocabularyError, nn, watch
from dimtyped.nn import functional as F  # noqa: N812  # its name everywhere
from dimtyped.nn.functions import FUNCTIONS
from tests.helpers.calls import ones, refuses

NAMES = [each.name for each in FUNCTIONS]
OPERATORS = [
    op
    for op in op_db
    if op.name in {f"nn.functional.{name}" for name in NAMES} and op.variant_test_name != "without_cudnn"
]
_FEW = 12


def called(operator, sample, function):
    """The operator with our function in the place of torch's."""
    name = operator.name.rpartition(".")[2]
    if operator.op is getattr(torch_functional, name):
        return function(sample.input, *sample.args, **sample.kwargs)
    with pytest.MonkeyPatch.context() as patch:

        def ours(*args, **kwargs):
            patch.undo()  # ours calls torch's by its name
            return function(*args, **kwargs)

        patch.setattr(torch_functional, name, ours)
        return operator(sample.input, *sample.args, **sample.kwargs)


def gradients(result, tensors):
    outputs = [each for each in (result if isinstance(result, tuple) else (result,)) if each.requires_grad]
    if not outputs or not tensors:
        return []
    return torch.autograd.grad([each.sum() for each in outputs], tensors, allow_unused=True)


def leaves(sample):
    given = (sample.input, *sample.args, *sample.kwargs.values())
    return [each for each in given if isinstance(each, torch.Tensor) and each.requires_grad]


@pytest.mark.parametrize(
    "operator", OPERATORS, ids=lambda op: f"{op.name}{'.' * bool(op.variant_test_name)}{op.variant_test_name}"
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own
def test_results_and_gradients_are_torchs_over_its_samples(operator):
    function = getattr(F, operator.name.rpartition(".")[2])
    count = 0
    dtype = torch.float32 if torch.float32 in operator.dtypes else torch.int64
    for sample in operator.sample_inputs(
        "cpu", dtype, requires_grad=operator.supports_autograd and dtype.is_floating_point
    ):
        torch.manual_seed(0)
        theirs = operator(sample.input, *sample.args, **sample.kwargs)
        torch.manual_seed(0)
        ours = called(operator, sample, function)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
        if count < _FEW:
            torch.testing.assert_close(
                gradients(ours, leaves(sample)), gradients(theirs, leaves(sample)), rtol=0, atol=0, equal_nan=True
            )
        count += 1
    assert count


@pytest.mark.parametrize("operator", [op for op in OPERATORS if op.error_inputs_func], ids=lambda op: op.name)
def test_what_torch_refuses_is_refused_with_its_kind_of_error(operator):
    function = getattr(F, operator.name.rpartition(".")[2])
    for case in operator.error_inputs("cpu"):
        with pytest.raises(case.error_type):
            called(operator, case.sample_input, function)


def ids(*shape):
    return torch.zeros(*shape).long()


def attend(**others):
    given = {
        "query": ones(3, 2, 8),
        "key": ones(4, 2, 8),
        "value": ones(4, 2, 8),
        "embed_dim_to_check": 8,
        "num_heads": 2,
    }
    weights = {"in_proj_weight": ones(24, 8), "out_proj_weight": ones(8, 8)} | dict.fromkeys(_NOT_GIVEN)
    return F.multi_head_attention_forward(**{**given, **weights, "add_zero_attn": False, "dropout_p": 0.0, **others})


_NOT_GIVEN = ("in_proj_bias", "bias_k", "bias_v", "out_proj_bias")
_OWN = {"q_proj_weight": ones(8, 8), "v_proj_weight": ones(8, 8)}
MISTAKES = {
    "linear": (lambda: F.linear(ones(2, 5), ones(4, 3)), "argument `input` does not fit: in_features is 5, must be 3"),
    "bilinear": (lambda: F.bilinear(ones(2, 3), ones(2, 4), ones(5, 3, 3)), "`input2` does not fit: in2_features is 4, must be 3"),
    "embedding": (lambda: F.embedding(torch.tensor([10]), ones(10, 3)), "1 token id outside the vocabulary: 10, must be 0 to 9"),
    "embedding_bag": (lambda: F.embedding_bag(torch.tensor([[10]]), ones(10, 3)), "outside the vocabulary: 10"),
    "one_hot": (lambda: F.one_hot(torch.tensor([4]), 4), "4 is none of the classes, 0 to 3"),
    "conv1d": (lambda: F.conv1d(ones(2, 3, 9), ones(5, 4, 2)), "argument `input` does not fit: in_channels is 3, must be 4"),
    "conv2d": (lambda: F.conv2d(ones(2, 6, 9, 9), ones(5, 4, 2, 2), groups=2), r"`input` does not fit: \{groups\}\*group_channels is"),
    "conv3d": (lambda: F.conv3d(ones(2, 3, 2, 2, 2), ones(5, 3, 3, 1, 1)), "depth is 2, must be at least 3"),
    "conv_transpose1d": (lambda: F.conv_transpose1d(ones(2, 3, 9), ones(4, 5, 2)), "`input` does not fit: in_channels is 3"),
    "batch_norm": (lambda: F.batch_norm(ones(2, 3), ones(4), ones(4)), "argument `input` does not fit: channels is 3, must be 4"),
    "batch_norm of one": (lambda: F.batch_norm(ones(1, 3), None, None, training=True), "batch is 1, must be at least 2 in training"),
    "group_norm": (lambda: F.group_norm(ones(2, 5), 2), "channels is 5, must be a multiple of 2"),
    "layer_norm": (lambda: F.layer_norm(ones(2, 4), (5,)), "argument `input` does not fit: features is 4, must be 5"),
    "rms_norm": (lambda: F.rms_norm(ones(2, 4), (4,), ones(5)), "argument `weight` does not fit: features is 5, must be 4"),
    "max_pool2d": (lambda: F.max_pool2d(ones(2, 3, 2, 9), 3), "height is 2, must be at least 3"),
    "avg_pool1d": (lambda: F.avg_pool1d(ones(9), 3), "it has 1 axis, must have 2 or 3"),
    "mse_loss": (lambda: F.mse_loss(ones(4, 1), ones(4)), r"its shape is \(4,\), must be \(4, 1\)"),
    "l1_loss": (lambda: F.l1_loss(ones(4, 1), ones(1, 4)), r"its shape is \(1, 4\), must be \(4, 1\)"),
    "cross_entropy": (lambda: F.cross_entropy(ones(4, 7, 10), torch.zeros(4, 7).long()), r"\*place is \(7,\), must be \(10,\)"),
    "cross_entropy of a class": (lambda: F.cross_entropy(ones(1, 3), torch.tensor([3])), "3 is none of the classes, 0 to 2"),
    "nll_loss": (lambda: F.nll_loss(ones(4, 3), torch.zeros(5).long()), "batch is 5, must be 4"),
    "sdpa": (lambda: F.scaled_dot_product_attention(ones(2, 3, 4), ones(2, 5, 4), ones(2, 6, 4)), "`value` does not fit: source is 6"),
    "sdpa's mask": (
        lambda: F.scaled_dot_product_attention(ones(2, 3, 4), ones(2, 5, 4), ones(2, 5, 4), ones(5, 3)),
        "argument `attn_mask` does not fit: target is 5, must be 3; source is 3, must be 5",
    ),
    "fold": (lambda: F.fold(ones(2, 10, 9), 4, 2), "values is 10, must be a multiple of 4"),
    "unfold": (lambda: F.unfold(ones(2, 3, 1, 9), 2), "height is 1, must be at least 2"),
    "pixel_shuffle": (lambda: F.pixel_shuffle(ones(2, 3, 4, 4), 2), "channels is 3, must be a multiple of 4"),
    "pixel_unshuffle": (lambda: F.pixel_unshuffle(ones(2, 3, 4, 5), 2), "width is 5, must be a multiple of 2"),
    "channel_shuffle": (lambda: F.channel_shuffle(ones(2, 3, 4), 2), "channels is 3, must be a multiple of 2"),
    "interpolate": (lambda: F.interpolate(ones(2, 3, 4), 2, mode="bilinear"), "it has 3 axes, must have 4"),
    "upsample_bilinear": (lambda: F.upsample_bilinear(ones(2, 3, 4, 4, 4), 2), "it has 5 axes, must have 4"),
    "fractional_max_pool2d": (lambda: F.fractional_max_pool2d(ones(2, 3, 4, 4), 2, 5), "height is 4, must be at least 6"),
    "max_pool1d_with_indices": (lambda: F.max_pool1d_with_indices(ones(2, 3, 1), 2), "length is 1, must be at least 2"),
    "max_unpool1d": (lambda: F.max_unpool1d(ones(2, 3, 4), torch.ones(2, 3, 5).long(), 2), r"shape is \(2, 3, 5\), must be"),
    "linear_cross_entropy": (lambda: F.linear_cross_entropy(ones(2, 4), ones(5, 3), ids(2)), "in_features is 4, must be 3"),
    "linear_cross_entropy of places": (
        lambda: F.linear_cross_entropy(ones(2, 3), ones(5, 6, 3), ids(2, 7)),
        r"`target` does not fit: \*place is \(7,\), must be \(6,\)",
    ),
    "multi_head_attention_forward": (lambda: attend(value=ones(5, 2, 8)), "`value` does not fit: source is 5, must be 4"),
    "multi_head_attention_forward of a width": (
        lambda: attend(query=ones(3, 2, 6)),
        "argument `query` does not fit: embed is 6, must be 8",
    ),
    "multi_head_attention_forward of heads": (lambda: attend(num_heads=3), "embed is 8, must be a multiple of num_heads=3"),
    "multi_head_attention_forward of a mask": (
        lambda: attend(attn_mask=ones(3, 3, 4)),
        r"`attn_mask` does not fit: batch\*\{num_heads\} is 3, must be 4",
    ),
    "multi_head_attention_forward of weights": (
        lambda: attend(in_proj_weight=None, use_separate_proj_weight=True, k_proj_weight=ones(8, 5), **_OWN),
        "`key` does not fit: kdim is 8, must be 5",
    ),
    "grid_sample": (lambda: F.grid_sample(ones(2, 3, 4, 4), ones(1, 4, 4, 2)), "batch is 1, must be 2"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
@pytest.mark.filterwarnings("ignore:Default grid_sample", "ignore:`nn.functional.upsample")
def test_a_mistake_is_told_by_name(case):
    call, message = MISTAKES[case]
    with refuses(
        f"^functional\\.{'scaled_dot_product_attention' if 'sdpa' in case else case.partition(' ')[0]}: "
    ) as caught:
        call()
    assert re.search(message, str(caught.value)), str(caught.value)
    assert caught.value.where.startswith("functional.")


def test_the_advice_is_that_of_the_layer():
    with refuses("  The classes must be axis 1: `input.permute\\(0, 2, 1\\)` fits.$"):
        F.cross_entropy(ones(4, 7, 10), torch.zeros(4, 7).long())
    with refuses("  The channels .* before height and width: `input.permute\\(0, 3, 1, 2\\)` fits.$"):
        F.conv2d(ones(2, 9, 8, 3), ones(5, 3, 2, 2))


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: F.linear(ones(2, 3), ones(4, 3), ones(5)), "bias"),
        (lambda: F.linear(ones(2, 5), ones(4, 3), ones(5)), "input"),
        (lambda: F.batch_norm(ones(2, 4), ones(4), ones(5)), "running_var"),
        (lambda: F.batch_norm(ones(2, 4), ones(5), ones(4)), "running_mean"),
        (lambda: F.conv_transpose1d(ones(2, 6, 9), ones(6, 4, 2), ones(4), groups=2), "bias"),
    ],
)
def test_the_input_is_named_first_unless_the_weights_disagree(call, argument):
    with refuses(f": argument `{argument}` does not fit: ") as caught:
        call()
    assert caught.value.argument == argument


def test_a_fix_of_the_weight_says_so():
    with refuses("argument `input` does not fit: .*\n\n(.*\n)+  `weight` is transposed: `weight.T` fits.$"):
        F.linear(ones(2, 3), ones(3, 4))


WRONG_LABELS = [([-1, -1], "If -1 marks positions to ignore, "), ([255, 0], "If 255 marks positions to ignore, ")]
NO_LABELS = [
    ([1, 3], "Are the classes numbered from 1"),
    ([0, 4], "Classes are numbered from 0: give the layer before"),
]


@pytest.mark.parametrize(("labels", "advice"), WRONG_LABELS + NO_LABELS)
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_advice_on_labels_is_that_of_the_layer(name, labels, advice):
    layer = {"cross_entropy": nn.CrossEntropyLoss, "nll_loss": nn.NLLLoss}[name]
    target = torch.tensor(labels)
    with refuses(f"  {advice}") as of_layer:
        layer()(ones(2, 3), target)
    with refuses(f"  {advice}") as of_function:
        getattr(F, name)(ones(2, 3), target)
    worst = labels[0]
    said = of_layer.value.hint.replace(f"make this {layer.__name__}(", f"call {name}(")
    assert of_function.value.hint == said
    if "ignore" in advice:
        assert F.cross_entropy(ones(2, 3), target, ignore_index=worst).shape == ()  # it helps
        with refuses(f"  If {worst} ") as again:  # an index is ignored already, and this is another one
            getattr(F, name)(ones(2, 3), torch.tensor([worst, 1]), ignore_index=1)
        assert f"ignore_index={worst}" in str(again.value)


def test_advice_on_windows_is_that_of_the_layer():
    advice = "It is smaller than the kernel: give a larger input, a smaller {} or more padding."
    with refuses(f"  {advice.format('kernel_size')}$"):
        F.max_pool1d(ones(2, 3, 1), 2)
    with refuses(f"  {advice.format('kernel')}$"):
        F.conv1d(ones(2, 3, 1), ones(5, 3, 2))
    with refuses("  Are the classes numbered from 1"):
        F.multi_margin_loss(ones(2, 3), torch.tensor([1, 3]))


def test_a_wrong_id_is_a_vocabulary_error():
    with pytest.raises(VocabularyError):
        F.embedding(torch.tensor([10]), ones(10, 3))


def test_attention_takes_what_its_layer_takes():
    masked = attend(attn_mask=ones(9, 9) > 0, is_causal=True, need_weights=False)[0]
    assert torch.equal(masked, attend(attn_mask=ones(3, 4) > 0, is_causal=True, need_weights=False)[0])
    assert attend(query=ones(3, 8), key=ones(4, 8), value=ones(4, 8))[0].shape == (3, 8)
    assert attend(static_k=ones(4, 5, 4), static_v=ones(4, 5, 4))[1].shape == (2, 3, 5)
    layer = torch.nn.MultiheadAttention(8, 2, kdim=5, vdim=6)
    own = {name: getattr(layer, name) for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight")}
    found = attend(key=ones(4, 2, 5), value=ones(4, 2, 6), in_proj_weight=None, use_separate_proj_weight=True, **own)
    assert found[0].shape == (3, 2, 8)


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_a_loss_takes_what_its_layer_takes():
    assert F.mse_loss(ones(4), torch.tensor(1.0)).item() == 0
    assert F.cross_entropy(ones(4, 3), ones(4, 3)).shape == ()
    assert F.cross_entropy(ones(3), torch.tensor(1)).shape == ()


# One of torch's functions, in every other way ---------------------------------------------------------------------------


@pytest.mark.any_engine
def test_all_else_is_torchs():
    public = {name for name in dir(torch_functional) if not name.startswith("_")}
    assert public <= set(dir(F))
    others = {name: getattr(F, name) for name in public - set(NAMES)}
    assert {name for name, value in others.items() if value is not getattr(torch_functional, name)} == set()


@pytest.mark.any_engine
@pytest.mark.parametrize("name", NAMES)
def test_signature_and_name(name):
    ours, theirs = getattr(F, name), getattr(torch_functional, name)
    assert ours.__name__ == name
    assert pickle.loads(pickle.dumps(ours)) is ours
    parameters = inspect.signature(ours).parameters
    if inspect.isfunction(theirs) and "args" not in inspect.signature(theirs).parameters:
        assert parameters == inspect.signature(theirs).parameters
    elif theirs.__doc__:
        written = re.search(rf"{name}\((.*?)\)", theirs.__doc__)
        assert written is None or re.findall(r"(\w+)(?:=|,|$| )", written[1])[0] == next(iter(parameters))


@pytest.mark.any_engine
def test_off_is_torchs_own():
    code = """
        from dimtyped.nn import functional as F  # noqa: N812  # its name everywhere
        import torch
        import dimtyped
        print(F.linear is torch.nn.functional.linear, F.mse_loss is torch.nn.functional.mse_loss)
        dimtyped.configure("on")
        print(F.linear is torch.nn.functional.linear)
        dimtyped.configure("off")
        print(F.linear is torch.nn.functional.linear)
        """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env={"DIMTYPED": "off"}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "False", "True"]


class Head(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(ones(3, 4))

    def forward(self, x, y):
        scores = nn.functional.linear(nn.functional.layer_norm(x, (4,)), self.weight)
        return nn.functional.cross_entropy(scores, y)


class Plain(Head):
    def forward(self, x, y):
        scores = torch_functional.linear(torch_functional.layer_norm(x, (4,)), self.weight)
        return torch_functional.cross_entropy(scores, y)


@pytest.mark.any_engine
def test_it_compiles_to_the_graph_of_torchs():
    graphs = []

    def backend(graph, inputs):
        graphs.append([node.target for node in graph.graph.nodes if node.op == "call_function"])
        return graph

    x, y = ones(2, 4), torch.zeros(2).long()
    for model in (Head(), Plain()):
        torch.compile(model, fullgraph=True, backend=backend)(x, y)
    assert graphs[0] == graphs[1]
    with pytest.raises(
        Exception, match="functional.cross_entropy: argument `target` does not fit: batch is 3, must be 2"
    ):
        torch.compile(Head(), fullgraph=True, backend="eager")(x, torch.zeros(3).long())


@pytest.mark.any_engine
def test_names_are_followed_through_it():
    @dimtyped.typed
    def loss(x: Float[Tensor, "batch embed"], w: Float[Tensor, "out embed"], y: Float[Tensor, "out batch"]):
        return F.mse_loss(F.linear(x, w), y)

    with watch() as report:
        loss(ones(4, 3), ones(4, 3), ones(4, 4))
    (found,) = report.findings
    assert found.kind == "coincidence"
    assert found.source == "F.mse_loss(F.linear(x, w), y)"
