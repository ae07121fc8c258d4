"""Each kind of finding: a bug in everyday code, and the corrected code, which has no finding."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as users write it

from dimtyped.flow import KINDS
from tests.flow.named import linear, run_of


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
