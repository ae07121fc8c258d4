"""What may be assigned to a typed layer's parameter, and what frameworks do to parameters and are free to do."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.utils import parametrize, prune

from dimtyped import DimensionError, TyingError, dims, nn, untype
from tests.helpers.right_arguments import WITH_PARAMETERS, affine, make

VOCAB, EMBED, HIDDEN = 10, 4, 6


def parameter(*shape: int) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.zeros(shape))


# Wrong shapes ---------------------------------------------------------------------------------------------------------


def test_output_of_another_width_cannot_have_the_embeddings_weight() -> None:
    """A3: torch is silent until the first forward."""
    vocab, embed, hidden = dims(vocab=1000, embed=128, hidden=256)
    embedding, out = nn.Embedding(vocab, embed), nn.Linear(hidden, vocab)
    with pytest.raises(TyingError) as info:
        out.weight = embedding.weight
    error = info.value
    assert str(error) == (
        "Linear.weight: cannot be assigned a parameter of shape (vocab=1000, embed=128), the weight of "
        "Embedding(vocab=1000 -> embed=128)\n"
        "    must be  (vocab=1000, hidden=256)    declared by Linear(hidden=256 -> vocab=1000)\n\n"
        "  An output layer can share the embedding's weight only if it has the embedding's width. Use "
        "nn.TiedDecoder(embedding, hidden=256, project=True), or declare Linear(128, 1000)."
    )
    assert (error.where, error.argument, error.dim) == ("Linear.weight", "weight", "hidden")
    assert (error.expected, error.actual) == ((1000, 256), (1000, 128))
    assert not isinstance(error, TypeError)


def test_strict_also_where_torch_would_go_on_to_work() -> None:
    """`Linear(hidden, vocab)` with a (vocab, embed) weight runs in torch, on inputs of width embed."""
    embedding, out = nn.Embedding(VOCAB, EMBED), nn.Linear(HIDDEN, VOCAB)
    plain = torch.nn.Linear(HIDDEN, VOCAB)
    plain.weight = embedding.weight
    assert plain(torch.ones(EMBED)).shape == (VOCAB,)
    with pytest.raises(TyingError, match=rf"or declare Linear\({EMBED}, {VOCAB}\)"):
        out.weight = embedding.weight


def test_right_width_works_with_a_fresh_bias() -> None:
    """A4."""
    embedding, out = nn.Embedding(VOCAB, EMBED), nn.Linear(EMBED, VOCAB)
    out.weight, out.bias = embedding.weight, parameter(VOCAB)
    assert out.weight is embedding.weight
    assert out(embedding(torch.tensor([1, 2]))).shape == (2, VOCAB)


LAYERS: dict[str, tuple[Callable[[], torch.nn.Module], str, tuple[int, ...], str]] = {
    "transposed": (lambda: nn.Linear(4, 6), "weight", (4, 6), "out_features=4, in_features=6"),
    "rank": (lambda: nn.Linear(4, 6), "weight", (24,), r"\(24,\)"),
    "bias": (lambda: nn.Linear(4, 6), "bias", (4,), "out_features=4"),
    "vocabulary": (lambda: nn.Embedding(10, 4), "weight", (11, 4), "vocab=11, embed=4"),
    "input gates": (lambda: nn.GRU(4, 6), "weight_ih_l0", (12, 4), r"3\*hidden=12, embed=4"),
    "state gates": (lambda: nn.LSTM(4, 6), "weight_hh_l0", (24, 5), r"4\*hidden=24, hidden=5"),
    "second layer": (lambda: nn.RNN(4, 6, 2, bidirectional=True), "weight_ih_l1_reverse", (6, 6), r"2\*hidden=6"),
    "projection": (lambda: nn.LSTM(4, 6, proj_size=2), "weight_hr_l0", (6, 2), "proj=6, hidden=2"),
    "width of the key": (
        lambda: nn.MultiheadAttention(4, 2, kdim=3),
        "k_proj_weight",
        (4, 4),
        r"\(embed=4, kdim=4\)\n    must be  \(embed=4, kdim=3\)",
    ),
    "bias of the key": (
        lambda: nn.MultiheadAttention(4, 2, add_bias_kv=True),
        "bias_k",
        (1, 1, 5),
        r"\(1, 1, embed=5\)",
    ),
    "decoder": (lambda: nn.TiedDecoder(nn.Embedding(10, 4), 6, project=True), "weight", (10, 6), "vocab=10, embed=6"),
}


@pytest.mark.parametrize(("make", "name", "shape", "text"), LAYERS.values(), ids=LAYERS)
def test_wrong_shape_by_dimension_and_nothing_changed(
    make: Callable[[], torch.nn.Module], name: str, shape: tuple[int, ...], text: str
) -> None:
    layer = make()
    before = dict(layer.named_parameters())
    kept = list(getattr(layer, "_flat_weights", ()))
    for assign in (setattr, lambda module, key, value: module.register_parameter(key, value)):
        with pytest.raises(TyingError, match=text):
            assign(layer, name, parameter(*shape))
        assert all(after is before[key] for key, after in layer.named_parameters())
        assert all(after is was for after, was in zip(getattr(layer, "_flat_weights", ()), kept, strict=True))


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("kind", WITH_PARAMETERS)
def test_each_parameter_of_each_kind_of_layer(kind: str) -> None:
    """One axis too long, one axis more, no axis: refused by name, and the layer is as it was."""
    layer = make(nn, kind, **affine(kind))
    before = {**layer._parameters}
    for name, held in before.items():
        for shape in [] if held is None else _wrong_shapes(held.shape):
            for assign in (setattr, type(layer).register_parameter):
                with pytest.raises(
                    TyingError, match=f"^{kind}.{name}: cannot be assigned a parameter of shape "
                ) as info:
                    assign(layer, name, parameter(*shape))
                assert (info.value.expected, info.value.actual) == (tuple(held.shape), shape)
                assert bool(info.value.dim) == (len(shape) == held.dim())
                assert info.value.dim in str(info.value)
        assert layer._parameters.keys() == before.keys()
        assert all(layer._parameters[key] is value for key, value in before.items())
        if held is not None:
            fresh = parameter(*held.shape)
            setattr(layer, name, fresh)
            assert getattr(layer, name) is fresh
            setattr(layer, name, held)


def _wrong_shapes(shape: torch.Size) -> list[tuple[int, ...]]:
    longer = [(*shape[:axis], shape[axis] + 1, *shape[axis + 1 :]) for axis in range(len(shape))]
    return [*longer, (*shape, 1), ()]


def test_a_refusal_leaves_a_plain_tensor_where_it_was() -> None:
    layer = nn.Linear(4, 6)
    del layer._parameters["weight"]
    layer.weight = dropped = torch.ones(6, 4)
    with pytest.raises(TyingError):
        layer.weight = parameter(4, 6)
    assert layer.weight is dropped
    assert "weight" not in layer._parameters


def test_a_parameter_under_a_name_of_the_users_is_free() -> None:
    layer = nn.Linear(4, 6)
    layer.scale = parameter(3, 3, 3)
    layer.bias = None
    assert layer(torch.ones(4)).shape == (6,)


def test_the_owner_of_a_copied_layers_weight_is_named() -> None:
    embedding = copy.deepcopy(nn.Embedding(*dims(words=10, width=4)))
    with pytest.raises(TyingError, match=r"the weight of Embedding\(words=10 -> width=4\)"):
        nn.Linear(6, 10).weight = embedding.weight


# What is free ---------------------------------------------------------------------------------------------------------


def test_weight_drop() -> None:
    """Merity's: the parameter is deleted, and a plain tensor set under its name before each call."""
    torch.manual_seed(0)
    layer, plain = nn.LSTM(4, 6), torch.nn.LSTM(4, 6)
    plain.load_state_dict(layer.state_dict())
    results = []
    for module in (layer, plain):
        raw = torch.nn.Parameter(module.weight_hh_l0.detach().clone())
        del module._parameters["weight_hh_l0"]
        module.register_parameter("weight_hh_l0_raw", raw)
        for _ in range(2):
            module.weight_hh_l0 = 0.5 * raw
            result = module(torch.ones(3, 2, 4))[0]
        result.sum().backward()
        results.append((result, raw.grad))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


@pytest.mark.parametrize("make", [lambda: nn.Linear(4, 6), lambda: nn.Embedding(10, 4)], ids=["Linear", "Embedding"])
def test_pruning_and_parametrization(make: Callable[[], torch.nn.Module]) -> None:
    layer = make()
    given = torch.arange(4).float() if isinstance(layer, nn.Linear) else torch.arange(4)
    prune.random_unstructured(layer, "weight", 0.5)
    assert layer(given).shape[-1] in (4, 6)
    prune.remove(layer, "weight")
    torch.nn.utils.parametrizations.weight_norm(layer)
    assert layer(given).shape[-1] in (4, 6)
    parametrize.remove_parametrizations(layer, "weight")
    assert isinstance(layer.weight, torch.nn.Parameter)


def test_structured_pruning_that_changes_a_parametrized_shape_is_torchs() -> None:
    layer = nn.Linear(4, 6)

    class Rows(torch.nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return weight[:3]

    parametrize.register_parametrization(layer, "weight", Rows(), unsafe=True)
    assert layer.weight.shape == (3, 4)


def test_lazy_layers() -> None:
    model = nn.Sequential(nn.LazyLinear(5), nn.ReLU(), nn.Linear(5, 2))
    assert model(torch.ones(3, 7)).shape == (3, 2)
    assert isinstance(model[0], torch.nn.Linear)


@pytest.mark.filterwarnings("ignore:.*quantiz:DeprecationWarning", "ignore:.*quantiz:UserWarning")
@pytest.mark.filterwarnings("ignore:.*torch.ao:DeprecationWarning")
def test_dynamic_quantization() -> None:
    """Torch's old quantizer goes by the exact class, so the model is given torch's classes first."""
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    quantized = torch.ao.quantization.quantize_dynamic(untype(copy.deepcopy(model)), {torch.nn.Linear})
    assert "DynamicQuantizedLinear" in repr(quantized)
    assert quantized(torch.ones(3, 4)).shape == (3, 2)
    assert type(model[0]) is nn.Linear


def test_a_quantizer_may_pack_a_weight() -> None:
    """As bitsandbytes does; it is known by the module that assigns."""
    layer = nn.Linear(4, 6)
    pack = "def pack(layer, packed):\n    layer.weight = packed\n"
    framework: dict[str, Callable[..., None]] = {"__name__": "bitsandbytes.nn.modules"}  # type: ignore[dict-item]  # a name
    exec(compile(pack, "bitsandbytes.py", "exec"), framework)
    framework["pack"](layer, parameter(12, 1))
    assert layer.weight.shape == (12, 1)


def test_data_is_free() -> None:
    layer = nn.Linear(4, 6)
    layer.weight.data = torch.zeros(0)  # as DeepSpeed's ZeRO-3 frees a parameter
    assert layer.weight.shape == (0,)


def test_functional_transforms() -> None:
    models = [nn.Linear(4, 6) for _ in range(3)]
    parameters, buffers = torch.func.stack_module_state(models)

    def call(one: dict[str, torch.Tensor], rest: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(copy.deepcopy(models[0]).to("meta"), (one, rest), (x,))

    assert torch.vmap(call, (0, 0, None))(parameters, buffers, torch.ones(2, 4)).shape == (3, 2, 6)


class Adapted(torch.nn.Module):
    """What adapters are put into, of our layers or torch's: a tied model with a linear layer, a convolution and a GRU."""

    def __init__(self, layers: Any = nn) -> None:
        super().__init__()
        self.embedding = layers.Embedding(VOCAB, EMBED)
        self.inner, self.convolution = layers.Linear(EMBED, EMBED), layers.Conv1d(EMBED, EMBED, 1)
        self.gru = layers.GRU(EMBED, EMBED, batch_first=True)
        self.head = layers.Linear(EMBED, VOCAB)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = self.gru(self.inner(self.embedding(tokens)))[0]
        return self.head(self.convolution(hidden.transpose(1, 2)).transpose(1, 2))


@pytest.fixture
def peft() -> Any:
    """The real one, imported where it is used: it takes seconds."""
    import peft

    return peft


ADAPTERS: dict[str, Callable[[Any], Any]] = {
    "LoRA": lambda peft: peft.LoraConfig(r=2, target_modules=["inner"], init_lora_weights=False),
    "LoRA, all linear": lambda peft: peft.LoraConfig(r=2, target_modules="all-linear"),
    "LoRA of a convolution": lambda peft: peft.LoraConfig(r=2, target_modules=["convolution"], init_lora_weights=False),
    "DoRA": lambda peft: peft.LoraConfig(r=2, target_modules=["inner"], use_dora=True),
    "IA3": lambda peft: peft.IA3Config(target_modules=["inner"], feedforward_modules=[]),
    "OFT": lambda peft: peft.OFTConfig(oft_block_size=2, target_modules=["inner"]),
    "LoHa": lambda peft: peft.LoHaConfig(r=2, target_modules=["inner"], init_weights=False),
    "token rows": lambda peft: peft.LoraConfig(
        r=2, target_modules=["inner"], trainable_token_indices={"embedding": [1]}
    ),
}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_adapters_of_the_real_peft(adapter: str, peft: Any) -> None:
    """They wrap typed layers, train, merge and come off again, and do so as with torch's; the tie is as before."""

    def outputs(model: Adapted) -> list[torch.Tensor]:
        torch.manual_seed(0)
        adapted = peft.get_peft_model(model, ADAPTERS[adapter](peft))
        optimizer = torch.optim.SGD((p for p in adapted.parameters() if p.requires_grad), lr=0.1)
        found = [adapted(tokens)]
        for _ in range(2):
            found[-1].square().sum().backward()
            optimizer.step()
            found.append(adapted(tokens))
        assert not torch.equal(found[0], found[-1])
        return [*found, adapted.merge_and_unload()(tokens)]

    tokens = torch.arange(6).reshape(2, 3)
    model, plain = Adapted(), Adapted(torch.nn)
    plain.load_state_dict(model.state_dict())
    torch.testing.assert_close(outputs(model), outputs(plain), rtol=0, atol=0)
    assert (type(model.inner), type(model.convolution), type(model.head)) == (nn.Linear, nn.Conv1d, nn.Linear)
    assert model.head.weight is model.embedding.weight
    with pytest.raises(DimensionError, match="must be 4"):
        model.inner(torch.ones(5))


@pytest.mark.parametrize("target", ["embedding", "head"])
def test_lora_on_either_half_of_a_tie(target: str, peft: Any) -> None:
    model = Adapted()
    weight = model.embedding.weight
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=[target]))
    assert adapted(torch.arange(6).reshape(2, 3)).shape == (2, 3, VOCAB)
    adapted.unload()
    assert model.head.weight is model.embedding.weight is weight


@pytest.mark.parametrize(
    ("copied", "left"), [("head", "Linear .* Embedding.weight"), ("embedding", "Embedding .* Linear.weight")]
)
def test_a_copy_of_one_half_that_peft_makes_is_said(copied: str, left: str, peft: Any) -> None:
    """`modules_to_save` trains a copy of the layer, which can no longer be the other's."""
    copied_kind, other = left.split(" .* ")
    text = f"peft copies {copied_kind} without what its weight is tied to, {other}: the copy has a weight of its own"
    with pytest.warns(UserWarning, match=text):
        peft.get_peft_model(Adapted(), peft.LoraConfig(target_modules=["inner"], modules_to_save=[copied]))


def test_a_copy_that_a_user_or_a_framework_makes_of_both_is_not_spoken_of(peft: Any) -> None:
    model = Adapted()
    assert copy.deepcopy(model.head).weight is not model.head.weight
    averaged = torch.optim.swa_utils.AveragedModel(model).module
    assert averaged.head.weight is averaged.embedding.weight
    whole = nn.Module()
    whole.body, whole.other = model, nn.Linear(EMBED, EMBED)
    adapted = peft.get_peft_model(whole, peft.LoraConfig(target_modules=["other"], modules_to_save=["body"]))
    saved = adapted.base_model.model.body.modules_to_save.default
    assert saved.head.weight is saved.embedding.weight
