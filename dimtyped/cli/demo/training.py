"""The training of the demo's model: batches of phrases as token ids."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # its name everywhere

from dimtyped.cli.demo.model import Seq2Seq
from dimtyped.cli.demo.text import LONGEST, Corpus, without_vowels

BATCH = 64
PADDING, EDGE = 0, 1
"""The two ids that are not characters: padding, and the mark before a phrase's first and after its last character."""


class Task:
    """Phrases as batches of token ids, and token ids as phrases.

    Args:
        corpus: The phrases.
    """

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self._ids = {character: number for number, character in enumerate(corpus.characters, start=2)}
        self.vocab = len(self._ids) + 2

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Sources and targets of a step, each `(batch, characters)`; after the last phrase the first ones follow."""
        phrases = self.corpus.train
        chosen = [phrases[(step * BATCH + place) % len(phrases)] for place in range(BATCH)]
        return self.sources(chosen), self._tokens(chosen)

    def sources(self, phrases: list[str]) -> Tensor:
        """The encoder's input for these phrases."""
        return self._tokens([without_vowels(phrase) for phrase in phrases])

    def restore(self, model: Seq2Seq, phrases: list[str]) -> list[str]:
        """The phrases that the model restores from these phrases without vowels."""
        written = model.write(self.sources(phrases), EDGE, LONGEST)
        return [self._text([int(number) for number in row]) for row in written]

    def _tokens(self, phrases: list[str]) -> Tensor:
        rows = [torch.tensor([self._ids[character] for character in phrase]) for phrase in phrases]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PADDING)

    def _text(self, row: list[int]) -> str:
        written = row[: row.index(EDGE)] if EDGE in row else row
        return "".join(self.corpus.characters[number - 2] if number > EDGE else "?" for number in written)


def loss_of(model: Seq2Seq, source: Tensor, target: Tensor) -> Tensor:
    """The mean cross-entropy of each next character, in nats; the decoder gets the true characters before it."""
    given = F.pad(target, (1, 0), value=EDGE)
    wanted = F.pad(target, (0, 1), value=PADDING)
    wanted = wanted.scatter(1, (target != PADDING).sum(1, keepdim=True), EDGE)
    return F.cross_entropy(model(source, given).flatten(0, 1), wanted.flatten(), ignore_index=PADDING)


def train(model: Seq2Seq, task: Task, steps: int) -> Iterator[float]:
    """The loss of each step."""
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=steps + 1, pct_start=0.2)
    for step in range(steps):
        loss = loss_of(model, *task.batch(step))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()  # type: ignore[no-untyped-call]  # torch's own argument has no type
        schedule.step()
        yield loss.item()


def words_right(phrases: list[str], written: list[str]) -> float:
    """The share of words restored exactly."""
    pairs = [pair for both in zip(phrases, written, strict=True) for pair in zip(*map(str.split, both), strict=False)]
    return sum(word == guess for word, guess in pairs) / sum(len(phrase.split()) for phrase in phrases)
