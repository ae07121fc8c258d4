"""Layers that only move elements, and upsampling: torch's bit for bit, and what does not come out even by name."""

from typing import Any

import pytest
import torch

from dimtyped import DimensionError, nn
from tests.helpers.layer_cases import floats

RIGHT: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("Flatten", (), {}, (2, 3, 4)),
    ("Flatten", (0, -2), {}, (2, 3, 4)),
    ("Flatten", (-1, -1), {}, (2, 3)),
    ("Flatten", (), {}, (0, 3, 4)),
    ("Unflatten", (1, (2, 3)), {}, (4, 6, 5)),
    ("Unflatten", (-1, (2, -1)), {}, (4, 6)),
    ("Unflatten", (0, (0, 3)), {}, (0, 3)),
    ("Fold", (4, 2), {}, (2, 12, 9)),
    ("Fold", ((4, 5), (2, 3)), {"padding": 1, "stride": 2}, (12, 9)),
    ("Fold", (4, 2), {"dilation": 2}, (0, 8, 4)),
    ("Unfold", (2,), {}, (2, 3, 4, 5)),
    ("Unfold", ((2, 3),), {"padding": 1, "stride": 2}, (3, 4, 5)),
    ("Unfold", (2,), {"dilation": 2}, (0, 3, 3, 3)),
    ("PixelShuffle", (2,), {}, (2, 8, 3, 5)),
    ("PixelShuffle", (3,), {}, (9, 2, 2)),
    ("PixelShuffle", (2,), {}, (2, 2, 4, 3, 3)),
    ("PixelUnshuffle", (2,), {}, (2, 3, 4, 6)),
    ("PixelUnshuffle", (2,), {}, (3, 4, 6)),
    ("ChannelShuffle", (2,), {}, (2, 4, 3, 3)),
    ("ChannelShuffle", (2,), {}, (2, 4, 3)),
    ("Upsample", (), {"scale_factor": 2}, (2, 3, 4)),
    ("Upsample", (), {"scale_factor": 2, "mode": "linear"}, (2, 3, 4)),
    ("Upsample", (), {"scale_factor": (2.0, 1.5), "mode": "bilinear"}, (2, 3, 4, 4)),
    ("Upsample", (), {"size": (5, 6), "mode": "bicubic", "align_corners": True}, (2, 3, 4, 4)),
    ("Upsample", (), {"size": 5, "mode": "trilinear"}, (2, 3, 4, 4, 4)),
    ("Upsample", (), {"size": 5}, (0, 3, 4, 4)),
    ("UpsamplingNearest2d", (), {"size": 5}, (2, 3, 4, 4)),
    ("UpsamplingBilinear2d", (), {"scale_factor": 2}, (2, 3, 4, 4)),
]
WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...], str]] = [
    ("Flatten", (), {}, (), "it has 0 axes, must have at least 2"),
    ("Flatten", (), {}, (2,), "it has 1 axis, must have at least 2"),
    ("Flatten", (1, 3), {}, (2, 3, 4), "it has 3 axes, must have at least 4"),
    ("Unflatten", (1, (2, 3)), {}, (4, 5), "axis 1 is 5, must be 6"),
    ("Unflatten", (-1, (2, -1)), {}, (4, 5), "axis -1 is 5, must be a multiple of 2"),
    ("Unflatten", (2, (2, 3)), {}, (4, 6), "it has 2 axes, must have at least 3"),
    ("Fold", (4, 2), {}, (2, 10, 9), "values is 10, must be a multiple of 4"),
    ("Fold", (4, 2), {}, (2, 12, 8), "blocks is 8, must be 9"),
    ("Fold", ((4, 5), 2), {"padding": 1, "stride": 2}, (12, 8), "blocks is 8, must be 9"),
    ("Fold", (4, 2), {}, (2, 3, 4, 4), "it has 4 axes, must have 2 or 3"),
    ("Unfold", (3,), {}, (2, 3, 2, 5), "height is 2, must be at least 3"),
    ("Unfold", (2,), {"dilation": 3, "padding": 1}, (3, 4, 1), "width is 1, must be at least 2"),
    ("Unfold", (2,), {}, (2, 0, 4, 4), "channels is 0, must be at least 1"),
    ("Unfold", (2,), {}, (4, 4), "it has 2 axes, must have 3 or 4"),
    ("PixelShuffle", (2,), {}, (2, 6, 3, 3), "channels is 6, must be a multiple of 4"),
    ("PixelShuffle", (2,), {}, (4, 3), "it has 2 axes, must have at least 3"),
    ("PixelUnshuffle", (2,), {}, (2, 3, 5, 6), "height is 5, must be a multiple of 2"),
    ("PixelUnshuffle", (2,), {}, (2, 3, 4, 5), "width is 5, must be a multiple of 2"),
    ("PixelUnshuffle", (2,), {}, (4, 6), "it has 2 axes, must have at least 3"),
    ("ChannelShuffle", (2,), {}, (2, 5, 3, 3), "channels is 5, must be a multiple of 2"),
    ("ChannelShuffle", (2,), {}, (2, 4), "it has 2 axes, must have at least 3"),
    ("Upsample", (), {"scale_factor": 2, "mode": "bilinear"}, (2, 3, 4), "it has 3 axes, must have 4"),
    ("Upsample", (), {"size": (5, 6)}, (2, 3, 4), "it has 3 axes, must have 4"),
    ("Upsample", (), {"size": 5}, (2, 3), "it has 2 axes, must have 3 or 4 or 5"),
    ("Upsample", (), {"size": 5}, (2, 3, 0), "length is 0, must be at least 1"),
    ("Upsample", (), {"size": 5}, (2, 0, 4, 4), "channels is 0, must be at least 1"),
    ("UpsamplingNearest2d", (), {"size": 5}, (2, 3), "it has 2 axes, must have 3 or 4 or 5"),
    ("UpsamplingBilinear2d", (), {"size": 5}, (2, 3, 4, 4, 4), "it has 5 axes, must have 4"),
]


def row_text(value: Any) -> str:
    return str(value) if value else ""


@pytest.mark.parametrize(("kind", "arguments", "options", "shape"), RIGHT, ids=row_text)
def test_what_torch_takes_gives_what_torch_gives(kind, arguments, options, shape):
    ours, theirs = (getattr(namespace, kind)(*arguments, **options) for namespace in (nn, torch.nn))
    assert repr(ours) == repr(theirs)
    assert torch.equal(ours(floats(*shape)), theirs(floats(*shape)))
    inputs = [floats(*shape).requires_grad_() for _ in range(2)]
    ours(inputs[0]).sum().backward()
    theirs(inputs[1]).sum().backward()
    assert torch.equal(inputs[0].grad, inputs[1].grad)


@pytest.mark.parametrize(("kind", "arguments", "options", "shape", "wrong"), WRONG, ids=row_text)
def test_what_torch_refuses_is_named_and_caught_by_what_caught_torchs(kind, arguments, options, shape, wrong):
    with pytest.raises(Exception) as theirs:  # noqa: PT011  # of whatever kind
        getattr(torch.nn, kind)(*arguments, **options)(floats(*shape))
    with pytest.raises(DimensionError, match=f"argument `input` does not fit: {wrong}") as ours:
        getattr(nn, kind)(*arguments, **options)(floats(*shape))
    assert isinstance(ours.value, theirs.type)


def test_other_errors_of_torchs_stay_its_own():
    with pytest.raises(RuntimeError, match="not implemented for 'Bool'"):
        nn.Upsample(size=5, mode="linear")(torch.ones(2, 3, 4, dtype=torch.bool))
