"""What the note says of mistakes that its advice or its words were once wrong about."""

import pytest
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dimtyped import nn, typed
from dimtyped.nn import functional as F  # noqa: N812  # as users write it


def note_of(call, *args):
    """The note of the exception that a call raises."""
    with pytest.raises((RuntimeError, IndexError, ValueError)) as caught:
        call(*args)
    return "\n".join(caught.value.__notes__)


@typed
def flattened_loss(x: Float[Tensor, "batch seq classes"], y: Int[Tensor, "batch seq"]):
    return torch.nn.functional.cross_entropy(x.view(-1, 10), y)


@typed
def linear(x: Float[Tensor, "batch embed"], weight: Float[Tensor, "out embed"]):
    return F.linear(x, weight)


@typed
def gathered(x: Float[Tensor, "batch seq"], index: Float[Tensor, "batch k"]):
    return x.gather(1, index)


@typed
def masked(x: Float[Tensor, "batch heads query key"], mask: Bool[Tensor, "batch key"]):
    return x.masked_fill(~mask, -1e9)


@typed
def matrices(x: Float[Tensor, "batch seq embed"], y: Float[Tensor, "embed out"]):
    return torch.mm(x, y)


@typed
def added(bias: Float[Tensor, "out"], x: Float[Tensor, "batch embed"], weight: Float[Tensor, "out embed"]):
    return torch.addmm(bias, x, weight)


@typed
def loss_of_ints(x: Float[Tensor, "batch classes"], y: Int[Tensor, "batch classes"]):
    return torch.nn.functional.binary_cross_entropy_with_logits(x, y)


@typed
def product(x: Float[Tensor, "batch seq"], weight: Float[Tensor, "out batch"]):
    return x @ weight


@typed
def attention(q: Float[Tensor, "batch query heads embed"], k: Float[Tensor, "batch key heads embed"]):
    return torch.nn.functional.scaled_dot_product_attention(q, k, k)


@typed
def filled(x: Float[Tensor, "batch seq"], mask: Float[Tensor, "batch seq"]):
    return x.masked_fill(mask, 0.0)


@typed
def missing_operand(x: Float[Tensor, "batch seq"]):
    return torch.einsum("bs,s->b", x)


@typed
def part(x: Float[Tensor, "batch seq"]):
    return x.narrow(1, 3, 4)


f32 = torch.ones
CASES = {
    "factors in the other order": (product, (f32(3, 5), f32(7, 3)), ["`weight @ x` fits."]),
    "heads before the sequence": (
        attention,
        (f32(2, 5, 4, 8), f32(2, 6, 4, 8)),
        ["scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), k.transpose(1, 2))` fits."],
    ),
    "a mask of floats": (
        filled,
        (f32(2, 3), f32(2, 3)),
        ["`mask` is float32, must be bool", "`x.masked_fill(mask.bool(), 0.0)` fits."],
    ),
    "an operand too few": (missing_operand, (f32(2, 3),), ["in missing_operand: 2 terms for 1 operand\n"]),
    "a part beyond the end": (part, (f32(2, 5),), ["in part: 3 to 7 is not within seq=5\n"]),
    "sizes written into the code": (
        flattened_loss,
        (f32(4, 8, 10), torch.zeros(4, 8, dtype=torch.long)),
        ["`torch.nn.functional.cross_entropy(x.view(-1, 10), y.flatten())` fits."],
    ),
    "a checked function": (
        linear,
        (f32(4, 8), f32(3, 8, dtype=torch.float64)),
        ["`x` is float32, `weight` is float64", "`F.linear(x, weight.float())` fits."],
    ),
    "an index of floats": (
        gathered,
        (f32(4, 8), f32(4, 2)),
        ["`index` is float32, must be int64", "`x.gather(1, index.long())` fits."],
    ),
    "a number as it is written": (
        masked,
        (f32(2, 3, 5, 8), torch.ones(2, 8, dtype=torch.bool)),
        ["`x.masked_fill((~mask)[:, None, None, :], -1e9)` fits."],
    ),
    "mm of three axes": (matrices, (f32(2, 3, 8), f32(8, 5)), ["`torch.matmul(x, y)` fits."]),
    "what is added is not blamed": (
        added,
        (f32(5), f32(2, 8), f32(5, 8)),
        ["in added: embed=8 meets out=5\n", "`torch.addmm(bias, x, weight.T)` fits."],
    ),
    "a target of ints": (
        loss_of_ints,
        (f32(2, 3), torch.zeros(2, 3, dtype=torch.long)),
        ["`y` is int64, must be float32", "y.float())` fits."],
    ),
}


@pytest.mark.parametrize(("call", "args", "said"), CASES.values(), ids=CASES)
def test_the_cause_and_the_fix_are_named(call, args, said):
    note = note_of(call, *args)
    assert [part for part in said if part not in note] == [], note


def test_an_operand_that_is_given_twice_is_named_once():
    @typed
    def product(x: Float[Tensor, "batch heads seq embed"]):
        return torch.bmm(x, x)

    assert "in product: `x` has 4 axes; bmm takes 3 and 3\n" in note_of(product, f32(2, 3, 5, 4))


def test_no_fix_is_taken_from_the_user_s_own_sizes_where_two_names_share_one():
    @typed
    def total(x: Float[Tensor, "batch seq"], y: Float[Tensor, "out"]):
        return x.view(2, 4) + y

    assert "fits" not in note_of(total, f32(2, 4), f32(2))


def test_a_plain_layer_s_sizes_have_no_name_of_the_call_s():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = torch.nn.Linear(8, 2)

        def forward(self, x: Float[Tensor, "batch seq width"]):
            return self.out(x.transpose(1, 2))

    note = note_of(Model(), f32(2, 3, 8))
    assert "out.weight          float32 (out_features=2, in_features=8)" in note
    assert "`self.out(x)` fits." in note
