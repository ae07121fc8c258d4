"""torchao's `quantize_` on tied typed models: the results and the checkpoints of the same model on torch's layers."""

import copy
import io

import pytest
import torch

import dimtyped
from dimtyped import nn

pytest.importorskip("torchao", reason="the extra [ecosystem] installs it")
from torchao.quantization import Int8DynamicActivationInt8WeightConfig, Int8WeightOnlyConfig, quantize_

pytestmark = [
    pytest.mark.any_engine,
    pytest.mark.filterwarnings("ignore"),  # torchao's own, of kernels that this machine lacks
]
CONFIGS = [Int8WeightOnlyConfig, Int8DynamicActivationInt8WeightConfig]
TOKENS = torch.arange(10).reshape(2, 5)


def _model(layers, how="assignment"):
    class Language(layers.Module):
        def __init__(self):
            super().__init__()
            self.embedding = layers.Embedding(50, 32)
            self.middle = layers.Linear(32, 32)
            self.head = layers.Linear(32, 50, bias=False)
            if how == "assignment":
                self.head.weight = self.embedding.weight
            else:
                dimtyped.tie(self.head, self.embedding)

        def forward(self, tokens):
            return self.head(self.middle(self.embedding(tokens)))

    torch.manual_seed(0)
    return Language()


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("how", ["assignment", "tie"])
def test_the_same_layers_are_quantized_with_the_same_results(config, how):
    twin, model = _model(torch.nn), _model(nn, how)
    quantize_(twin, config())
    quantize_(model, config())
    for name, parameter in twin.named_parameters():
        assert type(model.get_parameter(name).data) is type(parameter.data), name
    torch.testing.assert_close(model(TOKENS), twin(TOKENS), rtol=0, atol=0)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("how", ["assignment", "tie"])
def test_a_quantized_checkpoint_loads_into_a_tied_model(config, how):
    model, loaded = _model(nn, how), _model(nn, how)
    quantize_(model, config())
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    loaded.load_state_dict(torch.load(buffer, weights_only=False), assign=True)
    torch.testing.assert_close(loaded(TOKENS), model(TOKENS), rtol=0, atol=0)
    again = _model(nn, how)
    quantize_(again, config())
    again.load_state_dict(model.state_dict(), assign=True)
    torch.testing.assert_close(again(TOKENS), model(TOKENS), rtol=0, atol=0)


@pytest.mark.parametrize("config", CONFIGS)
def test_untype_first(config):
    twin, model = _model(torch.nn), dimtyped.untype(_model(nn))
    quantize_(twin, config())
    quantize_(model, config())
    torch.testing.assert_close(copy.deepcopy(model)(TOKENS), twin(TOKENS), rtol=0, atol=0)


def _quantizers():
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86
    from torchao.testing.pt2e import _xnnpack_quantizer as xnnpack

    return {
        "x86": x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config()),
        "xnnpack": xnnpack.XNNPACKQuantizer().set_global(xnnpack.get_symmetric_quantization_config()),
    }


class _Body(torch.nn.Module):
    """Layers in a row: quantizers look for some of them together."""

    def __init__(self, layers):
        super().__init__()
        torch.manual_seed(0)
        self.conv = layers.Conv2d(3, 4, 3, padding=1)
        self.body = layers.Sequential(layers.Linear(16, 16), layers.ReLU(), layers.Linear(16, 4))

    def forward(self, x):
        return self.body(torch.relu(self.conv(x)).mean(1).flatten(1))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("kind", ["x86", "xnnpack"])
@pytest.mark.parametrize("make", [_model, _Body], ids=["tied", "convolution"])
def test_an_exported_model_is_quantized_alike(make, kind, strict):
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    given = TOKENS if make is _model else torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    results, graphs = [], []
    for layers in (torch.nn, nn):
        exported = torch.export.export(make(layers).eval(), (given,), strict=strict)
        prepared = prepare_pt2e(exported.module(), _quantizers()[kind])
        prepared(given)
        converted = convert_pt2e(prepared)
        results.append(converted(given))
        graphs.append([str(node.target) for node in converted.graph.nodes])
    assert graphs[0] == graphs[1]
    assert any("quantize_per_tensor" in target for target in graphs[0])
    torch.testing.assert_close(*results, rtol=0, atol=0)
