"""A summary: its tree, its totals, and its forms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dimtyped.flow.summaries import forms
from dimtyped.flow.summaries.drawing import dot_of, mermaid_of
from dimtyped.flow.summaries.graph import Graph, graph_of
from dimtyped.flow.summaries.links import Link
from dimtyped.flow.summaries.rows import counted, row_of
from dimtyped.flow.summaries.tree import Node

if TYPE_CHECKING:
    from rich.table import Table


@dataclass
class Summary:
    """A model in names.

    Args:
        root: The tree of its modules.
        parameters: The number of its parameters, each counted once.
        trainable: The number of those that are trained.
        parameter_bytes: Their memory.
        input_bytes: The memory of the inputs.
        activation_bytes: The memory of the outputs of its layers with parameters, and of their gradients.
        sizes: The sizes of the inputs in the run.
        names: The sizes of all names, including those that it declares.
        notes: Remarks for the reader.
        depth: How deep the table goes; None: all of it.
        links: Where tensors come from and go to.

    Example:
        >>> from dimtyped import DimSize, nn, summary
        >>> from jaxtyping import Float
        >>> from torch import Tensor
        >>> class Mlp(nn.Module):
        ...     def __init__(self, embed: DimSize, hidden: DimSize):
        ...         super().__init__()
        ...         self.up, self.down = nn.Linear(embed, hidden), nn.Linear(hidden, embed)
        ...     def forward(self, x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch embed"]:
        ...         return self.down(self.up(x).relu())
        >>> summary(Mlp(4, 16)).parameters
        148
    """

    root: Node
    parameters: int
    trainable: int
    parameter_bytes: int
    input_bytes: int
    activation_bytes: int
    sizes: dict[str, int] = field(default_factory=dict[str, int])
    names: dict[str, int] = field(default_factory=dict[str, int])
    notes: list[str] = field(default_factory=list[str])
    depth: int | None = None
    links: list[Link] = field(default_factory=list[Link], repr=False)

    @property
    def multiply_adds(self) -> int:
        """The multiply-adds of one call: of matrix products, convolutions and attention."""
        return self.root.multiply_adds

    def to_dict(self) -> dict[str, Any]:
        """The summary as data that `json.dumps` takes."""
        own = {name: value for name, value in vars(self).items() if name not in ("root", "links")}
        return {
            **own,
            "links": [vars(link) for link in self.links],
            "multiply_adds": self.multiply_adds,
            "root": self.root.to_dict(),
        }

    def to_markdown(self) -> str:
        """The summary as a table of Markdown."""
        return forms.markdown_of(self._lines)

    def to_html(self) -> str:
        """The summary as a table of HTML."""
        return forms.html_of(self._lines)

    def to_dot(self) -> str:
        """The model as a graph in the language of graphviz: `dot -Tsvg` draws it."""
        return dot_of(self._graph)

    def to_mermaid(self) -> str:
        """The model as a graph in the language of Mermaid."""
        return mermaid_of(self._graph)

    def __str__(self) -> str:
        return forms.text_of(self._lines)

    def _repr_html_(self) -> str:
        return self.to_html()  # in a notebook

    def __rich__(self) -> Table:
        """The summary as rich's table, which its `print` shows."""
        return forms.rich_of(self._lines)

    @property
    def _graph(self) -> Graph:
        return graph_of(self.root, self.links, self.names, self.depth)

    @property
    def _lines(self) -> forms.Lines:
        walked = self.root.walk(self.depth)
        return forms.Lines([row_of(level, times, node, self.parameters) for level, times, node in walked], self._totals)

    @property
    def _totals(self) -> list[str]:
        sizes = ", ".join(f"{name}={size}" for name, size in self.sizes.items())
        memory = (self.input_bytes, self.activation_bytes, self.parameter_bytes)
        texts = (f"{counted(value)}{'B' if value >= 1000 else ' B'}" for value in memory)
        frozen = self.parameters - self.trainable
        return [
            f"parameters: {self.parameters:,}{f', {frozen:,} of them frozen' if frozen else ''}",
            f"multiply-adds: {counted(self.multiply_adds)}{f' with {sizes}' if sizes else ''}",
            "memory: inputs {}, outputs of layers and their gradients {}, parameters {}".format(*texts),
            *self.notes,
        ]
