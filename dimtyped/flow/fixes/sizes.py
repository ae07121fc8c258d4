"""Sizes that are written into the code: the size of an annotated input in place of the number."""

import ast

from dimtyped.diagnosis import parsed
from dimtyped.flow.fixes.code import Function, function_at, is_assigned, spliced


def written_size(file: str, line: int, source: str, name: str, size: int) -> str:
    """The code that takes a size from the input; empty unless the function has that number exactly once.

    Args:
        file: The file of the function.
        line: A line in it.
        source: The expression that failed.
        name: The name whose size is written into the code.
        size: The number.
    """
    function = function_at(file, line)
    if function is None:
        return ""
    numbers = [node for statement in function.body for node in _numbers(statement, size)]
    of_input = _size_of_input(function, name)
    if len(numbers) != 1 or not of_input:
        return ""
    expression = parsed(source)
    inside = list(_numbers(expression, size)) if expression is not None else []
    if expression is not None and len(inside) == 1:
        return spliced(source, inside[0], of_input)
    return f"`{of_input}` in place of `{size}` in line {numbers[0].lineno}"


def _numbers(tree: ast.AST, size: int) -> list[ast.expr]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and type(node.value) is int and node.value == size
    ]


def _size_of_input(function: Function, name: str) -> str:
    """`x.shape[0]` for a parameter that is annotated with the name and keeps its value."""
    for parameter in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs):
        words = _words(parameter.annotation)
        if name in words and not is_assigned(function, parameter.arg):
            return f"{parameter.arg}.shape[{words.index(name)}]"
    return ""


def _words(annotation: ast.expr | None) -> list[str]:
    """The axes before a variadic one in `Float[Tensor, "batch seq"]`."""
    match annotation:
        case ast.Subscript(slice=ast.Tuple(elts=[_, ast.Constant(value=str(text))])):
            words = text.split()
        case _:
            return []
    many = next((place for place, word in enumerate(words) if word.startswith(("*", "..."))), len(words))
    return [word.lstrip("#") for word in words[:many]]
