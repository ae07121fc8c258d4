"""Shapes that people write into comments and docstrings: `# (B, T, C)`, `x: [sequence length, batch size]`."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator

Words = tuple[str, ...]
"""The axes of a shape as they are written: names, numbers, or other words, which are empty texts."""

_SHAPE = re.compile(r"[(\[]([^()\[\]]*)[)\]]")
_PART = re.compile(r"[A-Za-z_][A-Za-z_0-9]*(?:[ -][A-Za-z_][A-Za-z_0-9]*)*")
_BEFORE = re.compile(r"(\w+)(?:\s*\([^()]*\))?\s*(?::|=|is|of shape|has shape|with shape)\s*(?:a |an |the )?[\w` ]*$")
_TYPED = re.compile(r"(\w+)\s*\([\w.]+,? (?:of |with )?shape:?\s*$")
_RESULTS = ("output", "outputs", "returns", "return", "out", "result")
_MOST_WORDS = 3


def shape_in(comment: str) -> Words | None:
    """The only shape of a comment, or the one behind its arrow; None if there is none."""
    found = [words for words in map(_words, _SHAPE.findall(comment.rpartition("->")[2])) if words is not None]
    return found[-1] if found and all(words == found[-1] for words in found) else None


def shapes_by_name(text: str) -> Iterator[tuple[str, Words]]:
    """The shapes in a text, each with the variable that it says it of; the name of a result is empty."""
    for line in text.splitlines():
        given, arrow, result = line.partition("->")
        for match in _SHAPE.finditer(given):
            words = _words(match[1])
            before = _TYPED.search(given[: match.start()]) or _BEFORE.search(given[: match.start()])
            if words is not None and before is not None:
                yield ("" if before[1].lower() in _RESULTS else before[1]), words
        words = shape_in(result) if arrow else None
        if words is not None:
            yield "", words


def bare_shapes(comment: str) -> tuple[Words | None, Words | None]:
    """The shapes of what goes in and comes out in a comment that names no variable: `# (B, T, C) -> (B, T)`."""
    given, arrow, result = comment.partition("->")
    return shape_in(given), (shape_in(result) if arrow else None)


def _words(inside: str) -> Words | None:
    parts = [part.strip().strip("`'\"") for part in inside.split(",")]
    if parts and not parts[-1]:
        parts.pop()
    if not parts:
        return None
    words = tuple(map(_word, parts))
    return words if any(words) and all(map(_may_be_axis, parts)) else None


def _may_be_axis(part: str) -> bool:
    return bool(part) and part != "..." and bool(re.fullmatch(r"[\w\s*/+.-]+", part)) and not part.startswith("-")


def _word(part: str) -> str:
    """A name, also one of several words; a number; empty for any other, such as an expression."""
    if part.isdecimal():
        return part
    if not _PART.fullmatch(part) or len(re.split(r"[ -]", part)) > _MOST_WORDS:
        return ""
    name = re.sub(r"[ -]", "_", part)
    return "" if keyword.iskeyword(name) or name.startswith("_") else name
