"""`summary` beside torchinfo: the same numbers where both count the same."""

import pytest
import torch

from dimtyped import summary

torchinfo = pytest.importorskip("torchinfo")
nn = torch.nn


def residual():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm, self.second = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1)

        def forward(self, x):
            return x + self.second(self.norm(self.first(x)).relu())

    return nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), Residual(), Residual(), nn.Flatten(), nn.Linear(8 * 14 * 14, 10))


MODELS = {
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, bias=False),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, groups=2, bias=False),
            nn.Flatten(),
            nn.Linear(16 * 13 * 13, 10, bias=False),
        ),
        (4, 3, 30, 30),
    ),
    "perceptron": (
        lambda: nn.Sequential(nn.Linear(20, 64, bias=False), nn.ReLU(), nn.Linear(64, 5, bias=False)),
        (4, 20),
    ),
    "residual": (residual, (2, 3, 30, 30)),
}


@pytest.mark.parametrize("name", MODELS)
def test_parameters_shapes_and_memory_are_torchinfos(name):
    make, shape = MODELS[name]
    model = make()
    model[0].requires_grad_(False)
    x = torch.zeros(shape)
    theirs, ours = torchinfo.summary(model, input_data=x, verbose=0), summary(model, x)
    assert ours.parameters == theirs.total_params
    assert ours.trainable == theirs.trainable_params
    assert ours.parameter_bytes == theirs.total_param_bytes
    assert ours.activation_bytes == theirs.total_output_bytes
    outputs = {layer.layer_id: layer for layer in theirs.summary_list}
    shapes = [f"({', '.join(map(str, layer.output_size))})" for layer in outputs.values()]
    assert sorted(node.outputs for _, times, node in ours.root.walk() for _ in range(times)) == sorted(shapes)
    if name != "residual":  # torchinfo counts biases and norms as multiply-adds too
        assert ours.multiply_adds == theirs.total_mult_adds
