"""Whole models: what torch's own example trains, and an encoder-decoder with attention whose output is tied."""

import itertools
from pydoc_data.topics import topics

import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor

import dimtyped.nn
from dimtyped import DimensionError, DimSize, dims, typed
from dimtyped.cli.demo.model import Decoder, Seq2Seq
from dimtyped.cli.demo.text import split
from dimtyped.cli.demo.training import Task, train

WIDTH, LAYERS, SEQ, BATCH = 32, 2, 12, 8


def language_model(nn):
    """The tied GRU model of pytorch/examples, word_language_model, with the layers of this `nn`."""

    class LanguageModel(nn.Module):
        def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize):
            super().__init__()
            self.drop = nn.Dropout(0.2)
            self.encoder = nn.Embedding(vocab, embed)
            self.rnn = nn.GRU(embed, hidden, LAYERS, dropout=0.2)
            self.decoder = nn.Linear(hidden, vocab)
            self.decoder.weight = self.encoder.weight
            nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
            nn.init.zeros_(self.decoder.bias)

        def forward(
            self, tokens: Int[Tensor, "seq batch"], state: Float[Tensor, "layers batch hidden"]
        ) -> tuple[Float[Tensor, "seq*batch vocab"], Float[Tensor, "layers batch hidden"]]:
            output, state = self.rnn(self.drop(self.encoder(tokens)), state)
            logits = self.decoder(self.drop(output)).flatten(0, 1)
            return nn.functional.log_softmax(logits, dim=1), state

    return LanguageModel


def words_in_columns():
    """Real text as word ids, `(seq, batch)`, and how many different words there are."""
    words = topics["assignment"].split()
    ids = {word: number for number, word in enumerate(dict.fromkeys(words))}
    tokens = torch.tensor([ids[word] for word in words])
    return tokens[: len(tokens) // BATCH * BATCH].view(BATCH, -1).t().contiguous(), len(ids)


def losses_of(nn, steps):
    """As the example trains: truncated back-propagation, clipped gradients, plain SGD."""
    tokens, vocab = words_in_columns()
    torch.manual_seed(0)
    model = language_model(nn)(vocab, WIDTH, WIDTH)
    state = torch.zeros(LAYERS, BATCH, WIDTH)
    losses = []
    for start in itertools.islice(itertools.cycle(range(0, len(tokens) - SEQ - 1, SEQ)), steps):
        model.zero_grad()
        output, state = model(tokens[start : start + SEQ], state.detach())
        loss = nn.functional.nll_loss(output, tokens[start + 1 : start + SEQ + 1].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(parameter.grad, alpha=-5.0)
        losses.append(loss.item())
    assert model.decoder.weight is model.encoder.weight
    return losses


def test_word_language_model_trains_to_the_same_losses_bit_for_bit():
    typed_losses = losses_of(dimtyped.nn, steps=20)
    assert typed_losses == losses_of(torch.nn, steps=20)
    assert typed_losses[-1] < typed_losses[0]


def test_word_language_model_checks_its_forward():
    model = language_model(dimtyped.nn)(100, WIDTH, WIDTH)
    with pytest.raises(
        DimensionError, match=r"^LanguageModel.forward: argument `state` does not fit: batch is 7, must be 8\n"
    ):
        model(torch.zeros(SEQ, BATCH, dtype=torch.long), torch.zeros(LAYERS, 7, WIDTH))


def attention_model():
    task = Task(split("\n".join(topics.values())))
    torch.manual_seed(0)
    return task, Seq2Seq(*dims(vocab=task.vocab, embed=16, hidden=32))


def test_a7_the_attention_decoder_trains():
    task, model = attention_model()
    losses = list(train(model, task, 30))
    assert losses[-1] < 0.85 * losses[0]
    assert model.decoder.out.weight is model.decoder.embedding.weight


class WrongAttention(dimtyped.nn.Module):
    """The published one: a weight for each feature, where there should be one for each key."""

    def __init__(self, hidden: DimSize):
        super().__init__()
        self.score = dimtyped.nn.Linear(2 * hidden, hidden)

    def forward(
        self, state: Float[Tensor, "layers batch hidden"], keys: Float[Tensor, "batch seq hidden"], real: Tensor
    ) -> Float[Tensor, "batch 1 seq"]:
        last = keys.masked_fill(~real.unsqueeze(2), 0)[:, -1]
        joined = torch.cat([state[-1], last], dim=-1)
        return self.score(joined).softmax(-1).unsqueeze(2)


def test_a7_attention_weights_of_the_wrong_shape_are_refused_at_the_return():
    decoder = Decoder(*dims(vocab=30, embed=16, hidden=32))
    decoder.attention = WrongAttention(32)
    tokens, state, keys = torch.ones(4, 6, dtype=torch.long), torch.zeros(1, 4, 32), torch.zeros(4, 5, 32)
    with pytest.raises(DimensionError, match=r"WrongAttention.forward.*: the result does not fit: ") as caught:
        decoder(tokens, state, keys, torch.ones(4, 5, dtype=torch.bool))
    assert "axis 1 is 32, must be 1; seq is 1, must be 5\n" in str(caught.value)
    assert (caught.value.argument, caught.value.bindings["seq"]) == ("return", 5)


def test_a7_attention_weights_of_the_wrong_shape_are_refused_at_the_call():
    @typed
    def read(
        weights: Float[Tensor, "batch 1 seq"], keys: Float[Tensor, "batch seq hidden"]
    ) -> Float[Tensor, "batch 1 hidden"]:
        return torch.bmm(weights, keys)

    keys = torch.ones(4, 5, 32)
    assert read(torch.ones(4, 1, 5), keys).shape == (4, 1, 32)
    with pytest.raises(DimensionError, match=r"^read: argument `weights` does not fit: axis 1 is 32, must be 1\n"):
        read(torch.ones(4, 32, 1), keys)
