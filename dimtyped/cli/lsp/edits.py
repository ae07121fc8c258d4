"""The fix of a finding as a change of the text; a fix that is advice in words is none."""

from __future__ import annotations

import ast
import re
import textwrap

from dimtyped.cli.lsp.data import Edit, Span, lines_of
from dimtyped.flow import Finding

_IN_PLACE_OF = re.compile(r"`(?P<code>[^`]+)` in place of `(?P<number>\d+)` in line (?P<line>\d+)$")
_AT_LAYER = re.compile(r"(?P<keyword>batch_first=\w+) where `(?P<layer>[\w.]+)` is made$")
_ATOMS = (ast.Call, ast.Attribute, ast.Subscript, ast.Name, ast.Constant)
_LONGEST_TITLE = 80
_MOST_LINES = 60
"""The number of lines of an expression that its end is looked for."""


def edit_of(finding: Finding, text: str) -> Edit | None:
    """The change that a finding's fix proposes; the text is still Python after it.

    Args:
        finding: The finding.
        text: The text of its file.
    """
    tree, lines = _parsed(text), lines_of(text)
    if tree is None:
        return None
    if number := _IN_PLACE_OF.match(finding.fix):
        edit = _of_number(tree, lines, number["code"], number["number"], int(number["line"]))
    elif layer := _AT_LAYER.match(finding.fix):
        edit = _of_layer(tree, lines, layer["layer"], layer["keyword"])
    else:
        edit = _of_expression(finding, lines)
    return edit if edit is not None and _parsed(changed(text, edit)) is not None else None


def changed(text: str, edit: Edit) -> str:
    """A text after a change."""
    lines, span = lines_of(text), edit.span
    inner = lines[span.line][: span.column] + edit.text + lines[span.end_line][span.end_column :]
    return "\n".join([*lines[: span.line], inner, *lines[span.end_line + 1 :]])


def span_of(finding: Finding, lines: list[str]) -> Span:
    """The expression of a finding; to the end of the line where its end is not known."""
    line = min(max(finding.line - 1, 0), len(lines) - 1)
    start = _character(lines[line], finding.column)
    for end in range(line, min(line + _MOST_LINES, len(lines))):
        span = Span(line, start, end, _character(lines[end], finding.end_column))
        code = _between(lines, span)
        if code and code == code.strip() and _in_one_line(code) == finding.source:
            return span
    return Span(line, start, line, max(len(lines[line].rstrip()), start))


def _in_one_line(code: str) -> str:
    """A code as findings show it."""
    return " ".join(line.strip() for line in code.split("\n"))


def _of_expression(finding: Finding, lines: list[str]) -> Edit | None:
    """The expression of the finding written another way."""
    span, source = span_of(finding, lines), finding.source
    before = _between(lines, span)
    if not source or before != before.strip() or _in_one_line(before) != source:
        return None
    code = _replacement(source, finding.fix)
    return Edit(_title(f"Replace with `{code}`"), span, before, code) if code and code != source else None


def _replacement(source: str, fix: str) -> str:
    """The fix as code that can stand where the source stands; empty if it is advice in words."""
    before, after = _statement(source), _statement(fix)
    if before is None or type(before) is not type(after):
        return ""
    if isinstance(before, ast.Expr) and isinstance(after, ast.Expr):
        is_alike = isinstance(after.value, (type(before.value), *_ATOMS))
        return fix if is_alike else f"({fix})"
    return fix


def _statement(code: str) -> ast.stmt | None:
    """The one statement that a code is."""
    for each in (code, f"({code})"):  # an expression of several lines may be in parentheses
        try:
            body = ast.parse(textwrap.dedent(each)).body
        except SyntaxError:
            continue
        return body[0] if len(body) == 1 else None
    return None


def _of_number(tree: ast.Module, lines: list[str], code: str, number: str, line: int) -> Edit | None:
    """A number of a line written another way, if the line has it once."""
    places = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and type(node.value) is int and str(node.value) == number
        if node.lineno == line
    ]
    if len(places) != 1:
        return None
    span = _span(places[0], lines)
    return Edit(_title(f"Replace `{number}` with `{code}`"), span, _between(lines, span), code)


def _of_layer(tree: ast.Module, lines: list[str], layer: str, keyword: str) -> Edit | None:
    """A keyword where a layer is made, if the file makes one of this name."""
    made = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and ast.unparse(node.targets[0]) == layer
    ]
    if len(made) != 1:
        return None
    name, _, value = keyword.partition("=")
    title = _title(f"Make `{layer}` with `{keyword}`")
    for given in made[0].keywords:
        if given.arg == name:
            span = _span(given.value, lines)
            return Edit(title, span, _between(lines, span), value)
    whole = _span(made[0], lines)
    span = Span(whole.end_line, whole.end_column - 1, whole.end_line, whole.end_column)
    return Edit(title, span, _between(lines, span), f", {keyword})")


def _span(node: ast.expr, lines: list[str]) -> Span:
    line, end = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    return Span(line, _character(lines[line], node.col_offset), end, _character(lines[end], node.end_col_offset or 0))


def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


def _title(text: str) -> str:
    return textwrap.shorten(text, _LONGEST_TITLE, placeholder=" ...")


def _between(lines: list[str], span: Span) -> str:
    chosen = lines[span.line : span.end_line + 1]
    chosen[-1] = chosen[-1][: span.end_column]
    chosen[0] = chosen[0][span.column :]
    return "\n".join(chosen)


def _character(line: str, column: int) -> int:
    """The character at a column of Python's, which counts bytes."""
    return len(line.encode()[:column].decode(errors="replace"))
