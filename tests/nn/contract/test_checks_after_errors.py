"""Layers whose check waits for torch's refusal: torch really refuses all that their annotations refuse."""

import re
from types import MappingProxyType

import numpy as np
import pytest
import torch
from hypothesis import event, given, strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from dimtyped import DimensionError, configure, nn
from dimtyped.engine import entry_of, prepare
from dimtyped.engine.source import TENSOR
from dimtyped.nn.contract import layer_classes, torch_class_of
from dimtyped.runtime import config as _config

pytestmark = [
    pytest.mark.any_engine,  # the other engine checks before the call, as it does everywhere
    pytest.mark.filterwarnings("ignore:Initializing zero-element tensors"),  # torch's, of a layer without a weight
]
LATE = [cls for cls in layer_classes() if cls.contract.check_after_error]
MADE = {
    "Linear": [((3, 2), {}), ((1, 1), {}), ((2, 3), {"bias": False}), ((0, 2), {}), ((3, 0), {})],
    "LayerNorm": [((3,), {}), (((2, 1),), {}), ((1,), {"elementwise_affine": False})],
    "RMSNorm": [((3,), {}), (((2, 1),), {}), ((1,), {"elementwise_affine": False})],
    **{
        f"Conv{count}d": [
            ((2, 4, 1), {}),
            ((1, 1, 2), {"padding": 1, "bias": False}),
            ((2, 2, 1), {"groups": 2, "padding": "same"}),
            ((1, 2, 3), {"padding": 1, "padding_mode": "circular"}),
        ]
        for count in (1, 2, 3)
    },
    "Fold": [((2, 1), {}), (((1, 2), (1, 2)), {}), ((2, 2), {"padding": 1}), ((3, 1), {"stride": 2})],
    "Unfold": [((1,), {}), (((1, 2),), {}), ((2,), {"padding": 1, "stride": 2}), ((2,), {"dilation": 2})],
    **{
        f"BatchNorm{count}d": [
            ((3,), {}),
            ((1,), {"affine": False}),
            ((2,), {"track_running_stats": False}),
            ((2,), {"affine": False, "track_running_stats": False}),
        ]
        for count in (1, 2, 3)
    },
    "GroupNorm": [((1, 3), {}), ((2, 2), {}), ((1, 1), {"affine": False}), ((2, 4), {"affine": False})],
    "Bilinear": [((2, 3, 1), {}), ((1, 1, 2), {"bias": False})],
    "CrossEntropyLoss": [
        ((), {}),
        ((), {"reduction": "none"}),
        ((torch.ones(3),), {"ignore_index": 0}),
        ((), {"label_smoothing": 0.1, "reduction": "sum"}),
    ],
    "NLLLoss": [((), {}), ((), {"reduction": "none"}), ((torch.ones(3),), {"ignore_index": 0})],
    "TiedDecoder": [((3, 2), {}), ((1, 1), {}), ((2, 3), {"bias": False}), ((0, 2), {}), ((3, 0), {})],
    "MultiheadAttention": [
        ((4, 2), {}),
        ((4, 2), {"batch_first": True}),  # this one and the next: torch's fused path, where nothing is learnt
        ((2, 2), {"batch_first": True}),
        ((1, 1), {"bias": False, "batch_first": True}),
        ((3, 3), {"dropout": 0.5, "add_bias_kv": True, "add_zero_attn": True}),
    ],
    "TransformerEncoderLayer": [
        ((4, 2, 3), {}),
        ((4, 2, 3), {"batch_first": True}),  # the fused path again
        ((2, 2, 1), {"batch_first": True, "norm_first": True}),
        ((1, 1, 1), {"bias": False}),
    ],
}
OF_TWO = ("Bilinear", "CrossEntropyLoss", "NLLLoss")
# What a call may be given beside the tensors.
OPTIONS = {
    "TransformerEncoderLayer": st.fixed_dictionaries({}, optional={"is_causal": st.booleans()}),
    "MultiheadAttention": st.fixed_dictionaries(
        {}, optional={"need_weights": st.booleans(), "average_attn_weights": st.booleans(), "is_causal": st.booleans()}
    ),
}
DTYPES = [torch.float32, torch.float32, torch.float64, torch.int64, torch.bool, torch.complex64]
WAYS = {
    "as it is": lambda layer, values: layer(*values),
    "meta": lambda layer, values: layer.to("meta")(*(value.to("meta") for value in values)),
    "vmap": lambda layer, values: torch.vmap(layer)(*(torch.stack([value, value]) for value in values)),
    "autocast": lambda layer, values: under_autocast(layer, values),
    "vmap of the first": lambda layer, values: of_several(layer, *values),
    "fake": lambda layer, values: of_fakes(layer, values),
    "inference": lambda layer, values: torch.inference_mode()(layer)(*values),
    "no gradient": lambda layer, values: torch.no_grad()(layer)(*values),
}
no_tensors = st.sampled_from([None, 3.0, "x", [1.0, 2.0, 3.0], np.ones((2, 3), np.float32), torch.nn.Parameter])
sizes = st.lists(st.integers(0, 4), max_size=6)
tensors = st.builds(
    lambda shape, dtype, flipped: torch.ones(shape, dtype=dtype).mT if flipped and len(shape) > 1 else torch.ones(shape, dtype=dtype),
    sizes,
    st.sampled_from(DTYPES),
    st.booleans(),
)  # fmt: skip


@st.composite
def two_tensors(draw):
    """Two tensors, whose shapes often differ by one axis, or not at all."""
    first = draw(tensors)
    shape = list(first.shape)
    if shape and draw(st.booleans()):
        del shape[draw(st.integers(0, len(shape) - 1))]
    if shape and draw(st.booleans()):
        shape[draw(st.integers(0, len(shape) - 1))] = draw(st.integers(0, 4))
    second = torch.ones(shape, dtype=draw(st.sampled_from([*DTYPES, torch.int64, torch.uint8])))
    return first, draw(st.just(second) | tensors)


class Alone(torch.nn.Module):
    """A layer that is given one tensor in each of its inputs' places, as attention of a sequence to itself, or two."""

    def __init__(self, layer, options):
        super().__init__()
        self.layer, self.options = layer, options

    def forward(self, *values):
        return self.layer(*inputs(type(self.layer), values), **self.options)


def makers(cls):
    """What makes the layer, and torch's that takes the same."""
    if cls is nn.TiedDecoder:
        return lambda width, vocab, **keywords: cls(nn.Embedding(vocab, width), **keywords), torch.nn.Linear
    return cls, torch_class_of(cls)


def inputs(cls, values):
    return values * 3 if issubclass(cls, torch.nn.MultiheadAttention) else values


def under_autocast(layer, values):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return layer(*values)


def of_several(layer, first, *others):
    return torch.vmap(layer, (0, *(None for _ in others)))(torch.stack([first, first]), *others)


def of_fakes(layer, values):
    """The call as `check` makes it: no tensor in it has values."""
    with FakeTensorMode() as mode:
        held = {name: mode.from_tensor(tensor) for name, tensor in layer.state_dict(keep_vars=True).items()}
        return torch.func.functional_call(layer, held, tuple(mode.from_tensor(value) for value in values))


def test_each_of_them_is_looked_at():
    assert {cls.__name__ for cls in LATE} == set(MADE)


@pytest.mark.parametrize("cls", LATE, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_torch_refuses_what_the_annotations_refuse(cls, data):
    arguments, keywords = data.draw(st.sampled_from(MADE[cls.__name__]))
    drawn = two_tensors() if cls.__name__ in OF_TWO else st.tuples(tensors)
    values = data.draw(drawn | st.tuples(*[tensors | no_tensors] * (2 if cls.__name__ in OF_TWO else 1)))
    are_tensors = all(isinstance(value, Tensor) for value in values)
    way = data.draw(st.sampled_from(list(WAYS))) if are_tensors else "as it is"
    options = data.draw(OPTIONS.get(cls.__name__, st.just({})))
    training = data.draw(st.booleans())
    refused = is_refused_alike(cls, arguments, keywords, values, training=training, way=way, options=options)
    event(f"{'refused' if refused else 'fits'}: {'tensors' if are_tensors else 'no tensor'}")


@pytest.mark.parametrize("cls", LATE, ids=lambda cls: cls.__name__)
def test_no_size_of_one_is_repeated(cls):
    """What broadcasts elsewhere does not here: torch multiplies no matrix of one column with one of three rows."""
    count = 2 + int(cls.__name__[4]) if cls.__name__.startswith("Conv") else 3
    for arguments, keywords in MADE[cls.__name__]:
        for shape in ((1,) * count, (0,) * count, (1, 0, *(1,) * (count - 2)), ()):
            values = (torch.ones(shape),) * (2 if cls.__name__ in OF_TWO else 1)
            is_refused_alike(cls, arguments, keywords, values, training=True)


def is_refused_alike(cls, arguments, keywords, values, *, training, way="as it is", options=MappingProxyType({})):
    """Whether the annotations refuse a call; torch's layer then does, and ours as they say."""
    ours, theirs = (made(*arguments, **keywords).train(training) for made in makers(cls))
    entry = entry_of(cls.forward)
    prepare(entry, None)
    mismatch = entry.error_after(entry.declaration.values_of((ours, *inputs(cls, values)), options))
    if mismatch is None:
        return False
    with pytest.raises(Exception):  # noqa: B017, PT011  # whatever torch has to say
        WAYS[way](Alone(theirs, options), values)
    with pytest.raises(DimensionError) as refused:
        ours(*inputs(cls, values), **options)
    assert re.sub(r"\n    called at .*", "", str(refused.value)) == str(
        mismatch
    )  # no line of this call is known before it
    return True


def test_where_torch_would_end_the_process_the_check_comes_first(monkeypatch):
    before = _config.mode()
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    try:
        configure("on")
        linear = nn.Linear(3, 2)
        monkeypatch.setattr(torch.nn.functional, "linear", lambda *_: pytest.fail("torch was asked"))
        with pytest.raises(DimensionError, match="in_features is 4, must be 3"):
            linear(torch.ones(1, 4))
    finally:
        monkeypatch.undo()
        configure(before)


def replace_torch(monkeypatch, layer):
    """Each further call of a layer of this class answers "torch's", where it would call torch."""
    check = entry_of(type(layer).forward).call  # a function beside the wrapper, if the first call was in a trace
    name = next(name for name in check.__code__.co_names if name.startswith("_dt_function"))
    monkeypatch.setitem(check.__globals__, name, lambda *_: "torch's")


@pytest.mark.parametrize("is_traced_first", [False, True])
def test_a_call_that_fits_runs_no_check(is_traced_first, monkeypatch):
    linear = nn.Linear(3, 2)
    value = torch.ones(1, 3)
    if is_traced_first:
        before = _config.mode()
        configure("reference"), configure(before)  # it forgets what is compiled
        torch.compile(lambda x: linear(x), backend="eager")(value)
    linear(value)
    unread = type("Unread", (Tensor,), {"shape": property(lambda _: pytest.fail("its shape was read"))})(value)
    with monkeypatch.context() as patch:
        replace_torch(patch, linear)
        assert linear.forward(unread) == "torch's"
    with torch.no_grad(), pytest.raises(DimensionError, match="in_features is 4, must be 3"):
        linear(torch.ones(1, 4))


class TestAttentionToItself:
    """The one form of attention that is late: between two sequences, and under masks, torch takes what does not fit."""

    @pytest.mark.parametrize("batch_first", [True, False])
    def test_a_call_that_fits_runs_no_check(self, batch_first, monkeypatch):
        attention = nn.MultiheadAttention(4, 2, batch_first=batch_first)
        value = torch.ones(2, 3, 4)
        attention(value, value, value)
        replace_torch(monkeypatch, attention)
        unread = type("Unread", (Tensor,), {"shape": property(lambda _: pytest.fail("its shape was read"))})(value)
        assert attention.forward(unread, unread, unread) == "torch's"

    @pytest.mark.parametrize("batch_first", [True, False])
    def test_without_batch(self, batch_first):
        attention = nn.MultiheadAttention(4, 2, batch_first=batch_first)
        value = torch.ones(3, 5)
        with pytest.raises(DimensionError, match="embed is 5, must be 4") as refused:
            attention(value, value, value)
        assert 'Shaped[Tensor, "source embed"]' in str(refused.value)

    def test_nothing_of_two_sequences_is(self):
        """Torch takes a source of length nothing whose batch is another."""
        query, key = torch.ones(3, 2, 4), torch.ones(0, 5, 4)
        torch.nn.MultiheadAttention(4, 2)(query, key, key)
        with pytest.raises(DimensionError, match="batch is 5, must be 2"):
            nn.MultiheadAttention(4, 2)(query, key, key)


class TestLossesOfClasses:
    @pytest.mark.parametrize("cls", [nn.CrossEntropyLoss, nn.NLLLoss])
    def test_a_call_that_fits_runs_no_check(self, cls, monkeypatch):
        loss, logits, labels = cls(), torch.ones(2, 3), torch.ones(2, dtype=torch.int64)
        loss(logits, labels)
        replace_torch(monkeypatch, loss)
        unread = type("Unread", (Tensor,), {"shape": property(lambda _: pytest.fail("its shape was read"))})
        assert loss.forward(logits.as_subclass(unread), labels.as_subclass(unread)) == "torch's"

    @pytest.mark.parametrize(
        ("logits", "labels"),
        [
            (torch.ones(2, 3, 4, 4), torch.ones(2, 2, 2, dtype=torch.int64)),
            (torch.ones(2, 3), torch.ones(2, dtype=torch.int32)),
        ],
        ids=["places", "dtype"],
    )
    def test_what_torch_takes_of_fake_tensors_is_checked_before(self, logits, labels):
        with FakeTensorMode() as mode:
            fakes = mode.from_tensor(logits), mode.from_tensor(labels)
            torch.nn.NLLLoss()(*fakes)
            with pytest.raises(DimensionError, match="argument `target` does not fit"):
                nn.NLLLoss()(*fakes)


class TestTiedDecoder:
    def test_with_a_projection_the_check_comes_first(self):
        decoder = nn.TiedDecoder(nn.Embedding(5, 3), 4, project=True)
        decoder.projection = torch.nn.Identity()  # which takes what the decoder does not
        with pytest.raises(DimensionError, match="hidden is 3, must be 4"):
            decoder(torch.ones(1, 3))


LABELS = torch.zeros(2, dtype=torch.int64)


class TestInTraces:
    """Where torch refuses on fake tensors too, a trace has no check, and its error is told by name all the same."""

    @pytest.fixture(autouse=True)
    def _compiled_anew(self):
        torch.compiler.reset()  # a frame that raised is not compiled again

    @pytest.mark.parametrize(
        ("make", "values", "text"),
        [
            (nn.CrossEntropyLoss, (torch.ones(3, 4), LABELS), "batch is 2, must be 3"),
            (nn.NLLLoss, (torch.ones(3, 4), LABELS), "batch is 2, must be 3"),
            (lambda: nn.TiedDecoder(nn.Embedding(5, 3)), (torch.ones(1, 4),), "hidden is 4, must be 3"),
        ],
        ids=["CrossEntropyLoss", "NLLLoss", "TiedDecoder"],
    )
    @pytest.mark.parametrize("fullgraph", [True, False])
    def test_it_is_told_by_name(self, make, values, text, fullgraph):
        layer = torch.compile(make(), backend="eager", fullgraph=fullgraph)
        with pytest.raises(DimensionError, match=text):
            layer(*values)

    @pytest.mark.parametrize(
        ("make", "values"),
        [
            (nn.CrossEntropyLoss, (torch.ones(2, 4), LABELS)),
            (lambda: nn.TiedDecoder(nn.Embedding(5, 3)), (torch.ones(1, 3),)),
        ],
        ids=["CrossEntropyLoss", "TiedDecoder"],
    )
    def test_a_call_that_fits_is_traced_without_a_check(self, make, values, monkeypatch):
        layer = make()
        layer(*values)
        monkeypatch.setitem(type(layer).forward.__globals__, TENSOR, str)  # a check would refuse all tensors
        assert torch.compile(layer, backend="eager", fullgraph=True)(*values).isfinite().all()

    def test_places_are_checked_in_the_trace(self):
        with pytest.raises(DimensionError, match="argument `target` does not fit"):
            torch.compile(nn.NLLLoss(), backend="eager", fullgraph=True)(
                torch.ones(2, 3, 4, 4), torch.zeros(2, 2, 2).long()
            )


class TestTransformerEncoderLayer:
    def test_the_fused_path_takes_what_is_empty(self):
        theirs, ours = (of.TransformerEncoderLayer(4, 2, 3, batch_first=True).eval() for of in (torch.nn, nn))
        empty = torch.ones(1, 2, 0)
        with torch.no_grad():
            theirs(empty)
            with pytest.raises(DimensionError, match="embed is 0, must be 4"):
                ours(empty)

    def test_with_an_attention_of_ones_own_the_check_comes_first(self):
        class Careless(torch.nn.MultiheadAttention):
            def forward(self, *_, **__):
                pytest.fail("it was asked")

        layer = nn.TransformerEncoderLayer(4, 2, 3)
        layer.self_attn = Careless(4, 2)
        with pytest.raises(DimensionError, match="embed is 5, must be 4"):
            layer(torch.ones(1, 2, 5))

    def test_a_length_that_nothing_is_known_of_is_not_asked_for(self, monkeypatch):
        layer = nn.TransformerEncoderLayer(4, 2, 3)
        layer(torch.ones(1, 2, 4))
        replace_torch(monkeypatch, layer)
        shapes = ShapeEnv()
        with FakeTensorMode(shape_env=shapes):
            length = shapes.create_unbacked_symint()
            torch._check(length >= 0)
            assert layer.forward(torch.ones(length, 2, 4)) == "torch's"


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
class TestRaggedTensors:
    def test_one_without_a_shape_keeps_torchs_words(self):
        several = torch.nested.nested_tensor([torch.ones(2, 5), torch.ones(3, 5)])
        for of in (torch.nn, nn):
            with pytest.raises(RuntimeError, match="Shape mismatch for NestedTensor Linear"):
                of.Linear(4, 2)(several)
            with pytest.raises(AssertionError, match="does not support NestedTensor outside of its fast path"):
                of.MultiheadAttention(5, 1)(several, several, several)

    @pytest.mark.parametrize("shapes", [[(2, 5), (3, 5)], [(2, 5, 5), (2, 4, 5)]])
    def test_so_it_does_where_a_rule_of_ours_would_read_the_shape(self, shapes):
        several = torch.nested.nested_tensor([torch.ones(shape) for shape in shapes])
        for of in (torch.nn, nn):
            with pytest.raises(NotImplementedError, match="Could not run 'aten::convolution'"):
                of.Conv1d(2, 3, 1)(several)

    def test_one_with_a_shape_is_told_by_name(self):
        several = torch.nested.nested_tensor([torch.ones(2, 5), torch.ones(3, 5)], layout=torch.jagged)
        with pytest.raises(DimensionError, match="in_features is 5, must be 4"):
            nn.Linear(4, 2)(several)


def test_an_error_of_another_cause_stays_what_it_is():
    class OddError(RuntimeError):
        pass

    def fail(*_):
        raise OddError("not of shapes")

    linear = nn.Linear(3, 2)
    torch.nn.utils.parametrize.register_parametrization(linear, "bias", torch.nn.Identity())
    linear.parametrizations.bias[0].forward = fail
    with pytest.raises(OddError, match="not of shapes"):
        linear(torch.ones(1, 3))
