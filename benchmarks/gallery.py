"""The gallery's programs with a silent bug, and each one's right twin, as files that a tool reads its own way."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dimtyped.cli.examples.findings import FINDINGS, FINDINGS_PRELUDE, FindingExample

WRONG, RIGHT = "wrong", "right"
EXAMPLES = tuple(example for family in FINDINGS.values() for example in family)
_ANNOTATION = re.compile(r'\b(?:Float|Int|Bool)\[Tensor, "([^"]*)"\]')
_OURS = "from dimtyped import DimSize, check, nn, typed, watch\n"
_JAXTYPING = "from jaxtyping import Bool, Float, Int\n"


@dataclass(frozen=True)
class Form:
    """How a tool is given a program.

    Args:
        what: The form in words.
        write: Writes it, from the prelude and the program.
    """

    what: str
    write: Callable[[str, str], str]


def _without_checks(program: str) -> str:
    """The program without the call that checks it at its end; a step within `watch` stays as a step."""
    last = ast.parse(program).body[-1]
    lines = program.splitlines(keepends=True)
    kept = lines[: last.lineno - 1]
    if isinstance(last, ast.With):
        kept += [line[4:] for line in lines[last.body[0].lineno - 1 :]]
    return "".join(kept)


def _bare(prelude: str, program: str) -> str:
    return f"{prelude}\n{_without_checks(program)}"


def _torch(prelude: str, program: str) -> str:
    text = _without_checks(program).replace("DimSize", "int").replace("@typed\n", "")
    return f"{prelude.replace(_OURS, 'from torch import nn' + chr(10))}\n{text}"


def _shapes(prelude: str, program: str) -> str:
    unknown = itertools.count()

    def annotation(found: re.Match[str]) -> str:
        axes = (axis if axis.isdigit() else repr(_name(axis, unknown)) for axis in found[1].split())
        return f"Annotated[Tensor, Shape({', '.join(axes)})]"

    imports = "from typing import Annotated\nfrom torchshapeflow import Shape\n"
    return _ANNOTATION.sub(annotation, _torch(prelude, program).replace(_JAXTYPING, imports))


def _name(axis: str, unknown: itertools.count[int]) -> str:
    return axis if axis.isidentifier() and axis != "_" else f"any{next(unknown)}"


OWN = Form("as it stands", _bare)
TORCH = Form("with torch.nn, `int` for `DimSize`, and jaxtyping's annotations", _torch)
SHAPES = Form(
    "with torch.nn, `int` for `DimSize`, and `Annotated[Tensor, Shape(...)]` for jaxtyping's annotations", _shapes
)


def write(folder: Path, form: Form, examples: tuple[FindingExample, ...] = EXAMPLES) -> None:
    """Writes each program into the folders `wrong` and `right`."""
    for example in examples:
        for kind, program in ((WRONG, example.code), (RIGHT, example.fixed)):
            path = folder / kind / f"{example.name.replace('-', '_')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(form.write(FINDINGS_PRELUDE, program), encoding="utf-8")
