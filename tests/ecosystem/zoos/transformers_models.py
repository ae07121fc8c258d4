"""Architectures of Hugging Face's transformers, in tiny configs."""

import os
from functools import partial

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when transformers is imported: nothing here is downloaded

import torch
import transformers as hf

from tests.ecosystem.zoos.entries import Entry, image

_NUMBERS = {
    "hidden_size d_model n_embd dim embed_dim embedding_size": 32,
    "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers num_decoder_layers": 2,
    "num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads": 4,
    "intermediate_size ffn_dim encoder_ffn_dim decoder_ffn_dim d_ff hidden_dim moe_intermediate_size": 48,
    "max_position_embeddings n_positions n_ctx max_seq_len": 64,
    "pad_token_id bos_token_id eos_token_id decoder_start_token_id": 1,
    "num_key_value_heads num_experts_per_tok": 2,
    "head_dim d_kv patch_size": 8,
    "num_experts num_local_experts n_routed_experts rotary_dim": 4,
    "vocab_size": 60,
    "image_size": 32,
    "num_labels": 5,
}
_SIZES = {name: number for names, number in _NUMBERS.items() for name in names.split()}
CAUSAL = (
    "arcee biogpt bloom codegen cohere cohere2 ctrl ernie4_5 falcon_mamba gemma gemma2 gemma3_text glm glm4 gpt2 gpt_bigcode "
    "gpt_neox gptj granite granitemoe helium llama mamba mistral mixtral mpt olmo olmo2 olmoe openai-gpt opt persimmon phi "
    "phi3 qwen2 qwen2_moe qwen3 qwen3_moe rwkv seed_oss smollm3 stablelm starcoder2 xglm"
)
MASKED = (
    "albert bert big_bird camembert convbert deberta deberta-v2 distilbert electra ernie fnet ibert layoutlm longformer "
    "megatron-bert mobilebert modernbert mpnet mra nystromformer rembert roberta roformer squeezebert xlm xlm-roberta yoso"
)
SEQ2SEQ = "bart blenderbot led longt5 m2m_100 marian mbart mt5 mvp nllb-moe pegasus plbart prophetnet switch_transformers t5 umt5"
VISION = (
    "beit bit cvt data2vec-vision dinov2 focalnet ijepa mobilenet_v1 mobilenet_v2 mobilevit poolformer pvt pvt_v2 regnet "
    "resnet segformer swiftformer textnet vit vit_msn"
)
PYRAMIDS = "convnext convnextv2 efficientnet hiera mobilevitv2 swin swinv2"
AUDIO = "data2vec-audio hubert sew unispeech wav2vec2 wavlm"
_MORE = {
    "longt5 mt5 switch_transformers t5 umt5": {"decoder_start_token_id": 0},
    "prophetnet": {"num_encoder_layers": 2, "num_decoder_layers": 2},
}


def _config(name):
    """A config with small sizes; that of a pyramid has sizes that follow from one another, and keeps its own."""
    if name in PYRAMIDS.split():
        return hf.AutoConfig.for_model(name, num_labels=5)
    plain = hf.AutoConfig.for_model(name)
    known = {key: size for key, size in _SIZES.items() if type(getattr(plain, key, None)) is int}
    more = next((each for names, each in _MORE.items() if name in names.split()), {})
    if name == "prophetnet":
        del known["num_hidden_layers"]
    return hf.AutoConfig.for_model(name, **{**known, **more})


def _made(maker, name):
    return maker.from_config(_config(name))


def _text(maker, name):
    made = {"input_ids": lambda: torch.randint(2, 60, (2, 16)), "attention_mask": lambda: torch.ones(2, 16).long()}
    made["labels"] = made["input_ids"]
    axes = dict.fromkeys(made, "batch seq")
    return Entry(name, partial(_made, maker, name), axes, lambda: {key: make() for key, make in made.items()})


def _image(name, size):
    return image(name, partial(_made, hf.AutoModelForImageClassification, name), size, parameter="pixel_values")


def _sound(name):
    axes = {"input_values": "batch time"}
    return Entry(name, partial(_made, hf.AutoModel, name), axes, lambda: {"input_values": torch.randn(2, 8000)})


ENTRIES = [
    *(_text(hf.AutoModelForCausalLM, name) for name in CAUSAL.split()),
    *(_text(hf.AutoModelForMaskedLM, name) for name in MASKED.split()),
    *(_text(hf.AutoModelForSeq2SeqLM, name) for name in SEQ2SEQ.split()),
    *(_image(name, 32) for name in VISION.split()),
    *(_image(name, 224) for name in PYRAMIDS.split()),
    *map(_sound, AUDIO.split()),
]
