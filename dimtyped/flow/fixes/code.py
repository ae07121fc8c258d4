"""The user's function around a line, as a syntax tree."""

import ast
import linecache

Function = ast.FunctionDef | ast.AsyncFunctionDef


def function_at(file: str, line: int) -> Function | None:
    """The innermost function that has this line; None if it has no source."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return None
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    return max(around, key=lambda node: node.lineno, default=None)


def is_assigned(function: Function, name: str) -> bool:
    """True if a function's body gives a variable another value."""
    nodes = (node for node in ast.walk(function) if isinstance(node, ast.Name))
    return any(node.id == name and isinstance(node.ctx, ast.Store) for node in nodes)


def spliced(source: str, part: ast.expr, text: str) -> str:
    """The code of `parsed(source)` with another text in place of one part; the rest stays as it is written."""
    code = source.strip().removeprefix("return ").encode()
    return (code[: part.col_offset] + text.encode() + code[part.end_col_offset :]).decode()


def segment(source: str, part: ast.expr) -> str:
    """The code of a part of `parsed(source)`, in parentheses where a call behind it would bind to less than it."""
    code = source.strip().removeprefix("return ").encode()[part.col_offset : part.end_col_offset].decode()
    return code if isinstance(part, ast.Name | ast.Attribute | ast.Call | ast.Subscript) else f"({code})"


def with_argument(source: str, call: ast.Call, text: str) -> str:
    """The code of a call, the whole of `parsed(source)`, with one more argument."""
    code = source.strip().removeprefix("return ").encode()[: call.end_col_offset].decode()
    separator = ", " if call.args or call.keywords else ""
    return f"{code.rstrip(')').rstrip().rstrip(',')}{separator}{text})"
