"""Layers whose check waits for torch's refusal: torch really refuses all that their annotations refuse."""

import linecache

import numpy as np
import pytest
import torch
from hypothesis import event, given, strategies as st
from torch import Tensor

from dimtyped import DimensionError, _config, configure, nn
from dimtyped._typed import entry_of
from dimtyped.nn._layer import layer_classes, torch_class_of

pytestmark = [
    pytest.mark.any_engine,  # the other engine checks before the call, as it does everywhere
    pytest.mark.filterwarnings("ignore:Initializing zero-element tensors"),  # torch's, of a layer without a weight
]
LATE = [cls for cls in layer_classes() if cls.contract.torch_refuses]
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
}
DTYPES = [torch.float32, torch.float32, torch.float64, torch.int64, torch.bool, torch.complex64]
WAYS = {
    "as it is": lambda layer, value: layer(value),
    "meta": lambda layer, value: layer.to("meta")(value.to("meta")),
    "vmap": lambda layer, value: torch.vmap(layer)(torch.stack([value, value])),
    "autocast": lambda layer, value: under_autocast(layer, value),
    "inference": lambda layer, value: torch.inference_mode()(layer)(value),
}
no_tensors = st.sampled_from([None, 3.0, "x", [1.0, 2.0, 3.0], np.ones((2, 3), np.float32), torch.nn.Parameter])
sizes = st.lists(st.integers(0, 4), max_size=6)
tensors = st.builds(
    lambda shape, dtype, flipped: torch.ones(shape, dtype=dtype).mT if flipped and len(shape) > 1 else torch.ones(shape, dtype=dtype),
    sizes,
    st.sampled_from(DTYPES),
    st.booleans(),
)  # fmt: skip


def layers(cls):
    return st.sampled_from(MADE[cls.__name__]).map(lambda made: (cls, *made))


def under_autocast(layer, value):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return layer(value)


def test_each_of_them_is_looked_at():
    assert {cls.__name__ for cls in LATE} == set(MADE)


@pytest.mark.parametrize("cls", LATE, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_torch_refuses_what_the_annotations_refuse(cls, data):
    _, arguments, keywords = data.draw(layers(cls))
    value = data.draw(tensors | no_tensors)
    way = data.draw(st.sampled_from(list(WAYS))) if isinstance(value, Tensor) else "as it is"
    refused = is_refused_alike(cls, arguments, keywords, value, training=data.draw(st.booleans()), way=way)
    event(f"{'refused' if refused else 'fits'}: {'a tensor' if isinstance(value, Tensor) else 'no tensor'}")


@pytest.mark.parametrize("cls", LATE, ids=lambda cls: cls.__name__)
def test_no_size_of_one_is_repeated(cls):
    """What broadcasts elsewhere does not here: torch multiplies no matrix of one column with one of three rows."""
    count = 2 + int(cls.__name__[4]) if cls.__name__.startswith("Conv") else 3
    for arguments, keywords in MADE[cls.__name__]:
        for shape in ((1,) * count, (0,) * count, (1, 0, *(1,) * (count - 2)), ()):
            is_refused_alike(cls, arguments, keywords, torch.ones(shape), training=True)


def is_refused_alike(cls, arguments, keywords, value, *, training, way="as it is"):
    """Whether the annotations refuse a call; torch's layer then does, and ours as they say."""
    ours, theirs = (made(*arguments, **keywords).train(training) for made in (cls, torch_class_of(cls)))
    misfit = entry_of(cls.forward).misfit((ours, value))
    if misfit is None:
        return False
    with pytest.raises(Exception):  # noqa: B017, PT011  # whatever torch has to say
        WAYS[way](theirs, value)
    with pytest.raises(DimensionError) as refused:
        ours(value)
    assert str(refused.value) == str(misfit)
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


def test_a_call_that_fits_runs_no_check():
    linear = nn.Linear(3, 2)
    linear(torch.ones(1, 3))
    lines = [line.strip() for line in linecache.getlines(type(linear).forward.__code__.co_filename)]
    assert lines[2] == "if _dt_is_tracing():"
    with torch.no_grad(), pytest.raises(DimensionError, match="in_features is 4, must be 3"):
        linear(torch.ones(1, 4))


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
