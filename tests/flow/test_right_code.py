"""Right code that looks odd: it has no finding."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as users write it

from tests.flow.named import run_of


def positions(run):
    i = run("seq")
    return (i[:, None] - i[None]) + (i[:, None] - i)


def causal_mask(run):
    x = run("batch seq embed")
    scores = x @ x.mT / math.sqrt(16)
    return scores.masked_fill(torch.ones(4, 4).triu(1).bool(), -1e9).softmax(-1) @ x


def pairwise_distances(run):
    x = run("batch embed")
    return (x[:, None] - x).square().sum(-1) + torch.cdist(x, x) + (x.unsqueeze(1) * x).sum(-1)


def loss_over_the_batch(run):
    return F.cross_entropy(run("batch classes"), torch.zeros(4).long()) + run("batch").mean()


def a_variance_of_each_row(run):
    mean, variance = run("batch classes"), run("batch").exp()
    return F.gaussian_nll_loss(mean, run("batch classes"), variance, reduction="none") + mean


def batch_norm(run):
    norm = nn.BatchNorm1d(16)
    return norm(run("batch embed")) + run("batch embed")


def symmetric(run):
    x = run("batch embed").view(4, 4, 4)
    return x + x.mT


def channel_shuffle(run):
    x = run("batch embed height width")
    shuffled = x.view(4, 2, 8, 8, 8).transpose(1, 2).reshape(x.shape)
    return x + shuffled + F.channel_shuffle(x, 2)


def heads_by_name(run):
    """A bias for each head, declared as `heads`, meets a piece of embed."""
    x = run("batch seq embed")
    q = x.view(4, 4, 4, 4).transpose(1, 2)
    scores = q @ q.mT + run("heads 1 1")
    return (scores.softmax(-1) @ q).transpose(1, 2).flatten(2) + x


def all_pairs(run):
    x = run("batch embed")
    return x.repeat_interleave(4, 0) * x.repeat(4, 1)


def pairs_of_frames(run):
    """Half as many steps, twice as wide."""
    return run("batch seq embed").reshape(4, 2, 32).view(8, 32)


def size_one(run):
    one = run("batch seq 1") * run("batch 1 embed") + run("1 1 embed") + run("1 seq 1")
    return one + run("batch seq embed")


def same_convolution(run):
    return run("batch channels height width") + nn.Conv2d(4, 4, 3, padding=1)(run("batch channels height width"))


def packed_sequences(run):
    x = run("batch seq embed")
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([2, 4, 3, 1]), batch_first=True, enforce_sorted=False)
    output, state = nn.GRU(16, 16, batch_first=True)(packed)
    output, lengths = nn.utils.rnn.pad_packed_sequence(output, batch_first=True)
    return output + x, state[0] + x[:, 0], lengths


def sorted_by_length(run):
    lengths, order = run("batch").sort(descending=True)
    x = run("batch seq embed")[order]
    return x[order.argsort()] + run("batch seq embed"), lengths


def gathers_the_last_item(run):
    x = run("batch seq embed")
    return x[torch.arange(4), run("batch").long() * 0] + run("batch embed")


def decodes_step_by_step(run):
    x, state = run("batch seq embed"), torch.zeros(4, 8)
    cell = nn.GRUCell(16, 8)
    for step in range(4):
        state = cell(x[:, step], state)
    return state


def mixture_of_experts(run):
    x = run("batch seq embed").flatten(0, 1)
    weights, chosen = nn.Linear(16, 3)(x).softmax(-1).topk(2)
    out = torch.zeros_like(x)
    for expert in range(3):
        token, slot = torch.where(chosen == expert)
        out.index_add_(0, token, x[token] * weights[token, slot, None])
    return out.view(4, 4, 16) + run("batch seq embed")


def grouped_queries(run):
    q, k = run("batch seq embed").view(4, 4, 4, 4).transpose(1, 2), torch.randn(4, 2, 4, 4)
    k = k[:, :, None].expand(4, 2, 2, 4, 4).reshape(4, 4, 4, 4)
    return F.scaled_dot_product_attention(q, k, k).transpose(1, 2).reshape(4, 4, 16) + run("batch seq embed")


RIGHT = [
    positions,
    causal_mask,
    pairwise_distances,
    loss_over_the_batch,
    a_variance_of_each_row,
    batch_norm,
    symmetric,
    channel_shuffle,
    heads_by_name,
    all_pairs,
    pairs_of_frames,
    size_one,
    same_convolution,
    packed_sequences,
    sorted_by_length,
    gathers_the_last_item,
    decodes_step_by_step,
    mixture_of_experts,
    grouped_queries,
]


@pytest.mark.parametrize("right", RIGHT, ids=lambda function: function.__name__)
def test_right_code_has_no_finding(right):
    run = run_of(right)
    assert run.flow.findings == [], [str(found) for found in run.flow.findings]
    assert not run.flow.unfollowed
