"""Models of Hugging Face's transformers, of small configs and random weights, retyped."""

import os
from functools import partial
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when transformers is imported: nothing here is downloaded

import pytest
import torch
import transformers as hf
from torch import Tensor

from tests.models.retyping import CompiledModels, Model, RetypedModels, normalized, of_another

SIZES = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
VOCAB = {"vocab_size": 40, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def tokens(seq: int = 7) -> Tensor:
    return torch.randint(3, 40, (2, seq))


def text(**more: Tensor) -> dict[str, Any]:
    ids = tokens()
    return {"input_ids": ids, "labels": ids, **more}


def padded() -> dict[str, Any]:
    real = torch.ones(2, 7, dtype=torch.long)
    real[1, 5:] = 0
    return text(attention_mask=real)


def bert(layers: int = 2) -> torch.nn.Module:
    config = hf.BertConfig(**SIZES, **VOCAB, num_hidden_layers=layers, max_position_embeddings=16)
    return hf.BertForMaskedLM(config)


def gpt2(layers: int = 2) -> torch.nn.Module:
    return hf.GPT2LMHeadModel(hf.GPT2Config(**VOCAB, n_positions=16, n_embd=16, n_layer=layers, n_head=2))


def llama(layers: int = 2) -> torch.nn.Module:
    config = hf.LlamaConfig(
        **SIZES, **VOCAB, num_hidden_layers=layers, num_key_value_heads=1, max_position_embeddings=16
    )
    return hf.LlamaForCausalLM(config)


def t5(layers: int = 2) -> torch.nn.Module:
    config = hf.T5Config(
        vocab_size=40,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=layers,
        num_heads=2,
        decoder_start_token_id=0,
        pad_token_id=0,
    )
    return hf.T5ForConditionalGeneration(config)


def whisper(layers: int = 2) -> torch.nn.Module:
    sizes = {"d_model": 16, "num_mel_bins": 8, "max_source_positions": 10, "max_target_positions": 12}
    parts = {
        f"{part}_{what}": count
        for part in ("encoder", "decoder")
        for what, count in (("layers", layers), ("attention_heads", 2), ("ffn_dim", 32))
    }
    return hf.WhisperForConditionalGeneration(
        hf.WhisperConfig(**VOCAB, **sizes, **parts, decoder_start_token_id=1, suppress_tokens=None)
    )


def vit(layers: int = 2) -> torch.nn.Module:
    config = hf.ViTConfig(**SIZES, num_hidden_layers=layers, image_size=16, patch_size=4, num_labels=5)
    return hf.ViTForImageClassification(config)


def encodec() -> torch.nn.Module:
    """Convolutions whose weights are normalized, around an LSTM."""
    config = hf.EncodecConfig(
        num_filters=2,
        hidden_size=8,
        codebook_size=16,
        codebook_dim=8,
        upsampling_ratios=[4, 2],
        sampling_rate=800,
        target_bandwidths=[0.8],
    )
    return hf.EncodecModel(config)


def parakeet() -> torch.nn.Module:
    """A conformer, and an LSTM over the tokens so far."""
    encoder = {
        **SIZES,
        "num_hidden_layers": 2,
        "num_mel_bins": 16,
        "subsampling_conv_channels": 8,
        "conv_kernel_size": 3,
    }
    config = hf.ParakeetRNNTConfig(
        vocab_size=20, decoder_hidden_size=12, joint_hidden_size=12, blank_token_id=19, encoder_config=encoder
    )
    return hf.ParakeetForRNNT(config)


def slanet() -> torch.nn.Module:
    """A convolutional network, and a GRU cell with attention that writes what it sees."""
    config = hf.SLANetConfig(hidden_size=16, post_conv_out_channels=8, out_channels=6, max_text_length=3)
    return hf.SLANetForTableRecognition(config)


def sounds() -> dict[str, Any]:
    return {"input_features": torch.randn(2, 8, 20), "labels": tokens(5)}


def speech() -> dict[str, Any]:
    mels, real = torch.randn(2, 40, 16), torch.ones(2, 40, dtype=torch.bool)
    return {"input_features": mels, "attention_mask": real, "decoder_input_ids": torch.randint(1, 19, (2, 1))}


def images() -> dict[str, Any]:
    return {"pixel_values": torch.randn(2, 3, 16, 16), "labels": torch.tensor([1, 4])}


MODELS = [
    Model("bert", bert, padded, compiled=partial(bert, 1)),
    Model("gpt2", gpt2, text, compiled=partial(gpt2, 1)),
    Model("llama", llama, text, compiled=partial(llama, 1)),
    Model("t5", t5, text, compiled=partial(t5, 1)),
    Model(
        "whisper",
        whisper,
        sounds,
        left_alone={"WhisperPositionalEmbedding": of_another("Embedding")},
        compiled=partial(whisper, 1),
    ),
    Model("vit", vit, images, compiled=partial(vit, 1)),
    Model(
        "encodec",
        encodec,
        lambda: {"input_values": torch.randn(2, 1, 64)},
        left_alone={f"Parametrized{kind}": normalized(kind) for kind in ("Conv1d", "ConvTranspose1d")},
    ),
    Model("parakeet", parakeet, speech),
    Model("slanet", slanet, lambda: {"pixel_values": torch.randn(2, 3, 64, 64)}),
]


@pytest.mark.parametrize("model", MODELS, ids=str)
class TestRetyped(RetypedModels):
    pass


@pytest.mark.any_engine  # a trace follows the fast engine's checks, whichever is chosen
@pytest.mark.parametrize("model", [model for model in MODELS if model.compiled], ids=str)
class TestCompiled(CompiledModels):
    pass


def test_the_recurrent_ones_are_recurrent() -> None:
    kinds = (torch.nn.RNNBase, torch.nn.RNNCellBase)
    counts = {model.name: sum(isinstance(part, kinds) for part in model.make().modules()) for model in MODELS}
    assert {name: count for name, count in counts.items() if count} == {"encodec": 2, "parakeet": 1, "slanet": 1}
