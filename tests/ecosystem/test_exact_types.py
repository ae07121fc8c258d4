"""Libraries that know layers by their exact type: a typed model is to them what torch's is."""

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

import dimtyped
from dimtyped import nn

pytestmark = [pytest.mark.any_engine, pytest.mark.filterwarnings("ignore")]  # the libraries' own
EXTRA = "the extra [ecosystem] installs it"


def _network(layers, norm=None):
    torch.manual_seed(0)

    class Network(layers.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = layers.Conv2d(3, 4, 3, padding=1), norm or layers.Identity()
            self.relu, self.pool = layers.ReLU(), layers.MaxPool2d(2)
            self.flat, self.head = layers.Flatten(), layers.Linear(16, 2)

        def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
            return self.head(self.flat(self.pool(self.relu(self.norm(self.conv(x))))))

    return Network()


def _images():
    return torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))


class TestOpacus:
    """What Opacus lets pass without privacy must be what it lets pass of torch's."""

    @pytest.fixture
    def opacus(self):
        return pytest.importorskip("opacus", reason=EXTRA)

    @pytest.mark.parametrize("name", ["BatchNorm2d", "InstanceNorm2d", "LSTM", "GRU", "MultiheadAttention", "Linear"])
    @pytest.mark.parametrize("first", [lambda layer: layer, dimtyped.untype], ids=["typed", "untyped first"])
    def test_the_validator_sees_the_layer(self, opacus, name, first):
        from opacus.validators import ModuleValidator

        arguments = {"BatchNorm2d": (4,), "InstanceNorm2d": (4,), "MultiheadAttention": (8, 2)}.get(name, (4, 8))
        options = {"track_running_stats": True} if name == "InstanceNorm2d" else {}
        twin = torch.nn.Sequential(getattr(torch.nn, name)(*arguments, **options))
        model = torch.nn.Sequential(first(getattr(nn, name)(*arguments, **options)))
        found, expected = (ModuleValidator.validate(each.train()) for each in (model, twin))
        assert [type(error) for error in found] == [type(error) for error in expected]
        fixed, fixed_twin = ModuleValidator.fix(model), ModuleValidator.fix(twin)
        assert (type(fixed[0]) is type(fixed_twin[0])) or not expected
        assert ModuleValidator.validate(fixed) == ModuleValidator.validate(fixed_twin)

    def test_a_batch_norm_is_refused(self, opacus):
        model = _network(nn, nn.BatchNorm2d(4, track_running_stats=False))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        data = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(_images(), torch.zeros(6).long()), batch_size=2
        )
        with pytest.raises(opacus.validators.errors.UnsupportedModuleError):
            opacus.PrivacyEngine().make_private(
                module=model, optimizer=optimizer, data_loader=data, noise_multiplier=1.0, max_grad_norm=1.0
            )

    @pytest.mark.parametrize("wrap", ["GradSampleModule", "GradSampleModuleFastGradientClipping"])
    def test_gradients_of_samples(self, opacus, wrap):
        samples = []
        for layers in (torch.nn, nn):
            model = getattr(opacus, wrap)(_network(layers, layers.GroupNorm(2, 4)))
            model(_images()).sum().backward()
            kept = "grad_sample" if wrap == "GradSampleModule" else "_norm_sample"
            samples.append([getattr(parameter, kept) for parameter in model.parameters()])
        torch.testing.assert_close(*samples, rtol=0, atol=0)


class TestCaptum:
    @pytest.fixture
    def captum(self):
        return pytest.importorskip("captum.attr", reason=EXTRA)

    @pytest.mark.parametrize("method", ["DeepLift", "LRP", "IntegratedGradients", "Saliency", "GuidedBackprop"])
    @pytest.mark.parametrize("first", [lambda model: model, dimtyped.untype], ids=["typed", "untyped first"])
    def test_attributions(self, captum, method, first):
        results = []
        for model in (_network(torch.nn), first(_network(nn))):
            if method == "LRP":  # it has no rule for flattening
                model = torch.nn.Sequential(model.conv, model.relu, model.pool)
            attribute = getattr(captum, method)(model.eval())
            results.append(attribute.attribute(_images().requires_grad_(), target=(1, 1, 1) if method == "LRP" else 1))
        torch.testing.assert_close(*results, rtol=0, atol=0)

    def test_embeddings_where_ids_are_annotated(self, captum):
        results = []
        for layers in (torch.nn, nn):
            model = _reader(layers)
            wrapped = captum.configure_interpretable_embedding_layer(model, "embedding")
            embedded = wrapped.indices_to_embeddings(torch.arange(6).reshape(2, 3))
            attribute = captum.IntegratedGradients(model).attribute
            if layers is nn:
                with pytest.raises(dimtyped.DimensionError, match="its dtype is float32"):
                    attribute(embedded, target=1)
            with dimtyped.unchecked(model):
                results.append(attribute(embedded, target=1))
            captum.remove_interpretable_embedding_layer(model, wrapped)
        torch.testing.assert_close(*results, rtol=0, atol=0)
        assert dimtyped.status(model).totals == {"checked": 3}

    def test_integrated_gradients_of_the_embedding_layer(self, captum):
        results = []
        for layers in (torch.nn, nn):
            model, ids = _reader(layers), torch.arange(6).reshape(2, 3)
            attribute = captum.LayerIntegratedGradients(model, model.embedding).attribute
            results.append(attribute(ids, torch.zeros_like(ids), target=1))
        torch.testing.assert_close(*results, rtol=0, atol=0)


def _reader(layers):
    torch.manual_seed(0)

    class Reader(layers.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.out = layers.Embedding(10, 4), layers.Linear(4, 2)

        def forward(self, ids: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch classes"]:
            return torch.tanh(self.out(self.embedding(ids))).mean(1)

    return Reader().eval()


class TestBitsandbytes:
    """The layers that transformers puts in place of others when it loads a model in 8 or 4 bits."""

    @pytest.mark.parametrize("first", [lambda model: model, dimtyped.untype], ids=["typed", "untyped first"])
    @pytest.mark.parametrize("bits", [8, 4])
    def test_the_same_layers_are_replaced(self, bits, first):
        pytest.importorskip("bitsandbytes", reason=EXTRA)
        from transformers import BitsAndBytesConfig
        from transformers.integrations.bitsandbytes import replace_with_bnb_linear

        config = BitsAndBytesConfig(load_in_8bit=bits == 8, load_in_4bit=bits == 4)
        models = []
        for layers in (torch.nn, nn):
            with torch.device("meta"):
                body = layers.Sequential(layers.Linear(8, 8), layers.ReLU(), layers.Linear(8, 8))
                model = layers.ModuleDict({"body": body, "head": layers.Linear(8, 4)})
            model = model if layers is torch.nn else first(model)
            models.append(replace_with_bnb_linear(model, modules_to_not_convert=["head"], quantization_config=config))
        kinds = [{name: type(m).__name__ for name, m in model.named_modules()} for model in models]
        assert kinds[0] == kinds[1]
        assert kinds[0]["body.0"] == ("Linear8bitLt" if bits == 8 else "Linear4bit")


@pytest.mark.parametrize("first", [lambda model: model, dimtyped.untype], ids=["typed", "untyped first"])
def test_the_layers_that_deepspeed_shards(first):
    auto_tp = pytest.importorskip("deepspeed.module_inject.auto_tp")  # in no extra: it is built for each machine
    found = []
    for model in (_reader(torch.nn), first(_reader(nn))):
        sharding = auto_tp.AutoTP(model, [], "", None, None, False)
        sharding.update_linear_policies()
        seen = []
        sharding.linear_policies = dict.fromkeys(
            sharding.linear_policies, lambda layer, name, *_, seen=seen: seen.append(name) or layer
        )
        sharding._replace_module(model)
        found.append(seen)
    assert found[0] == found[1] == [".embedding", ".out"]


def test_flop_counters_count_the_same():
    fvcore = pytest.importorskip("fvcore.nn", reason=EXTRA)
    counts = []
    for layers in (torch.nn, nn):
        model = _network(layers, layers.BatchNorm2d(4)).eval()
        counter = torch.utils.flop_counter.FlopCounterMode(display=False)
        with counter:
            model(_images())
        analysis = fvcore.FlopCountAnalysis(model, _images()).unsupported_ops_warnings(enabled=False)
        counts.append((counter.get_total_flops(), analysis.total()))
    assert counts[0] == counts[1]


def test_thop_counts_the_same():
    thop = pytest.importorskip("thop", reason=EXTRA)
    counts = [
        thop.profile(_network(layers, layers.BatchNorm2d(4)), (_images(),), verbose=False) for layers in (torch.nn, nn)
    ]
    assert counts[0] == counts[1]
    assert counts[0][0] > 0


def test_ptflops_counts_the_same():
    ptflops = pytest.importorskip("ptflops", reason=EXTRA)
    counts = [
        ptflops.get_model_complexity_info(
            _network(layers), (3, 4, 4), as_strings=False, backend="pytorch", print_per_layer_stat=False
        )
        for layers in (torch.nn, nn)
    ]
    assert counts[0] == counts[1]
    assert counts[0][0] > 0
