"""One mistake: the code that makes it, its error, and the outcome once the error's advice is followed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

PRELUDE = """\
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dimtyped import Dim, DimSize, dims, nn, typed


class Encoder(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize, bidirectional: bool = False):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.gru = nn.GRU(embed, hidden, batch_first=True, bidirectional=bidirectional)

    def forward(self, source: Int[Tensor, "batch source"]) -> Float[Tensor, "layers batch hidden"]:
        return self.gru(self.embedding(source))[1]


class Decoder(nn.Module):
    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.gru = nn.GRU(embed, hidden, batch_first=True)
        self.out = nn.TiedDecoder(self.embedding, hidden, project=True)

    def forward(
        self, tokens: Int[Tensor, "batch seq"], state: Float[Tensor, "layers batch hidden"]
    ) -> Float[Tensor, "batch seq vocab"]:
        output, state = self.gru(self.embedding(tokens), state)
        return self.out(output)


tokens = torch.zeros(32, 10, dtype=torch.long)
"""
"""The code that runs before every example."""


@dataclass(frozen=True)
class Example:
    """One mistake.

    Args:
        name: The NAME that `python -m dimtyped errors NAME` shows it by.
        title: The mistake in words.
        code: The lines that make it.
        fix: A part of these lines, and its replacement according to the error's advice.
    """

    name: str
    title: str
    code: str
    fix: tuple[str, str]

    @property
    def fixed(self) -> str:
        """The lines with the fix applied."""
        return self.code.replace(*self.fix)

    def outcome(self) -> Exception | Warning | None:
        """The error that the code raises, or its first warning."""
        return _outcome(self.code, self.name)

    def fixed_outcome(self) -> Exception | Warning | None:
        """The error or warning of the fixed code: None if the fix is right."""
        return _outcome(self.fixed, self.name)

    def text(self) -> str:
        """The error text as a user sees it."""
        found = self.outcome()
        return f"{_public_name(found)}: {found}"


def _outcome(code: str, name: str) -> Exception | Warning | None:
    names: dict[str, Any] = {"__name__": name}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            exec(compile(PRELUDE, "<gallery>", "exec"), names)
            exec(compile(code, f"<{name}>", "exec"), names)
        except Exception as error:  # noqa: BLE001  # whatever the mistake raises is shown
            return error
    return next((warning.message for warning in caught if isinstance(warning.message, UserWarning)), None)


def _public_name(found: Exception | Warning | None) -> str:
    """The class that a user catches, in place of its internal subclasses."""
    public = (cls for cls in type(found).__mro__ if cls.__module__ in ("dimtyped", "builtins"))
    return next(public, type(found)).__qualname__
