"""Models written with `torch.nn` alone, retyped."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
import torch

from tests.models.networks import (
    Block,
    Bottleneck,
    Gpt,
    ResNet,
    TransformerWordModel,
    Translator,
    VisionTransformer,
    WordModel,
)
from tests.models.retyping import CompiledModels, Model, RetypedModels, of_another, traced


def images() -> dict[str, Any]:
    return {"x": torch.randn(2, 3, 32, 32)}


def tokens(*shape: int) -> torch.Tensor:
    return torch.randint(1, 20, shape)


def given(**inputs: Callable[[], Any]) -> Callable[[], Mapping[str, Any]]:
    return lambda: {name: make() for name, make in inputs.items()}


WORD_MODELS = [
    Model(
        f"word_language_model-{kind}{'-tied' if tied else ''}",
        partial(WordModel, kind, 20, 8, 8, 2, tied),
        given(tokens=partial(tokens, 6, 3)),
        compiled=partial(WordModel, kind, 20, 8, 8, 1, tied) if kind == "LSTM" else None,
    )
    for kind, tied in [("LSTM", True), ("LSTM", False), ("GRU", True), ("RNN_TANH", False), ("RNN_RELU", True)]
]

MODELS = [
    Model("resnet18", partial(ResNet, Block, [2, 2, 2, 2]), images, compiled=partial(ResNet, Block, [1, 1])),
    Model("resnet50", partial(ResNet, Bottleneck, [3, 4, 6, 3]), images),
    Model(
        "vit",
        partial(VisionTransformer, 16, 4, 2, 2, 8, 5),
        given(images=partial(torch.randn, 2, 3, 16, 16)),
        compiled=partial(VisionTransformer, 16, 4, 1, 2, 8, 5),
    ),
    Model(
        "nanogpt",
        partial(Gpt, 20, 10, 8, 2, 2),
        given(tokens=partial(tokens, 2, 7)),
        compiled=partial(Gpt, 20, 10, 8, 2, 1),
    ),
    *WORD_MODELS,
    Model(
        "word_language_model-transformer",
        partial(TransformerWordModel, 20, 8, 2, 16, 2),
        given(tokens=partial(tokens, 6, 3)),
        left_alone={"TransformerWordModel": of_another("Transformer")},
    ),
    Model(
        "seq2seq",
        partial(Translator, 20, 6, 8),
        given(source=partial(tokens, 3, 5), lengths=lambda: torch.tensor([3, 5, 2]), target=partial(tokens, 3, 4)),
        compiled=partial(Translator, 20, 6, 8),
    ),
]


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")  # torch's own, of the transformer's default layout
@pytest.mark.parametrize("model", MODELS, ids=str)
class TestRetyped(RetypedModels):
    pass


@pytest.mark.any_engine  # a trace follows the fast engine's checks, whichever is chosen
@pytest.mark.parametrize("model", [model for model in MODELS if model.compiled], ids=str)
class TestCompiled(CompiledModels):
    pass


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
def test_after_a_break_of_torchs_own_the_layers_inside_are_compiled_too() -> None:
    """The encoder compares its mask, which no graph holds. Torch's layers then run as they are, ours are still traced."""
    [model] = [model for model in MODELS if model.name == "word_language_model-transformer"]
    plain, typed = model.twins()
    inputs = model.inputs()
    theirs, ours = traced(plain, inputs), traced(typed, inputs)
    assert theirs.count == 2
    assert [ours.ops[: len(theirs.ops) - 2], ours.ops[-2:]] == [theirs.ops[:-2], theirs.ops[-2:]]
