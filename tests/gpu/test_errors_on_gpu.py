"""A wrong call on a GPU is refused before any kernel runs, so the device stays usable."""

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

import dimtyped
from dimtyped import DimensionError, VocabularyError, nn


def test_a_wrong_size_is_named(gpu: torch.device) -> None:
    layer = nn.Linear(128, 256).to(gpu)
    with pytest.raises(DimensionError, match="in_features is 127, must be 128"):
        layer(torch.zeros(1, 127, device=gpu))
    assert layer(torch.zeros(1, 128, device=gpu)).shape == (1, 256)


def test_an_error_keeps_no_tensor_on_the_gpu(gpu: torch.device) -> None:
    @dimtyped.typed
    def scale(x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch hidden"]:
        return 2 * x

    alive, error = _refused(scale, torch.zeros(3, device=gpu))
    gc.collect()
    assert alive() is None
    assert "must have 2" in str(error)


def _refused(function: Callable[[Tensor], Tensor], wrong: Tensor) -> tuple[weakref.ref[Tensor], Exception]:
    with pytest.raises(DimensionError) as caught:
        function(wrong)
    return weakref.ref(wrong), caught.value.with_traceback(None)


def test_a_token_outside_the_vocabulary_is_found_before_the_kernel(gpu: torch.device) -> None:
    dimtyped.configure("values")
    embedding = nn.Embedding(10, 4).to(gpu)
    with pytest.raises(VocabularyError, match="must be 0 to 9"):
        embedding(torch.tensor([[3, 10]], device=gpu))
    assert embedding(torch.tensor([[3, 9]], device=gpu)).shape == (1, 2, 4)  # no device-side assertion was set off


def test_tensors_on_two_devices_are_torch_to_refuse(gpu: torch.device) -> None:
    with pytest.raises(RuntimeError, match="same device"):
        nn.Linear(4, 4).to(gpu)(torch.zeros(1, 4))


def test_a_tie_survives_the_move_to_the_gpu(gpu: torch.device) -> None:
    embedding = nn.Embedding(10, 4)
    model = torch.nn.ModuleList([embedding, nn.TiedDecoder(embedding)]).to(gpu).half()
    assert model[0].weight is model[1].weight
    assert model[0].weight.device.type == "cuda"
