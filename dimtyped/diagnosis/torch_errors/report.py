"""What is known of an exception that torch raised, as data, and its text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_MOST_OPERANDS = 5
_WIDTH = 116
_MOST_CODE = 90  # characters of code in a line


@dataclass(frozen=True)
class OperandReport:
    """A tensor that the failed operation was given.

    Args:
        text: Its code: `k.transpose(1, 2)`.
        dtype: Its dtype: `float32`.
        shape: Its sizes.
        axes: What each axis is: its name, `batch or heads` where two names have its size, empty where none has.
        device: Its device: `cuda:0`.
        description: All of it, as in the text: `float32 (batch=4, time=8)`.
        placements: How a DTensor lies on its mesh: `batch@dp`, `partial sum over tp`. Empty for any other tensor.
    """

    text: str
    dtype: str
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    device: str
    description: str
    placements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Caret:
    """A part of an operand's description that is pointed at, and what is said of it."""

    operand: int
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class TorchErrorReport:
    """What dimtyped knows of an exception that torch raised inside a typed call; `str` gives the note.

    Args:
        message: Torch's message.
        where: The function: `Head.forward`.
        path: The path of its module in the running model: `GPT.blocks.0.head`. Empty if it is the model itself.
        file: The user's file.
        line: The line of the expression, counted from 1.
        column: Its first column, counted from 0.
        end_column: The column after its last.
        source: The expression.
        operator: The operator's name: `matmul`.
        kind: `shape`, `dtype`, `device`, `memory`, or `placement` where DTensors do not go together.
        problem: What does not fit: `head=16 meets time=8`. Empty where only the operands are known.
        operands: The operands.
        names: The names of the axes that clash.
        bindings: Each name of the calls around, with its size.
        origins: Where the names that clash have their sizes from.
        fix: The code to write instead, as it was tried on the shapes; empty where none is known.
        hint: What to do, where it is no code that can be tried. Empty where nothing is known.
        rank: The process, where there are several: `rank 1 of 4`.
    """

    message: str
    where: str
    path: str
    file: str
    line: int
    column: int
    end_column: int
    source: str
    operator: str
    kind: str
    problem: str
    operands: tuple[OperandReport, ...]
    names: tuple[str, ...] = ()
    bindings: Mapping[str, int] = field(default_factory=dict[str, int])
    origins: Mapping[str, str] = field(default_factory=dict[str, str])
    fix: str = ""
    hint: str = ""
    rank: str = ""
    carets: tuple[Caret, ...] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as data that `json.dumps` accepts."""
        found = asdict(self)
        del found["carets"]
        for operand in found["operands"]:
            operand.update({key: list(operand[key]) for key in ("shape", "axes", "placements")})
        return {**found, "operands": list(found["operands"]), "names": list(found["names"])}

    def __str__(self) -> str:
        where = f"{self.where} ({self.path})" if self.path else self.where
        rank = f"{self.rank}: " if self.rank else ""
        head = f"dimtyped: {rank}`{_short(self.source)}` in {where}"
        gap = ": " if len(head) + len(self.problem) < _WIDTH else ":\n  "
        lines = [f"{head}{gap}{self.problem}" if self.problem else head, *self._operand_lines()]
        advice = [*([f"  `{self.fix}` fits."] if self.fix else []), *([f"  {self.hint}"] if self.hint else [])]
        return "\n".join([*lines, *advice])

    def _operand_lines(self) -> Iterator[str]:
        marked = [caret.operand for caret in self.carets]
        order = range(len(self.operands))
        if len(self.operands) > _MOST_OPERANDS:
            order = sorted({0, 1, *marked, len(self.operands) - 1})[:_MOST_OPERANDS]
        texts = [_short(self.operands[i].text) for i in order]
        width = max((len(text) for text in texts), default=0)
        for index, text in zip(order, texts, strict=True):
            yield f"    {text:<{width}}   {self.operands[index].description}"
            carets = [caret for caret in self.carets if caret.operand == index]
            if carets:
                yield " " * (4 + width + 3) + _caret_line(carets)
        if len(self.operands) > len(texts):
            yield f"    and {len(self.operands) - len(texts)} more"


def _caret_line(carets: list[Caret]) -> str:
    line = ""
    for caret in sorted(carets, key=lambda each: each.start):
        if caret.start >= len(line):
            line += " " * (caret.start - len(line)) + "^" * (caret.end - caret.start)
    return f"{line} {', '.join(dict.fromkeys(caret.text for caret in carets))}"


def _short(code: str) -> str:
    return code if len(code) <= _MOST_CODE else f"{code[: _MOST_CODE - 3]}..."
