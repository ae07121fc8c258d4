"""Models with tied weights, made in each way that a tie can be made, and what it means that they are tied."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dimtyped import nn, tie

VOCAB, EMBED = 11, 6


class Tied(nn.Module):
    """An encoder and a decoder embedding, an output layer, and how they are tied."""

    def __init__(self, device: str | None = None) -> None:
        super().__init__()
        self.device = device
        self.embedding = nn.Embedding(VOCAB, EMBED, device=device)
        self.gru = nn.GRU(EMBED, EMBED, batch_first=True, device=device)
        self.out: torch.nn.Module
        self.tie_up()

    def tie_up(self) -> None:
        raise NotImplementedError

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.gru(self.embedding(tokens))[0])


class ByDecoder(Tied):
    def tie_up(self) -> None:
        self.out = nn.TiedDecoder(self.embedding)


class ByProjection(Tied):
    def __init__(self, device: str | None = None) -> None:
        super().__init__(device)
        self.gru = nn.GRU(EMBED, 2 * EMBED, batch_first=True, device=device)

    def tie_up(self) -> None:
        self.out = nn.TiedDecoder(self.embedding, 2 * EMBED, project=True)


class ByTie(Tied):
    def tie_up(self) -> None:
        self.out = tie(nn.Linear(EMBED, VOCAB, device=self.device), self.embedding)


class ByAssignment(Tied):
    def tie_up(self) -> None:
        self.out = nn.Linear(EMBED, VOCAB, device=self.device)
        self.out.weight = self.embedding.weight


class DecoderFirst(ByAssignment):
    """Torch meets the output layer before the embedding, in whatever it does to all layers."""

    def __init__(self, device: str | None = None) -> None:
        super().__init__(device)
        embedding = self.embedding
        del self.embedding
        self.embedding = embedding


class ThreeWay(Tied):
    def __init__(self, device: str | None = None) -> None:
        super().__init__(device)
        self.source = tie(nn.Embedding(VOCAB, EMBED, device=device), self.embedding)

    def tie_up(self) -> None:
        self.out = tie(nn.Linear(EMBED, VOCAB, device=self.device), self.embedding)


class ThreeWayByAssignment(ByAssignment):
    def __init__(self, device: str | None = None) -> None:
        super().__init__(device)
        self.source = nn.Embedding(VOCAB, EMBED, device=device)
        self.source.weight = self.out.weight


class ThreeWayBackwards(Tied):
    """Ties the output to the decoder's embedding first, and that one to the encoder's afterwards."""

    def __init__(self, device: str | None = None) -> None:
        super().__init__(device)
        self.source = nn.Embedding(VOCAB, EMBED, device=device)
        tie(self.embedding, self.source)

    def tie_up(self) -> None:
        self.out = nn.TiedDecoder(self.embedding)


class Foreign(torch.nn.Module):
    """A tie of typed layers in a module that is no module of ours."""

    def __init__(self, device: str | None = None) -> None:
        super().__init__()
        embedding, gru = nn.Embedding(VOCAB, EMBED, device=device), nn.GRU(EMBED, EMBED, device=device)
        self.parts = torch.nn.ModuleDict({"embedding": embedding, "gru": gru})
        self.out = nn.TiedDecoder(self.embedding)

    @property
    def embedding(self) -> nn.Embedding:
        return self.parts["embedding"]  # type: ignore[return-value]  # what __init__ put there

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.parts["gru"](self.embedding(tokens).transpose(0, 1))[0].transpose(0, 1))


WAYS: tuple[Callable[..., torch.nn.Module], ...] = (
    ByDecoder,
    ByProjection,
    ByTie,
    ByAssignment,
    DecoderFirst,
    ThreeWay,
    ThreeWayByAssignment,
    ThreeWayBackwards,
    Foreign,
)


def weights_of(model: torch.nn.Module) -> dict[str, Tensor]:
    """The tied weight under each of its names."""
    names = ("embedding", "source", "out")
    return {name: getattr(model, name).weight for name in names if hasattr(model, name)}


def assert_tied(model: torch.nn.Module) -> Tensor:
    """Every name means the same object, which the model counts once; returns it."""
    weight, *others = weights_of(model).values()
    assert others
    for other in others:
        assert other is weight
    assert sum(parameter is weight for parameter in model.parameters()) == 1
    names = [name for name, parameter in model.named_parameters(remove_duplicate=False) if parameter is weight]
    assert len(names) == len(others) + 1
    return weight


def keep_by_copy(model: torch.nn.Module) -> None:
    """What a tie that is kept by copy looks like: equal values, another object."""
    model.out._parameters["weight"] = torch.nn.Parameter(model.embedding.weight.detach().clone())  # type: ignore[union-attr]  # a layer


def by_copy(way: Callable[..., torch.nn.Module]) -> Callable[..., torch.nn.Module]:
    """The same model, its tie kept by copy."""

    def make(*args: object, **kwargs: object) -> torch.nn.Module:
        model = way(*args, **kwargs)
        keep_by_copy(model)
        return model

    return make


class Pair(torch.nn.Module):
    """A linear layer that is called as a GRU is."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(EMBED, hidden)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return self.linear(x), None


def without_gru(model: torch.nn.Module) -> torch.nn.Module:
    """The model with a Linear in place of its GRU, which torch itself can neither load by swapping tensors nor compile."""
    holder, name = (model.parts, "gru") if isinstance(model, Foreign) else (model, "gru")
    width = holder[name].hidden_size if isinstance(model, Foreign) else model.gru.hidden_size  # type: ignore[union-attr]  # a GRU
    holder.add_module(name, Pair(width))
    return model


def tokens() -> Tensor:
    return torch.arange(8).reshape(2, 4)
