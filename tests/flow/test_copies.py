"""Copies on fake tensors: they are what the original is, and share nothing with it."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor

from dimtyped import nn
from dimtyped.flow.copies import fake_copy, fake_mode

pytestmark = pytest.mark.any_engine


def tied():
    embedding = nn.Embedding(10, 4)
    model = torch.nn.Sequential(embedding, nn.BatchNorm1d(4), nn.TiedDecoder(embedding, bias=False))
    model[1].weight.requires_grad_(False)
    model[1].register_buffer("turned", torch.zeros(3, 4).T)
    return model


def of_fakes():
    return fake_copy(tied(), fake_mode())


def on_meta():
    with torch.device("meta"):
        return tied()


@pytest.mark.parametrize("make", [tied, on_meta, of_fakes])
def test_a_copy_is_what_the_original_is(make):
    model, mode = make(), fake_mode()
    copied = fake_copy(model, mode)
    assert copied[0].weight is copied[2].weight is not model[0].weight
    for (name, tensor), (copied_name, made) in zip(
        [*model.named_parameters(), *model.named_buffers()],
        [*copied.named_parameters(), *copied.named_buffers()],
        strict=True,
    ):
        assert (copied_name, made.shape, made.stride(), made.dtype) == (
            name,
            tensor.shape,
            tensor.stride(),
            tensor.dtype,
        )
        assert isinstance(made, torch.nn.Parameter) == isinstance(tensor, torch.nn.Parameter)
        assert (made.requires_grad, made.is_leaf) == (tensor.requires_grad, tensor.is_leaf)
        assert isinstance(made, FakeTensor)
        assert made.device.type == "cpu"


def test_gradients_of_a_copy_are_its_own():
    model, mode = on_meta(), fake_mode()
    copied = fake_copy(model[0], mode)
    with mode:
        copied(torch.zeros(3, dtype=torch.long)).sum().backward()
    assert copied.weight.grad.shape == (10, 4)
    assert model[0].weight.grad is None
