"""Writes annotations into a file's source, and keeps its comments and layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from dimtyped.cli.annotate.imports import Names, with_imports
from dimtyped.cli.annotate.layout import laid_out
from dimtyped.flow.annotating import Proposal


class UnreadableError(Exception):
    """A file cannot be parsed; its text says where."""


def annotated(source: bytes, proposals: Sequence[Proposal]) -> bytes:
    """The source of a file with the annotations in it, and the imports that they need.

    Args:
        source: The file.
        proposals: The annotations of its functions.

    Raises:
        UnreadableError: It cannot be parsed.
    """
    try:
        wrapper = MetadataWrapper(cst.parse_module(source))
    except cst.ParserSyntaxError as error:
        raise UnreadableError(error.message.partition("\n")[0]) from error
    except UnicodeDecodeError as error:
        raise UnreadableError(str(error)) from error
    names = Names(wrapper.module)
    by_line = {proposal.line: proposal for proposal in proposals if proposal.patterns}
    writer = _Writer(by_line, names)
    module = wrapper.visit(writer)
    return with_imports(module, names, writer.hints).bytes


class _Writer(cst.CSTTransformer):
    """Writes the annotations of functions, found by the line of their `def`."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, proposals: Mapping[int, Proposal], names: Names) -> None:
        super().__init__()
        self.hints: set[str] = set()
        self._proposals = proposals
        self._names = names

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:  # noqa: N802  # libcst's name
        """Annotates one function."""
        position: Any = self.get_metadata(PositionProvider, original_node.name)
        proposal = self._proposals.get(position.start.line)
        if proposal is None or proposal.name.rpartition(".")[2] != original_node.name.value:
            return updated_node
        made = _with_parameters(updated_node, dict(self._texts(proposal, updated_node.params)))
        if "" in proposal.patterns:
            made = made.with_changes(returns=_annotation(self._text(proposal, ""), "->"))
        if made is updated_node:
            return updated_node
        return laid_out(original_node, made, position.start.column - len("def "))

    def _texts(self, proposal: Proposal, parameters: cst.Parameters) -> Iterator[tuple[str, str]]:
        for each in (*parameters.posonly_params, *parameters.params, *parameters.kwonly_params):
            if each.name.value in proposal.patterns:
                yield each.name.value, self._text(proposal, each.name.value)

    def _text(self, proposal: Proposal, holder: str) -> str:
        self.hints.update(proposal.hints_of(holder))
        return proposal.text(holder, self._names.prefix, self._names.tensor)


def _annotation(text: str, mark: str = ":") -> cst.Annotation:
    before = cst.SimpleWhitespace(" " if mark == "->" else "")
    return cst.Annotation(cst.parse_expression(text), whitespace_before_indicator=before)


def _with_parameters(function: cst.FunctionDef, texts: Mapping[str, str]) -> cst.FunctionDef:
    if not texts:
        return function

    def written(parameter: cst.Param) -> cst.Param:
        text = texts.get(parameter.name.value)
        if text is None:
            return parameter
        equal = cst.AssignEqual() if parameter.default is not None else parameter.equal
        return parameter.with_changes(annotation=_annotation(text), equal=equal)

    given = function.params
    return function.with_changes(
        params=given.with_changes(
            posonly_params=[written(each) for each in given.posonly_params],
            params=[written(each) for each in given.params],
            kwonly_params=[written(each) for each in given.kwonly_params],
        )
    )
