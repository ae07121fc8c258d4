"""Models as people write them, retyped and wrapped with an annotated `forward`: there is nothing to find."""

import pytest
import torch
from jaxtyping import Shaped
from torch import Tensor

from dimtyped import check, nn, retype
from dimtyped.cli.demo.model import Seq2Seq
from tests.models.test_hugging_face import MODELS as HUGGING_FACE
from tests.models.test_networks import MODELS as NETWORKS

AXES = {
    "attention_mask": "batch seq",
    "decoder_input_ids": "batch target",
    "images": "batch channels height width",
    "input_features": "batch mels time",
    "input_ids": "batch seq",
    "input_values": "batch channels time",
    "labels": "batch seq",
    "lengths": "batch",
    "pixel_values": "batch channels height width",
    "source": "batch source",
    "target": "batch target",
    "tokens": "seq batch",
    "x": "batch channels height width",
}
OTHER_AXES = {
    ("nanogpt", "tokens"): "batch seq",
    ("parakeet", "attention_mask"): "batch time",
    ("parakeet", "input_features"): "batch time mels",
    ("vit", "labels"): "batch",
    ("whisper", "labels"): "batch target",
}
SLOW = ("encodec", "slanet")
MODELS = [*NETWORKS, *(model for model in HUGGING_FACE if model.name not in SLOW)]


def wrapped(model, name, inputs):
    """A module whose `forward` hands its annotated parameters on."""
    names, source = list(inputs), {}
    given = ", ".join(f"{parameter}={parameter}" for parameter in names)
    exec(f"def forward(self, {', '.join(names)}):\n    return self.model({given})\n", source)
    forward = source["forward"]
    axes = {parameter: OTHER_AXES.get((name, parameter), AXES[parameter]) for parameter in names}
    forward.__annotations__ = {parameter: Shaped[Tensor, text] for parameter, text in axes.items()}
    wrapper = type("Wrapped", (nn.Module,), {"forward": forward})()
    wrapper.model = model
    return wrapper


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_nothing_is_found_and_every_operator_is_followed(model, train):
    torch.manual_seed(0)
    inputs = model.inputs()
    report = check(wrapped(retype(model.make()).train(train), model.name, inputs), **inputs)
    assert report.ok, str(report)
    assert sum(report.followed.values()) > 5
    assert not report.unfollowed


@pytest.mark.parametrize("sizes", [(50, 16, 24), (50, 16, 16), (16, 16, 16)])
def test_nothing_is_found_in_the_demo_whatever_its_sizes(sizes):
    report = check(Seq2Seq(*sizes))
    assert report.ok, str(report)
    assert not report.unfollowed
