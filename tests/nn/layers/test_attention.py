"""MultiheadAttention: query, key, value and masks, batched either way round or not."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, strategies as st

from dimtyped import DeclarationError, DimensionError, TyingError, dims, nn
from tests.helpers.named_calls import SIZES, Call, assert_accepted, assert_refused, broken

LAYOUTS = {"batch first": "batch {} {}", "sequence first": "{} batch {}", "unbatched": "{} {}"}
ragged = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")


@st.composite
def attention_calls(draw: st.DrawFn) -> Call:
    layout = draw(st.sampled_from(sorted(LAYOUTS)))
    heads = draw(st.integers(1, 2))
    sizes = {name: draw(SIZES) for name in ("batch", "target", "source")} | {"heads": heads}
    sizes["embed"] = heads * draw(st.integers(1, 3))
    arguments = {"embed_dim": sizes["embed"], "num_heads": heads, "batch_first": layout == "batch first"}
    key, value = "embed", "embed"
    if draw(st.booleans()):
        sizes |= {"kdim": draw(SIZES), "vdim": draw(SIZES)}
        arguments |= {"kdim": sizes["kdim"], "vdim": sizes["vdim"]}
        key, value = (name if sizes[name] != sizes["embed"] else "embed" for name in ("kdim", "vdim"))
    shapes = {
        "query": LAYOUTS[layout].format("target", "embed"),
        "key": LAYOUTS[layout].format("source", key),
        "value": LAYOUTS[layout].format("source", value),
    }
    if draw(st.booleans()):
        shapes["key_padding_mask"] = "source" if layout == "unbatched" else "batch source"
    rows = draw(st.sampled_from(["", "target source", "many target source"]))
    if rows:
        shapes["attn_mask"] = rows.replace("many", "heads" if layout == "unbatched" else "batch*heads")
    return Call("MultiheadAttention", arguments, sizes, shapes, ("embed", "kdim", "vdim", "heads"))


@given(attention_calls(), st.data())
def test_a_right_call_is_accepted_and_one_broken_size_is_named(call, data):
    assert_accepted(call)
    assert_refused(call, *data.draw(broken(call)))


class TestCases:
    def test_e1_a_query_of_another_width(self):
        (embed,) = dims(embed=8)
        layer = nn.MultiheadAttention(embed, 2)
        wrong, right = torch.ones(5, 3, 10), torch.ones(7, 3, 8)
        with pytest.raises(DimensionError, match="argument `query` does not fit: embed is 10, must be 8") as raised:
            layer(wrong, right, right)
        assert (raised.value.dim, raised.value.expected, raised.value.actual) == ("embed", 8, 10)
        assert "declared by MultiheadAttention(embed=8, heads=2)" in str(raised.value)

    @pytest.mark.parametrize("argument", ["key", "value"])
    def test_e1_a_key_or_value_of_another_width(self, argument):
        inputs = {name: torch.ones(5, 3, 8) for name in ("query", "key", "value")} | {argument: torch.ones(5, 3, 10)}
        with pytest.raises(DimensionError, match=f"argument `{argument}` does not fit: embed is 10, must be 8"):
            nn.MultiheadAttention(8, 2)(**inputs)

    def test_e1_is_caught_by_what_caught_torchs(self):
        wrong = torch.ones(5, 3, 10)
        with pytest.raises(AssertionError, match="was expecting embedding dimension of 8, but got 10"):
            torch.nn.MultiheadAttention(8, 2)(wrong, wrong, wrong)
        with pytest.raises(AssertionError, match="embed is 10, must be 8"):
            nn.MultiheadAttention(8, 2)(wrong, wrong, wrong)

    def test_e3_key_and_value_of_their_own_widths(self):
        audio, image = dims(audio=3, image=5)
        layer = nn.MultiheadAttention(8, 2, kdim=audio, vdim=image)
        query, key, value = torch.ones(4, 2, 8), torch.ones(6, 2, 3), torch.ones(6, 2, 5)
        assert layer(query, key, value)[0].shape == (4, 2, 8)
        with pytest.raises(DimensionError, match="argument `key` does not fit: audio is 5, must be 3"):
            layer(query, value, key)

    def test_e3_masks_of_the_wrong_shape(self):
        layer = nn.MultiheadAttention(8, 2, batch_first=True)
        query, key = torch.ones(3, 5, 8), torch.ones(3, 7, 8)
        with pytest.raises(DimensionError, match="argument `key_padding_mask` does not fit: source is 5, must be 7"):
            layer(query, key, key, key_padding_mask=torch.zeros(3, 5, dtype=torch.bool))
        with pytest.raises(DimensionError, match=r"argument `attn_mask` does not fit: batch\*heads is 3, must be 6"):
            layer(query, key, key, attn_mask=torch.zeros(3, 5, 7))
        with pytest.raises(DimensionError, match="argument `attn_mask` does not fit: target is 7, must be 5"):
            layer(query, key, key, attn_mask=torch.zeros(7, 5))

    def test_e3_a_padding_mask_that_torchs_fused_path_takes_for_another(self):
        ours, theirs = (namespace.MultiheadAttention(8, 2, batch_first=True).eval() for namespace in (nn, torch.nn))
        inputs = [torch.ones(3, 5, 8)] * 3
        inputs[1:] = [inputs[0], inputs[0]]
        masks = {
            "key_padding_mask": torch.zeros(5, 3, dtype=torch.bool),
            "attn_mask": torch.zeros(5, 5, dtype=torch.bool),
        }
        with torch.no_grad():
            theirs(*inputs, **masks)  # silent: (source, batch) is read as (batch, source)
            with pytest.raises(DimensionError, match="argument `key_padding_mask` does not fit: batch is 5, must be 3"):
                ours(*inputs, **masks)

    def test_e3_keys_of_another_batch(self):
        with pytest.raises(DimensionError, match="argument `key` does not fit: batch is 2, must be 3"):
            nn.MultiheadAttention(8, 2)(torch.ones(5, 3, 8), torch.ones(7, 2, 8), torch.ones(7, 2, 8))

    def test_e4_a_width_that_the_heads_do_not_divide(self):
        (embed,) = dims(embed=10)
        with pytest.raises(DeclarationError, match="embed=10 is not divisible by num_heads=4") as raised:
            nn.MultiheadAttention(embed, 4)
        assert raised.value.hint == "Make embed a multiple of num_heads: 8 or 12."
        assert (raised.value.dim, raised.value.actual) == ("embed", 10)


def test_a_causal_call_drops_its_mask_as_torch_does():
    """`is_causal` without weights: torch does not look at the mask, and a longer one than the sequence is no mistake."""
    ours, theirs = nn.MultiheadAttention(8, 2), torch.nn.MultiheadAttention(8, 2)
    ours.load_state_dict(theirs.state_dict())
    sequence = torch.rand(5, 3, 8)
    options = {"attn_mask": torch.zeros(9, 9), "is_causal": True, "need_weights": False}
    results = [layer(sequence, sequence, sequence, **options)[0] for layer in (ours, theirs)]
    assert torch.equal(*results)
    wrong = torch.rand(5, 3, 6)
    with pytest.raises(DimensionError, match="embed is 6, must be 8"):
        ours(wrong, wrong, wrong, **options)


@pytest.mark.parametrize(
    "options",
    [{"need_weights": True}, {"key_padding_mask": torch.zeros(3, 5, dtype=torch.bool)}],
    ids=["weights", "padding"],
)
def test_a_causal_call_that_uses_its_mask_has_it_checked(options):
    """Torch drops a causal mask where it needs neither weights nor padding; where it uses it, it must fit."""
    options = {"need_weights": False, "attn_mask": torch.zeros(9, 9, dtype=torch.bool), "is_causal": True} | options
    sequence = torch.rand(5, 3, 8)
    with pytest.raises(RuntimeError, match="shape"):
        torch.nn.MultiheadAttention(8, 2)(sequence, sequence, sequence, **options)
    with pytest.raises(DimensionError, match="argument `attn_mask` does not fit: source is 9, must be 5"):
        nn.MultiheadAttention(8, 2)(sequence, sequence, sequence, **options)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64], ids=str)
@pytest.mark.parametrize("argument", ["attn_mask", "key_padding_mask"])
def test_a_mask_of_ints_is_told_to_be_bools(argument, dtype):
    sequence, mask = torch.rand(5, 3, 8), torch.zeros((5, 5) if argument == "attn_mask" else (3, 5), dtype=dtype)
    with pytest.raises(AssertionError, match="only bool and floating types"):
        torch.nn.MultiheadAttention(8, 2)(sequence, sequence, sequence, **{argument: mask})
    with pytest.raises(
        AssertionError, match=f"argument `{argument}` does not fit: its dtype is .*, must be bool"
    ) as error:
        nn.MultiheadAttention(8, 2)(sequence, sequence, sequence, **{argument: mask})
    assert error.value.hint == f"`{argument}.bool()` fits, True for every value but 0."


MASKS = {
    "bool": torch.ones(5, 5).triu(1).bool(),
    "float": torch.full((5, 5), -torch.inf).triu(1),
    "for each head": torch.ones(5, 5).triu(1).bool().expand(6, 5, 5),
    "float for each head": torch.full((5, 5), -torch.inf).triu(1).repeat(6, 1, 1),
}
PADDINGS = {"bool": torch.tensor([[False] * 4 + [True]] * 3), "float": torch.tensor([[0.0] * 4 + [-torch.inf]] * 3)}


@pytest.mark.filterwarnings("ignore:Support for mismatched")  # a bool mask beside a float one, which torch still takes
@pytest.mark.parametrize("weights", [{"need_weights": False}, {}, {"average_attn_weights": False}], ids=str)
@pytest.mark.parametrize("padding", [None, *PADDINGS])
@pytest.mark.parametrize("mask", [None, *MASKS])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("options", [{}, {"add_bias_kv": True, "add_zero_attn": True}], ids=["", "bias and zero"])
def test_every_legal_mask_gives_what_torch_gives(options, batch_first, mask, padding, weights):
    ours, theirs = (
        namespace.MultiheadAttention(8, 2, batch_first=batch_first, **options) for namespace in (nn, torch.nn)
    )
    ours.load_state_dict(theirs.state_dict())
    sequence = torch.rand(3, 5, 8) if batch_first else torch.rand(5, 3, 8)
    given = weights | {"attn_mask": MASKS.get(mask), "key_padding_mask": PADDINGS.get(padding)}
    for training in (True, False):
        with torch.set_grad_enabled(training):
            results = [layer.train(training)(sequence, sequence, sequence, **given) for layer in (ours, theirs)]
        assert torch.equal(results[0][0], results[1][0])
        assert (results[0][1] is None) == (results[1][1] is None)
        assert results[0][1] is None or torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("batch_first", [True, False])
def test_the_layout_decides_where_the_batch_is(batch_first):
    layer = nn.MultiheadAttention(8, 2, batch_first=batch_first)
    query, key = torch.ones(3, 5, 8), torch.ones(3, 7, 8)
    if batch_first:
        assert layer(query, key, key)[0].shape == (3, 5, 8)
    else:
        with pytest.raises(DimensionError, match="batch is 7, must be 5"):
            layer(query, key, key)


def test_too_many_axes():
    with pytest.raises(AssertionError, match="it has 4 axes, must have 3"):
        nn.MultiheadAttention(8, 2)(torch.ones(1, 5, 3, 8), torch.ones(5, 3, 8), torch.ones(5, 3, 8))


def test_an_unbatched_query_with_batched_keys():
    with pytest.raises(DimensionError, match="argument `key` does not fit: it has 3 axes, must have 2"):
        nn.MultiheadAttention(8, 2)(torch.ones(5, 8), torch.ones(7, 3, 8), torch.ones(7, 3, 8))


@ragged
def test_the_fused_path_is_taken_as_before(monkeypatch):
    calls = []
    fused = torch._native_multi_head_attention
    monkeypatch.setattr(torch, "_native_multi_head_attention", lambda *args: calls.append(1) or fused(*args))
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    sequence = torch.rand(3, 5, 8)
    with torch.no_grad():
        layer(sequence, sequence, sequence)
        several = torch.nested.nested_tensor([torch.rand(2, 8), torch.rand(4, 8)])
        assert layer(several, several, several, need_weights=False)[0].is_nested
    assert len(calls) == 2


@pytest.mark.parametrize("parameter", ["in_proj_weight", "in_proj_bias", "bias_k"])
def test_a_parameter_of_another_shape_is_refused_at_the_assignment(parameter):
    layer = nn.MultiheadAttention(8, 2, add_bias_kv=True)
    with pytest.raises(TyingError, match="embed"):
        setattr(layer, parameter, torch.nn.Parameter(torch.ones(5)))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_keeps_its_names(copied):
    (embed,) = dims(embed=8)
    layer = copied(nn.MultiheadAttention(embed, 2))
    assert layer._dim_text() == "MultiheadAttention(embed=8, heads=2)"
    with pytest.raises(DimensionError, match="embed is 6, must be 8"):
        layer(*[torch.ones(5, 3, 6)] * 3)
