"""Annotations in a source change nothing else: not what it does, not its comments."""

from __future__ import annotations

import ast
import io
import tokenize

import pytest
import torch
from hypothesis import given, strategies as st

from dimtyped.flow.annotating import Proposal
from dimtyped.flow.annotating.patterns import ArrayPattern, Slot, UnionPattern

pytest.importorskip("libcst", reason="the extra `annotate` has it")
from dimtyped.cli.annotate.editing import UnreadableError, annotated

pytestmark = pytest.mark.any_engine
HEADERS = (
    "",
    '"""A module."""\n',
    "from __future__ import annotations\nimport os\n",
    "# a licence\n\nimport os\n\nimport torch  # torch\nfrom torch import nn\n",
    '"""A module."""\nimport torch.nn as nn\nfrom torch import (\n    Generator,  # random\n    nn,\n)\n',
    "from jaxtyping import Bool, Float\nfrom torch import Tensor, nn\n",
    "import numpy as np; import torch\n",
    "try:\n    import torch\nexcept ImportError:\n    torch = None\n",
)


def pattern(*, optional: bool) -> tuple[ArrayPattern | UnionPattern, dict[Slot, str]]:
    slots = [Slot("", -1, 2), Slot("", -1, 2)]
    array = ArrayPattern(slots, is_open=False, dtypes={torch.float32})
    return (UnionPattern([array], or_none=True) if optional else array), dict(zip(slots, ("batch", "2*n"), strict=True))


@st.composite
def parameters(draw) -> tuple[list[str], list[str]]:
    """The parameters of a function as they are written, and the names of those that can be annotated."""
    names = iter("abcdefghijkl")

    def some(most, default):
        return [f"{next(names)}{'=None' if default else ''}" for _ in range(draw(st.integers(0, most)))]

    positional, plain = some(2, default=False), some(2, default=False)
    defaults, keywords = some(2, default=True), some(2, default=draw(st.booleans()))
    written = [*positional, *(["/"] if positional else []), *plain, *defaults]
    star = draw(st.sampled_from(["", "*args"])) or ("*" if keywords else "")
    written += [*([star] if star else []), *keywords, *(["**kwargs"] if draw(st.booleans()) else [])]
    return written, [each.partition("=")[0] for each in (*positional, *plain, *defaults, *keywords)]


@st.composite
def sources(draw) -> tuple[str, list[Proposal]]:
    """A source of some functions, and annotations for some of their parameters."""
    text, proposals = draw(st.sampled_from(HEADERS)), list[Proposal]()
    for index in range(draw(st.integers(1, 3))):
        written, names = draw(parameters())
        layout = draw(st.sampled_from(["one", "lines", "comments"]))
        if layout == "one" or not written:
            head = f"def f{index}({', '.join(written)}):  # the head\n"
        else:
            comment = "  # it" if layout == "comments" else ""
            is_open = written[-1].startswith("**") or written[-1] in ("*", "/")
            ends = [","] * (len(written) - 1) + ["" if is_open else ","]
            lines = "".join(f"    {each}{end}{comment}\n" for each, end in zip(written, ends, strict=True))
            head = f"def f{index}(\n{lines}):\n"
        text += "\n\n@(lambda g: g)\n" if draw(st.booleans()) else "\n\n"
        line = text.count("\n") + 1
        text += head + "    return 1  # one\n"
        made, words = dict[str, ArrayPattern | UnionPattern](), dict[Slot, str]()
        for name in draw(st.sets(st.sampled_from([*names, ""]))):
            made[name], more = pattern(optional=draw(st.booleans()))
            words |= more
        proposals.append(Proposal("model.py", line, f"f{index}", dict(made), words))
    return text, proposals


class Bare(ast.NodeTransformer):
    """Takes annotations and imports away."""

    def visit_FunctionDef(self, node):
        node.returns = None
        self.generic_visit(node)
        return node

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_ImportFrom(self, node):
        return node if node.module not in ("jaxtyping", "torch") else None

    def visit_Import(self, node):
        return node


def comments(source: str) -> list[str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


@given(sources())
def test_annotations_change_nothing_else(drawn):
    source, proposals = drawn
    text = annotated(source.encode(), proposals).decode()
    compile(text, "model.py", "exec")
    assert ast.unparse(Bare().visit(ast.parse(text))) == ast.unparse(Bare().visit(ast.parse(source)))
    assert comments(text) == comments(source)
    functions = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    for proposal in proposals:
        node = functions[proposal.name]
        given = {arg.arg for arg in ast.walk(node.args) if isinstance(arg, ast.arg) and arg.annotation is not None}
        assert given | ({""} if node.returns else set()) == set(proposal.patterns)


@given(sources())
def test_the_names_of_annotations_are_imported_once(drawn):
    source, proposals = drawn
    text = annotated(source.encode(), proposals).decode()
    names = [
        alias.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and node.module in ("jaxtyping", "torch")
        for alias in node.names
    ]
    wanted = {"Float", "Tensor"} if any(proposal.patterns for proposal in proposals) else set()
    assert wanted <= set(names)
    assert len(names) == len(set(names))


def test_a_source_that_python_cannot_read():
    with pytest.raises(UnreadableError, match="error at 2:0: expected one of"):
        annotated(b"def f(:\n", [])
