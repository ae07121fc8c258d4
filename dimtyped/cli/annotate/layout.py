"""The layout of the head of a function that its annotations make too long for one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import libcst as cst

LONGEST = 100
"""The longest line of a `def` that stays one line."""


def laid_out(before: cst.FunctionDef, function: cst.FunctionDef, indent: int) -> cst.FunctionDef:
    """The function with its parameters on a line of their own, or a line each, if it was one line and would be too long."""
    if "\n" in _head(before) or indent + len(_head(function)) <= LONGEST:
        return function
    together = function.with_changes(whitespace_before_params=_new_line("    "), params=_ended(function.params))
    if indent + max(map(len, _head(together).splitlines())) <= LONGEST:
        return together
    each_line, last = _new_line("    "), _new_line("")
    apart = function.with_changes(
        whitespace_before_params=each_line, params=_one_a_line(function.params, each_line, last)
    )
    return _with_result_apart(apart, each_line, last) if indent + _last_line(apart) > LONGEST else apart


def _with_result_apart(
    function: cst.FunctionDef, between: cst.ParenthesizedWhitespace, last: cst.ParenthesizedWhitespace
) -> cst.FunctionDef:
    """The function with a line for each item of a tuple that is its result."""
    returns = function.returns
    held = returns.annotation if returns is not None else None
    if returns is None or not isinstance(held, cst.Subscript) or not held.value.deep_equals(cst.Name("tuple")):
        return function
    *others, end = held.slice
    items = [item.with_changes(comma=cst.Comma(whitespace_after=between)) for item in others]
    spread = held.with_changes(
        lbracket=cst.LeftSquareBracket(whitespace_after=between),
        slice=[*items, end.with_changes(comma=cst.Comma(whitespace_after=last))],
    )
    return function.with_changes(returns=returns.with_changes(annotation=spread))


def _last_line(function: cst.FunctionDef) -> int:
    return len(_head(function).rpartition("\n")[2])


def _head(function: cst.FunctionDef) -> str:
    """The text of a function up to the colon."""
    body = cst.SimpleStatementSuite([cst.Pass()])
    bare = function.with_changes(body=body, decorators=(), leading_lines=(), lines_after_decorators=())
    return cst.Module([]).code_for_node(bare).strip().removesuffix(" pass")


def _ended(given: cst.Parameters) -> cst.Parameters:
    """Parameters with a new line behind the last one."""
    end = _new_line("")
    star, packed = given.star_arg, given.star_kwarg
    if isinstance(packed, cst.Param):
        return given.with_changes(star_kwarg=packed.with_changes(whitespace_after_param=end))
    if given.kwonly_params:
        *others, last = given.kwonly_params
        return given.with_changes(kwonly_params=[*others, last.with_changes(whitespace_after_param=end)])
    if isinstance(star, cst.Param):
        return given.with_changes(star_arg=star.with_changes(whitespace_after_param=end))
    if given.params:
        *others, last = given.params
        return given.with_changes(params=[*others, last.with_changes(whitespace_after_param=end)])
    return _one_a_line(given, _new_line("    "), end)


def _new_line(indent: str) -> cst.ParenthesizedWhitespace:
    return cst.ParenthesizedWhitespace(indent=True, last_line=cst.SimpleWhitespace(indent))


def _one_a_line(
    given: cst.Parameters, between: cst.ParenthesizedWhitespace, last: cst.ParenthesizedWhitespace
) -> cst.Parameters:
    """Parameters that are separated by new lines, with a comma behind the last one."""
    comma = cst.Comma(whitespace_after=between)
    end = cst.Comma(whitespace_after=last)
    star = given.star_arg
    is_last_packed = isinstance(given.star_kwarg, cst.Param)

    def spread(parameters: Sequence[cst.Param], *, is_end: bool) -> list[cst.Param]:
        count = len(parameters)
        return [
            each.with_changes(comma=end if is_end and place == count - 1 else comma)
            for place, each in enumerate(parameters)
        ]

    has_more = isinstance(star, cst.Param | cst.ParamStar) or is_last_packed
    changes: dict[str, Any] = {
        "posonly_params": spread(given.posonly_params, is_end=False),
        "params": spread(given.params, is_end=not has_more),
        "kwonly_params": spread(given.kwonly_params, is_end=not is_last_packed),
    }
    if isinstance(given.posonly_ind, cst.ParamSlash):
        is_end = not (given.params or has_more)
        changes["posonly_ind"] = given.posonly_ind.with_changes(comma=end if is_end else comma)
    if isinstance(star, cst.Param | cst.ParamStar):
        is_end = not (given.kwonly_params or is_last_packed)
        changes["star_arg"] = star.with_changes(comma=end if is_end else comma)
    if isinstance(given.star_kwarg, cst.Param):
        changes["star_kwarg"] = given.star_kwarg.with_changes(comma=end)
    return given.with_changes(**changes)
