"""Three mistakes made with the trained model: dimtyped's errors, and torch's without it."""

import traceback
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dimtyped import dims, nn
from dimtyped.cli.demo.cost import unchecked
from dimtyped.cli.demo.model import Seq2Seq


@dataclass(frozen=True)
class Mistake:
    """A few lines of wrong code.

    Attributes:
        title: The mistake in words.
        code: The lines, which run as shown.
    """

    title: str
    code: str


@dataclass(frozen=True)
class Outcome:
    """The error that stopped the code, and its place."""

    line: int
    kind: str
    text: str


MISTAKES = (
    Mistake(
        "An output layer tied to an embedding of another width",
        """\
out = nn.Linear(hidden, vocab)
out.weight = decoder.embedding.weight
logits = out(states)""",
    ),
    Mistake(
        "The encoder's state with its axes swapped",
        """\
keys, state = encoder(source)
state = state.permute(1, 0, 2)
logits, state = decoder(tokens, state, keys, real)""",
    ),
    Mistake(
        "One character more than the model was made for",
        """\
keys, state = encoder(source)
tokens[0, 3] = vocab
logits, state = decoder(tokens, state, keys, real)""",
    ),
)


def outcome(mistake: Mistake, model: Seq2Seq, layers: Any, source: Tensor, tokens: Tensor) -> Outcome | None:
    """The error that the mistake's code raises; None if it runs to its end.

    Args:
        mistake: The mistake.
        model: The trained model, checked or not.
        layers: The module named `nn`: `dimtyped.nn` or `torch.nn`.
        source: A batch for the encoder.
        tokens: A batch for the decoder.
    """
    embedding, gru = model.decoder.embedding, model.decoder.gru
    vocab, hidden = dims(vocab=embedding.num_embeddings, hidden=gru.hidden_size)
    names = {"nn": layers, "encoder": model.encoder, "decoder": model.decoder, "vocab": vocab, "hidden": hidden}
    names |= {"source": source, "real": source != 0, "tokens": tokens.clone(), "states": torch.zeros(1, hidden)}
    try:
        exec(compile(mistake.code, "<mistake>", "exec"), names)
    except (RuntimeError, ValueError, IndexError) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<mistake>"]
        return Outcome(lines[0] or 0, type(error).__name__, str(error))
    return None


def both(mistake: Mistake, model: Seq2Seq, source: Tensor, tokens: Tensor) -> tuple[Outcome | None, Outcome | None]:
    """The mistake with dimtyped, and the same lines with torch alone."""
    plain = unchecked(model)
    return outcome(mistake, model, nn, source, tokens), outcome(mistake, plain, torch.nn, source, tokens)
