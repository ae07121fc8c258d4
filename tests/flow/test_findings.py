"""Each kind of finding: a bug in everyday code, and its right twin, of which nothing is said."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as users write it

from dimtyped.flow import KINDS, Flow, Problem
from tests.flow.named import Run

SIZES = dict.fromkeys(("batch", "seq", "heads", "vocab", "channels", "source", "classes"), 4)
SIZES |= {"embed": 16, "hidden": 8, "height": 8, "width": 8}


def run_of(function, **sizes):
    run = Run(**{**SIZES, **sizes})
    with run.flow:
        function(run)
    return run


def linear(run, names, bias=True):
    out, into = run.axes(names)
    layer = nn.Linear(into.size, out.size, bias=bias)
    run.name(layer.weight, names)
    return layer


# each kind, wrong and right


def adds_transposed(run):
    x = run("batch seq embed")
    return x + run("seq batch embed")


def adds(run):
    x = run("batch seq embed")
    return x + run("seq batch embed").transpose(0, 1)


def joins_heads_untransposed(run):
    x = run("batch seq embed")
    batch, seq, embed = x.shape
    o = x.view(batch, seq, 2, embed // 2).transpose(1, 2)
    return x + o.reshape(batch, seq, embed)


def joins_heads(run):
    x = run("batch seq embed")
    batch, seq, embed = x.shape
    o = x.view(batch, seq, 2, embed // 2).transpose(1, 2)
    return x + o.transpose(1, 2).reshape(batch, seq, embed)


def splits_heads_untransposed(run):
    x = run("batch seq embed")
    batch, seq, embed = x.shape
    return x.view(batch, 2, seq, embed // 2)


def splits_heads(run):
    x = run("batch seq embed")
    batch, seq, embed = x.shape
    return x.view(batch, seq, 2, embed // 2).transpose(1, 2)


def flattens_the_state(run):
    gru = nn.GRU(16, 8, num_layers=2)
    run.name(gru.weight_hh_l0, "24 hidden")
    _, state = gru(run("seq batch embed"))
    return state.view(state.shape[1], -1)


def flattens_the_state_by_batch(run):
    gru = nn.GRU(16, 8, num_layers=2)
    run.name(gru.weight_hh_l0, "24 hidden")
    _, state = gru(run("seq batch embed"))
    return state.transpose(0, 1).reshape(state.shape[1], -1)


def loss_of_a_column(run):
    prediction = linear(run, "1 embed")(run("batch embed"))
    return ((prediction - run("batch")) ** 2).mean()


def loss_of_a_vector(run):
    prediction = linear(run, "1 embed")(run("batch embed")).squeeze(-1)
    return ((prediction - run("batch")) ** 2).mean()


def mse_loss_of_a_column(run):
    prediction = linear(run, "1 embed")(run("batch embed"))
    with pytest.warns(UserWarning, match="broadcast"):
        return F.mse_loss(prediction, run("batch"))


def mse_loss_of_vectors(run):
    return F.mse_loss(linear(run, "1 embed")(run("batch embed"))[:, 0], run("batch"))


def softmax_over_the_batch(run):
    return run("batch classes").softmax(0)


def softmax_over_classes(run):
    return run("batch classes").softmax(-1)


def attends_over_the_batch(run):
    attention = nn.MultiheadAttention(16, 2)
    x = run("batch seq embed")
    return attention(x, x, x)[0]


def attends_over_the_sequence(run):
    attention = nn.MultiheadAttention(16, 2, batch_first=True)
    x = run("batch seq embed")
    return attention(x, x, x)[0]


def recurs_over_the_batch(run):
    return nn.GRU(16, 8)(run("batch seq embed"))[0]


def recurs_over_the_sequence(run):
    return nn.GRU(16, 8, batch_first=True)(run("batch seq embed"))[0]


def scores_between_samples(run):
    x = run("batch embed")
    return (x @ x.T).softmax(-1) @ x


def scores_between_items(run):
    x = run("batch seq embed")
    return (x @ x.mT).softmax(-1) @ x


def cumulates_over_the_batch(run):
    return run("batch seq").cumsum(0)


def cumulates_over_the_sequence(run):
    return run("batch seq").cumsum(1)


def bidirectional(run):
    lstm = nn.LSTM(16, 8, batch_first=True, bidirectional=True)
    run.name(lstm.weight_hh_l0, "32 hidden")
    return lstm(run("batch seq embed"))


def last_step_of_both_directions(run):
    output, _ = bidirectional(run)
    return nn.Linear(16, 2)(output[:, -1])


def last_step_of_each_direction(run):
    output, (state, _) = bidirectional(run)
    last = output[:, -1]
    both = torch.cat([last[:, :8], output[:, 0, 8:]], -1)
    return nn.Linear(16, 2)(both + torch.cat([state[-2], state[-1]], -1))


def half_a_layer(run):
    return nn.GRU(16, 8, num_layers=3, bidirectional=True)(run("seq batch embed"))[1][:3] * 2


def whole_layers(run):
    return nn.GRU(16, 8, num_layers=3, bidirectional=True)(run("seq batch embed"))[1][-2:] * 2


def softmax_of_one(run):
    return linear(run, "1 embed")(run("batch embed")).softmax(-1)


def softmax_of_one_key(run):
    """One item so far: in another run there are more."""
    query, key = run("batch 1 embed"), run("batch 1 embed")
    return (query @ key.mT).softmax(-1)


def channels_last_into_a_convolution(run):
    convolution = nn.Conv1d(4, 8, 1)
    run.name(convolution.weight, "hidden channels 1")
    return convolution(run("batch seq channels"))


def channels_first_into_a_convolution(run):
    convolution = nn.Conv1d(4, 8, 1)
    run.name(convolution.weight, "hidden channels 1")
    return convolution(run("batch seq channels").mT)


def classes_last_into_cross_entropy(run):
    return F.cross_entropy(run("batch seq vocab"), torch.zeros(4, 4).long() + run("batch seq").long() * 0)


def classes_second_into_cross_entropy(run):
    return F.cross_entropy(run("batch seq vocab").mT, torch.zeros(4, 4).long() + run("batch seq").long() * 0)


def targets_in_the_other_order(run):
    logits, targets = run("batch seq vocab"), run("batch seq").long() * 0
    return F.cross_entropy(logits.reshape(-1, 4), targets.T.reshape(-1))


def targets_in_the_same_order(run):
    logits, targets = run("batch seq vocab"), run("batch seq").long() * 0
    return F.cross_entropy(logits.reshape(-1, 4), targets.reshape(-1))


def mask_of_the_other_sequence(run):
    scores = run("batch 2 seq embed") @ run("batch 2 source embed").mT
    return scores.masked_fill(run("batch seq")[:, None, None, :] > 0, -1.0)


def mask_of_the_source(run):
    scores = run("batch 2 seq embed") @ run("batch 2 source embed").mT
    return scores.masked_fill(run("batch source")[:, None, None, :] > 0, -1.0)


def letters_swapped(run):
    return torch.einsum("bqd,bdk->bqk", run("batch seq embed"), run("batch source embed").transpose(0, 1).mT)


def letters_right(run):
    return torch.einsum("bqd,bkd->bqk", run("batch seq embed"), run("batch source embed"))


def patches_in_one_view(run):
    return run("batch 3 height width").reshape(4, 16, 12)


def patches(run):
    x = run("batch 3 height width").reshape(4, 3, 4, 2, 4, 2)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(4, 16, 12)


def positions_cut_by_the_batch(run):
    positions = nn.Parameter(torch.zeros(32, 1, 16))
    x = run("batch seq embed")
    return x + positions[: x.size(0)]


def positions_cut_by_the_sequence(run):
    positions = nn.Parameter(torch.zeros(32, 1, 16))
    x = run("seq batch embed")
    return x + positions[: x.size(0)]


PAIRS = [
    ("coincidence", adds_transposed, adds, ("batch", "seq")),
    ("scramble", joins_heads_untransposed, joins_heads, None),
    ("scramble", splits_heads_untransposed, splits_heads, None),
    ("scramble", flattens_the_state, flattens_the_state_by_batch, None),
    ("outer", loss_of_a_column, loss_of_a_vector, ("batch",)),
    ("outer", mse_loss_of_a_column, mse_loss_of_vectors, ("batch",)),
    ("mixing", softmax_over_the_batch, softmax_over_classes, ("batch",)),
    ("mixing", attends_over_the_batch, attends_over_the_sequence, ("batch",)),
    ("mixing", recurs_over_the_batch, recurs_over_the_sequence, ("batch",)),
    ("mixing", scores_between_samples, scores_between_items, ("batch",)),
    ("mixing", cumulates_over_the_batch, cumulates_over_the_sequence, ("batch",)),
    ("selection", last_step_of_both_directions, last_step_of_each_direction, None),
    ("selection", half_a_layer, whole_layers, ("layers*directions",)),
    ("selection", positions_cut_by_the_batch, positions_cut_by_the_sequence, ("batch",)),
    ("degenerate", softmax_of_one, softmax_of_one_key, None),
    ("coincidence", channels_last_into_a_convolution, channels_first_into_a_convolution, ("seq", "channels")),
    ("coincidence", classes_last_into_cross_entropy, classes_second_into_cross_entropy, ("vocab", "seq")),
    ("coincidence", targets_in_the_other_order, targets_in_the_same_order, ("batch*seq", "seq*batch")),
    ("coincidence", mask_of_the_other_sequence, mask_of_the_source, ("source", "seq")),
    ("coincidence", letters_swapped, letters_right, None),
    ("scramble", patches_in_one_view, patches, None),
]


@pytest.mark.parametrize(("kind", "wrong", "right", "names"), PAIRS, ids=lambda value: getattr(value, "__name__", None))
def test_a_bug_is_found_once_and_its_right_twin_is_not(kind, wrong, right, names):
    run = run_of(wrong)
    assert run.kinds == [kind], [str(found) for found in run.flow.findings]
    found = run.flow.findings[0]
    assert found.where == wrong.__name__
    assert found.file == __file__
    assert wrong.__code__.co_firstlineno < found.line
    lines = Path(__file__).read_text().splitlines()
    assert found.source.startswith(lines[found.line - 1].encode()[found.column :].decode()[:10])
    if names:
        assert found.names == names
    twin = run_of(right)
    assert twin.flow.findings == [], [str(each) for each in twin.flow.findings]
    assert not twin.flow.unfollowed


def test_every_kind_that_operators_show_has_a_pair():
    assert {kind for kind, *_ in PAIRS} == {*KINDS} - {"refused", "annotation", "fixed"}


# what is right, though it looks odd


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
def test_nothing_is_said_of_right_code(right):
    run = run_of(right)
    assert run.flow.findings == [], [str(found) for found in run.flow.findings]
    assert not run.flow.unfollowed


# how findings are told


def test_a_line_is_told_once_however_often_it_runs():
    def loop(run):
        for _ in range(5):
            adds_transposed(run)

    (found,) = run_of(loop).flow.findings
    assert found.times == 5
    assert str(found).endswith("(and 4 more times)")


def test_what_follows_from_a_finding_is_left_out():
    def block(run):
        x = run("batch seq embed") + run("seq batch embed")
        return x + run("batch seq embed")

    assert run_of(block).kinds == ["coincidence"]


def test_the_names_tell_where_they_come_from():
    (found,) = run_of(adds_transposed).flow.findings
    assert found.origins == {"batch": "from `batch`", "seq": "from `seq`"}
    assert found.operands == ("float32 (batch=4, seq=4, embed=16)", "float32 (seq=4, batch=4, embed=16)")
    assert found.operator == "add"
    assert found.message == (
        '`x + run("seq batch embed")` in adds_transposed: batch meets seq; both are 4, in this run'
    )


def test_an_expression_over_several_lines_is_read_whole():
    def multi(run):
        return (
            run("batch seq")
            + run("seq batch")
        )  # fmt: skip

    (found,) = run_of(multi).flow.findings
    assert found.source == 'run("batch seq") + run("seq batch")'


def test_attention_over_the_batch_is_told_at_its_first_line():
    def attend(run):
        x = run("seq batch embed")
        weights = (x @ x.mT).softmax(-1)
        return weights @ x

    (found,) = run_of(attend).flow.findings
    assert found.source == "(x @ x.mT).softmax(-1)"


def test_independent_names_are_the_users():
    run = Run(Flow(strict=True, independent=("seq",)), **SIZES)
    with run.flow:
        run("batch seq").softmax(0)
        run("batch seq").softmax(1)
    assert [found.names for found in run.flow.findings] == [("seq",)]


def test_a_finding_of_ones_own():
    flow = Flow()
    flow.report(Problem("annotation", "annotated seq, batch flows there", ()))
    flow.report(Problem("annotation", "annotated seq, batch flows there", ()))
    assert [found.where for found in flow.findings] == ["test_a_finding_of_ones_own"] * 2


def test_library_frames_are_passed_over(tmp_path, monkeypatch):
    folder = tmp_path / "site-packages" / "layers"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("def double(x, y):\n    return x + y\n")
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    import layers

    for skip, where in [((), "double"), (("layers",), "test_library_frames_are_passed_over")]:
        run = Run(Flow(skip=skip), **SIZES)
        with run.flow:
            layers.double(run("batch seq"), run("seq batch"))
        assert [found.where for found in run.flow.findings] == [where]
