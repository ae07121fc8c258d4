"""A call that an error proposes for an argument or a result, put into the user's expression."""

import ast
import re

from dimtyped.diagnosis import parsed
from dimtyped.flow.fixes.code import segment, spliced

_FITS = re.compile(r"`(\w+)((?:\.\w+\([^`()]*\))+)` fits")


def advised(source: str, argument: str | None, hint: str) -> str:
    """The expression that follows a hint such as "`input.permute(0, 2, 1)` fits"; empty where that is not sure.

    Args:
        source: The call, or the `return` statement.
        argument: The parameter that does not fit, or `return`.
        hint: The hint.
    """
    found, expression = _FITS.search(hint), parsed(source)
    if found is None or expression is None or len(_FITS.findall(hint)) != 1:
        return ""
    name, text = found.groups()
    if argument == "return":
        return with_result(source, text) if name == "result" else ""
    if name != argument or not isinstance(expression, ast.Call):
        return ""
    keyword = next((each.value for each in expression.keywords if each.arg == name), None)
    given = keyword or (expression.args[0] if len(expression.args) == 1 else None)
    if given is None or isinstance(given, ast.Starred):
        return ""
    return spliced(source, given, segment(source, given) + text)


def with_result(source: str, text: str) -> str:
    """`return x.transpose(0, 1)` for `return x`; empty for a call of several arguments, which may be what is in another order."""
    expression = parsed(source)
    if expression is None or not source.startswith("return ") or isinstance(expression, ast.Tuple):
        return ""
    if isinstance(expression, ast.Call) and len(expression.args) + len(expression.keywords) > 1:
        return ""
    return f"return {segment(source, expression)}{text}"
