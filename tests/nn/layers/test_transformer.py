"""Transformer, its stacks and its layers."""

import copy

import pytest
import torch
from hypothesis import given, settings, strategies as st

from dimtyped import DeclarationError, DimensionError, dims, nn
from tests.helpers.named_calls import SIZES, Call, assert_accepted, assert_refused, broken

LAYOUTS = {"batch first": "batch {} embed", "sequence first": "{} batch embed", "unbatched": "{} embed"}
SEQUENCES = {"TransformerEncoderLayer": "src", "TransformerDecoderLayer": "tgt memory", "Transformer": "src tgt"}
LENGTHS = {"src": "source", "memory": "source", "tgt": "target"}
MASKS = {
    "TransformerEncoderLayer": {"src_mask": "source source"},
    "TransformerDecoderLayer": {"tgt_mask": "target target", "memory_mask": "target source"},
    "Transformer": {"src_mask": "source source", "tgt_mask": "target target", "memory_mask": "target source"},
}
ragged = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")


@st.composite
def transformer_calls(draw: st.DrawFn) -> Call:
    kind, layout = draw(st.sampled_from(sorted(MASKS))), draw(st.sampled_from(sorted(LAYOUTS)))
    heads = draw(st.integers(1, 2))
    sizes = {name: draw(SIZES) for name in ("batch", "target", "source")} | {"heads": heads}
    sizes["embed"] = heads * draw(st.integers(1, 2))
    arguments = {
        "d_model": sizes["embed"],
        "nhead": heads,
        "dim_feedforward": 3,
        "batch_first": layout == "batch first",
    }
    if kind == "Transformer":
        arguments |= {"num_encoder_layers": 1, "num_decoder_layers": 1}
    else:
        arguments["norm_first"] = draw(st.booleans())
    shapes = {name: LAYOUTS[layout].format(LENGTHS[name]) for name in SEQUENCES[kind].split()}
    many = draw(st.sampled_from(["", "heads " if layout == "unbatched" else "batch*heads "]))
    masks = {name: many + axes for name, axes in MASKS[kind].items() if draw(st.booleans())}
    batch = "" if layout == "unbatched" else "batch "
    padding = {f"{name}_key_padding_mask": batch + LENGTHS[name] for name in shapes if draw(st.booleans())}
    return Call(kind, arguments, sizes, shapes | masks | padding, ("embed", "heads"), training=draw(st.booleans()))


@given(transformer_calls(), st.data())
@settings(max_examples=25)
@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
def test_a_right_call_is_accepted_and_one_broken_size_is_named(call, data):
    assert_accepted(call)
    assert_refused(call, *data.draw(broken(call)))


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_e1_a_sequence_of_another_width(norm_first, training):
    (model,) = dims(model=8)
    layer = nn.TransformerEncoderLayer(model, 2, 16, norm_first=norm_first, batch_first=True).train(training)
    with torch.no_grad(), pytest.raises(DimensionError, match="`src` does not fit: model is 10, must be 8") as raised:
        layer(torch.ones(3, 5, 10))
    assert "declared by TransformerEncoderLayer(model=8)" in str(raised.value)
    assert isinstance(raised.value, AssertionError)


def test_e3_a_memory_of_another_batch_or_width():
    layer = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
    with pytest.raises(DimensionError, match="argument `memory` does not fit: batch is 2, must be 3"):
        layer(torch.ones(3, 6, 8), torch.ones(2, 5, 8))
    with pytest.raises(DimensionError, match="argument `memory` does not fit: embed is 7, must be 8"):
        layer(torch.ones(3, 6, 8), torch.ones(3, 5, 7))


@pytest.mark.parametrize(
    "make",
    [
        lambda embed: nn.TransformerEncoderLayer(embed, 4),
        lambda embed: nn.TransformerDecoderLayer(embed, 4),
        lambda embed: nn.Transformer(embed, 4, 1, 1),
    ],
    ids=["encoder layer", "decoder layer", "transformer"],
)
def test_e4_a_width_that_the_heads_do_not_divide(make):
    (embed,) = dims(embed=10)
    with pytest.raises(DeclarationError, match="embed=10 is not divisible by nhead=4"):
        make(embed)


def test_a_stack_is_checked_as_its_layers_are():
    stack = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
    with pytest.raises(DimensionError, match="^TransformerEncoder.forward: argument `src_key_padding_mask`"):
        stack(torch.ones(3, 5, 8), src_key_padding_mask=torch.zeros(2, 5, dtype=torch.bool))
    with pytest.raises(DimensionError, match="argument `mask` does not fit: source is 4, must be 5"):
        stack(torch.ones(3, 5, 8), torch.zeros(5, 4))


def test_a_stack_of_typed_layers_copies_them_with_their_names():
    (model,) = dims(model=8)
    stack = nn.TransformerEncoder(nn.TransformerEncoderLayer(model, 2, 16, batch_first=True), 2)
    assert [type(layer) for layer in stack.layers] == [nn.TransformerEncoderLayer] * 2
    with pytest.raises(DimensionError, match="model is 7, must be 8"):
        stack(torch.ones(3, 5, 7))


def test_a_stack_of_torchs_own_layers_is_checked_too():
    stack = nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1)
    with pytest.raises(DimensionError, match="embed is 7, must be 8"):
        stack(torch.ones(3, 5, 7))


class OwnAttention(torch.nn.Module):
    batch_first = True

    def forward(self, query, key, value, **options):
        return query, None


def test_what_others_put_in_a_layer_is_theirs_to_know():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
    layer.self_attn = OwnAttention()
    assert layer(torch.ones(3, 5, 8)).shape == (3, 5, 8)
    assert repr(layer).startswith("TransformerEncoderLayer(\n  (self_attn): OwnAttention()")
    stack = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
    assert stack(torch.ones(3, 5, 8)).shape == (3, 5, 8)


def test_a_transformer_types_the_stacks_it_makes():
    (model,) = dims(model=8)
    whole = nn.Transformer(model, 2, 1, 2, 16, batch_first=True)
    assert type(whole.encoder) is nn.TransformerEncoder
    assert [type(layer) for layer in whole.decoder.layers] == [nn.TransformerDecoderLayer] * 2
    with pytest.raises(DimensionError, match="argument `src` does not fit: model is 7, must be 8"):
        whole.encoder(torch.ones(3, 5, 7))
    assert type(whole.encoder.layers[0].linear1) is torch.nn.Linear


def test_a_custom_encoder_is_left_to_torch():
    class Encoder(torch.nn.Module):
        def forward(self, src, mask, src_key_padding_mask, is_causal):
            return src[:, :2]

    whole = nn.Transformer(8, 2, 1, 1, 16, batch_first=True, custom_encoder=Encoder())
    assert whole(torch.ones(3, 5, 8), torch.ones(3, 4, 8), memory_mask=torch.zeros(4, 2)).shape == (3, 4, 8)


def test_a_causal_call_drops_its_mask_as_torch_does():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)
    sequence = torch.rand(5, 3, 8)
    longer, exact = (torch.nn.Transformer.generate_square_subsequent_mask(size) for size in (9, 5))
    assert torch.equal(layer(sequence, longer, is_causal=True), layer(sequence, exact, is_causal=True))
    with pytest.raises(DimensionError, match="source is 9, must be 5"):
        layer(sequence, longer)


class TestFusedPaths:
    @ragged
    def test_of_a_layer(self, monkeypatch):
        calls = []
        fused = torch._transformer_encoder_layer_fwd
        monkeypatch.setattr(torch, "_transformer_encoder_layer_fwd", lambda *args: calls.append(1) or fused(*args))
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
        with torch.no_grad():
            layer(torch.rand(3, 5, 8))
            assert layer(torch.nested.nested_tensor([torch.rand(2, 8), torch.rand(4, 8)])).is_nested
        assert len(calls) == 2

    @ragged
    def test_of_a_stack_over_padding(self, monkeypatch):
        made = torch._nested_tensor_from_mask
        calls = []
        monkeypatch.setattr(torch, "_nested_tensor_from_mask", lambda *a, **k: calls.append(1) or made(*a, **k))
        ours, theirs = (
            namespace.TransformerEncoder(namespace.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
            for namespace in (nn, torch.nn)
        )
        ours.load_state_dict(theirs.state_dict())
        padding = torch.tensor([[False, False, True], [False, False, False]])
        sequence = torch.rand(2, 3, 8)
        with torch.no_grad():
            assert torch.equal(*(stack(sequence, src_key_padding_mask=padding) for stack in (ours, theirs)))
        assert len(calls) == 2


def test_a_decoder_stack_is_torchs_bit_for_bit():
    torch.manual_seed(0)
    theirs = torch.nn.TransformerDecoder(torch.nn.TransformerDecoderLayer(8, 2, 16, dropout=0.0), 2)
    torch.manual_seed(0)
    ours = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, dropout=0.0), 2)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    target, memory = torch.rand(4, 3, 8), torch.rand(5, 3, 8)
    assert torch.equal(ours(target, memory), theirs(target, memory))
    assert torch.equal(copy.deepcopy(ours)(target, memory), theirs(target, memory))
    with pytest.raises(DimensionError, match="^TransformerDecoder.forward: argument `memory` does not fit: batch is 2"):
        ours(target, torch.rand(5, 2, 8))
