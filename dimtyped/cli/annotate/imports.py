"""The imports that annotations need: jaxtyping's names and `Tensor`, beside those that a file has."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import libcst as cst

_HINTS = ("Float", "Int", "UInt", "Integer", "Bool", "Complex", "Inexact", "Num", "Shaped")


class Names:
    """What a file calls the things that annotations name.

    Args:
        module: The file.

    Attributes:
        prefix: What stands before jaxtyping's names: nothing, unless the file has other things of these names.
        tensor: The class of tensors.
    """

    def __init__(self, module: cst.Module) -> None:
        imported = dict(_imported(module))
        bound = {*_bound(module), *imported}
        self._imported = imported
        self.prefix = "jaxtyping." if any(_is_other(name, "jaxtyping", bound, imported) for name in _HINTS) else ""
        self.tensor = "torch.Tensor" if _is_other("Tensor", "torch", bound, imported) else "Tensor"

    def has(self, name: str, package: str) -> bool:
        """True if the file imports a name of a package, or the package itself for the name of one."""
        return self._imported.get(name) == package


def _is_other(name: str, package: str, bound: Collection[str], imported: dict[str, str]) -> bool:
    return name in bound and imported.get(name) != package


def _imported(module: cst.Module) -> Iterator[tuple[str, str]]:
    """The names that a file's own imports bind, each with the package that it is of the same name in."""
    for statement in _imports(module.body):
        match statement:
            case cst.Import(names=aliases):
                for alias in aliases:
                    text = _dotted(alias.name)
                    own = text if alias.asname is None else _dotted(alias.asname.name)
                    yield own.partition(".")[0], text if own == text else f"{text} as {own}"
            case cst.ImportFrom(module=source, names=aliases) if not isinstance(aliases, cst.ImportStar):
                package = _dotted(source) if source is not None and not statement.relative else "."
                for alias in aliases:
                    text = _dotted(alias.name)
                    own = text if alias.asname is None else _dotted(alias.asname.name)
                    yield own, package if own == text else f"{package} as {own}"
            case _:
                pass


def _dotted(node: cst.CSTNode) -> str:
    return cst.Module([]).code_for_node(node).strip()


def _imports(
    body: Sequence[cst.BaseCompoundStatement | cst.SimpleStatementLine],
) -> Iterator[cst.Import | cst.ImportFrom]:
    for line in body:
        if isinstance(line, cst.SimpleStatementLine):
            yield from (each for each in line.body if isinstance(each, cst.Import | cst.ImportFrom))


def _bound(module: cst.Module) -> Iterator[str]:
    """The names that a file's top level gives to other things than imports."""
    for line in module.body:
        if isinstance(line, cst.FunctionDef | cst.ClassDef):
            yield line.name.value
        elif isinstance(line, cst.SimpleStatementLine):
            for each in line.body:
                if isinstance(each, cst.Assign):
                    yield from (t.target.value for t in each.targets if isinstance(t.target, cst.Name))
                elif isinstance(each, cst.AnnAssign) and isinstance(each.target, cst.Name):
                    yield each.target.value


# Adding ---------------------------------------------------------------------------------------------------------------


def with_imports(module: cst.Module, names: Names, hints: Collection[str]) -> cst.Module:
    """The file with the imports that annotations need.

    Args:
        module: The file with its annotations.
        names: What it calls things.
        hints: The names of jaxtyping that the annotations have.
    """
    if not hints:
        return module
    body = list(module.body)
    if names.tensor == "Tensor" and not names.has("Tensor", "torch"):
        _add(body, "torch", ["Tensor"])
    elif names.tensor != "Tensor" and not names.has("torch", "torch"):
        _insert(body, "import torch")
    if names.prefix:
        if not names.has("jaxtyping", "jaxtyping"):
            _insert(body, "import jaxtyping")
    else:
        missing = sorted(hint for hint in hints if not names.has(hint, "jaxtyping"))
        if missing:
            _add(body, "jaxtyping", missing)
    return module.with_changes(body=body)


Line = cst.BaseCompoundStatement | cst.SimpleStatementLine


def _add(body: list[Line], package: str, names: Sequence[str]) -> None:
    """Adds names to the import from a package if it is one line, or makes another one."""
    for place, line in enumerate(body):
        if not isinstance(line, cst.SimpleStatementLine) or len(line.body) != 1:
            continue
        (statement,) = line.body
        if (
            isinstance(statement, cst.ImportFrom)
            and not isinstance(statement.names, cst.ImportStar)
            and not statement.relative
            and statement.module is not None
            and _dotted(statement.module) == package
            and "\n" not in _dotted(statement)
        ):
            body[place] = line.with_changes(body=[_with_names(statement, statement.names, names)])
            return
    _insert(body, f"from {package} import {', '.join(names)}")


def _with_names(statement: cst.ImportFrom, known: Sequence[cst.ImportAlias], names: Sequence[str]) -> cst.ImportFrom:
    """An import with more names: in order if they are, else behind those that it has."""
    added = [cst.ImportAlias(cst.Name(name)) for name in names]
    ordered = sorted([*known, *added], key=_order)
    joined = ordered if [each for each in ordered if each in known] == list(known) else [*known, *added]
    comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    separated = [each.with_changes(comma=comma) for each in joined[:-1]]
    return statement.with_changes(names=[*separated, joined[-1].with_changes(comma=known[-1].comma)])


def _order(alias: cst.ImportAlias) -> tuple[int, str]:
    """Constants, then classes, then the rest, as tools that sort imports have them."""
    name = _dotted(alias.name)
    return (0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2), name


def _insert(body: list[Line], text: str) -> None:
    """Adds an import beside torch's: in front of the first `from torch... import`, or behind the last `import torch...`."""
    (made,) = cst.parse_module(f"{text}\n").body
    places = [place for place, line in enumerate(body) if _packages(line)]
    torchs = [place for place in places if "torch" in _packages(body[place])]
    froms = [place for place in torchs if any(isinstance(each, cst.ImportFrom) for each in _imports([body[place]]))]
    first = body[froms[0]] if froms and text.startswith("from") else None
    if isinstance(first, cst.SimpleStatementLine) and not any(line.comment for line in first.leading_lines):
        body[froms[0]] = first.with_changes(leading_lines=())
        body.insert(froms[0], made.with_changes(leading_lines=first.leading_lines))
        return
    plain = [place for place in torchs if place not in froms]
    after = plain or torchs or places
    body.insert(after[-1] + 1 if after else _behind_docstring(body), made)


def _packages(line: Line) -> list[str]:
    """The packages that a line imports, itself and not below a condition."""
    found = list(_imports([line]))
    texts = [_dotted(alias.name) for each in found if isinstance(each, cst.Import) for alias in each.names]
    texts += [
        _dotted(each.module) for each in found if isinstance(each, cst.ImportFrom) and each.module and not each.relative
    ]
    texts += ["."] * any(isinstance(each, cst.ImportFrom) and each.relative for each in found)
    return [text.partition(".")[0] for text in texts]


def _behind_docstring(body: Sequence[Line]) -> int:
    first = body[0] if body else None
    is_text = (
        isinstance(first, cst.SimpleStatementLine)
        and isinstance(first.body[0], cst.Expr)
        and isinstance(first.body[0].value, cst.SimpleString | cst.ConcatenatedString)
    )
    return int(is_text)
