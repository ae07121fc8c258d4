"""torch's quantizers, which know layers by their exact type: they do to typed models what they do to torch's."""

import copy

import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from torch.ao import quantization as ao
from torch.ao.quantization import quantize_fx

import dimtyped
from dimtyped import nn

pytestmark = [
    pytest.mark.any_engine,
    pytest.mark.filterwarnings("ignore"),  # torch's own: it would have its users go to torchao
]
IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
FEATURES = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def engine():
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "fbgemm" if "fbgemm" in torch.backends.quantized.supported_engines else "qnnpack"
    yield
    torch.backends.quantized.engine = before


def _perceptron(layers):
    torch.manual_seed(0)
    body = layers.Sequential(layers.Linear(6, 8), layers.ReLU(), layers.Linear(8, 8))

    class Perceptron(layers.Module):
        def __init__(self):
            super().__init__()
            self.body, self.recurrent, self.head = body, layers.LSTM(8, 8), layers.Linear(8, 2)

        def forward(self, x: Float[Tensor, "batch seq width"]) -> Float[Tensor, "batch seq classes"]:
            return self.head(self.recurrent(self.body(x))[0])

    return Perceptron()


def _network(layers):
    torch.manual_seed(0)

    class Network(layers.Module):
        def __init__(self):
            super().__init__()
            self.quantize, self.restore = ao.QuantStub(), ao.DeQuantStub()
            self.conv, self.norm, self.relu = layers.Conv2d(3, 4, 3), layers.BatchNorm2d(4), layers.ReLU()
            self.pool, self.flat = layers.AdaptiveAvgPool2d(1), layers.Flatten()
            self.head = layers.Linear(4, 2)

        def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
            x = self.relu(self.norm(self.conv(self.quantize(x))))
            return self.restore(self.head(self.flat(self.pool(x))))

    return Network()


def _dynamic(model):
    return ao.quantize_dynamic(model.eval(), {torch.nn.Linear, torch.nn.LSTM}, dtype=torch.qint8), FEATURES


def _dynamic_by_default(model):
    return ao.quantize_dynamic(model.eval()), FEATURES


def _fused(model):
    return ao.fuse_modules(model.eval(), [["conv", "norm", "relu"]]), IMAGES


def _static(model):
    fused = ao.fuse_modules(model.eval(), [["conv", "norm", "relu"]])
    fused.qconfig = ao.get_default_qconfig(torch.backends.quantized.engine)
    prepared = ao.prepare(fused)
    prepared(IMAGES)
    return ao.convert(prepared), IMAGES


def _trained(model):
    fused = ao.fuse_modules_qat(model.train(), [["conv", "norm", "relu"]])
    fused.qconfig = ao.get_default_qat_qconfig(torch.backends.quantized.engine)
    prepared = ao.prepare_qat(fused)
    prepared(IMAGES)
    return ao.convert(prepared.eval()), IMAGES


def _graph(model):
    mapping = ao.get_default_qconfig_mapping(torch.backends.quantized.engine)
    prepared = quantize_fx.prepare_fx(model.eval(), mapping, (IMAGES,))
    prepared(IMAGES)
    return quantize_fx.convert_fx(prepared), IMAGES


def _graph_trained(model):
    mapping = ao.get_default_qat_qconfig_mapping(torch.backends.quantized.engine)
    prepared = quantize_fx.prepare_qat_fx(model.train(), mapping, (IMAGES,))
    prepared(IMAGES)
    return quantize_fx.convert_fx(prepared.eval()), IMAGES


def _graph_fused(model):
    return quantize_fx.fuse_fx(model.eval()), IMAGES


WAYS = {
    "dynamic": (_perceptron, _dynamic),
    "dynamic, torch's choice": (_perceptron, _dynamic_by_default),
    "fusing": (_network, _fused),
    "eager static": (_network, _static),
    "eager training": (_network, _trained),
    "FX static": (_network, _graph),
    "FX training": (_network, _graph_trained),
    "FX fusing": (_network, _graph_fused),
}


def _types(model):
    """What every layer is; ours count as what they are not, so that a layer left alone is seen."""
    return {
        name: type(module) for name, module in model.named_modules() if name and not isinstance(module, nn.Sequential)
    }


@pytest.mark.parametrize("first", [lambda model: model, dimtyped.untype], ids=["typed", "untyped first"])
@pytest.mark.parametrize(("make", "quantize"), WAYS.values(), ids=WAYS)
def test_a_typed_model_is_quantized_as_torchs_is(make, quantize, first):
    twin, inputs = quantize(make(torch.nn))
    model, _ = quantize(first(make(nn)))
    twins = {name: cls for name, cls in _types(twin).items() if cls is not torch.nn.Sequential}
    assert _types(model) == twins
    torch.testing.assert_close(model(inputs), twin(inputs), rtol=0, atol=0)
    assert any(cls.__module__.startswith(("torch.ao", "torch.nn.intrinsic")) for cls in twins.values())


@pytest.mark.parametrize(("make", "quantize"), WAYS.values(), ids=WAYS)
def test_the_model_itself_keeps_its_typed_layers(make, quantize):
    model = make(nn)
    before = _types(model)
    _, inputs = quantize(model)
    assert _types(model) == before
    with pytest.raises(dimtyped.DimensionError):
        model.eval()(inputs[..., :-1]) if make is _perceptron else model.conv(inputs[:, :-1])


@pytest.mark.parametrize("first", [lambda model: model, dimtyped.untype], ids=["typed", "untyped first"])
def test_experimental_fusion(first):
    from torch.fx.experimental.optimization import fuse

    model, twin = first(_network(nn)).eval(), _network(torch.nn).eval()
    fused, expected = fuse(model), fuse(twin)
    assert [type(layer) for layer in fused.children()] == [type(layer) for layer in expected.children()]
    torch.testing.assert_close(fused(IMAGES), expected(IMAGES), rtol=0, atol=0)
    assert isinstance(model.norm, torch.nn.BatchNorm2d)


def test_in_place():
    model, twin = _perceptron(nn), _perceptron(torch.nn)
    for each in (model, twin):
        ao.quantize_dynamic(each.eval(), {torch.nn.Linear}, inplace=True)
    assert type(model.head) is type(twin.head) is not torch.nn.Linear
    torch.testing.assert_close(model(FEATURES), twin(FEATURES), rtol=0, atol=0)


def test_sync_batch_norm_conversion():
    model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(_network(nn)))
    assert isinstance(model.norm, torch.nn.SyncBatchNorm)
    assert isinstance(nn.SyncBatchNorm.convert_sync_batchnorm(_network(nn)).norm, torch.nn.SyncBatchNorm)


@pytest.mark.parametrize(
    "norm", [torch.nn.utils.parametrizations.spectral_norm, torch.nn.utils.parametrizations.weight_norm]
)
def test_norms_of_weights(norm):
    results = []
    for layers in (torch.nn, nn):
        torch.manual_seed(0)
        model = norm(layers.ConvTranspose1d(3, 5, 2)).eval()
        results.append(model(torch.ones(1, 3, 4)))
    torch.testing.assert_close(*results, rtol=0, atol=0)
