"""The gallery as text: on the command line, in the README's table, and in full at the README's end."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path

from dimtyped.cli.examples.example import PRELUDE, Example
from dimtyped.cli.examples.examples import FAMILIES

_TABLE, _APPENDIX = "gallery", "errors"
"""Between which markers the README's two parts stand: `<!-- gallery:begin -->` and `<!-- gallery:end -->`."""


def examples() -> dict[str, Example]:
    """Every example by its name."""
    return {example.name: example for family in FAMILIES.values() for example in family}


def find(name: str) -> Example:
    """The example of this name.

    Raises:
        KeyError: there is none; its text says which names are near.
    """
    known = examples()
    if name not in known:
        near = " or ".join(difflib.get_close_matches(name, known, n=3, cutoff=0.4))
        raise KeyError(f"there is no example {name!r}" + (f"; did you mean {near}?" if near else ""))
    return known[name]


def shown(example: Example) -> str:
    """An example as the command line prints it."""
    return f"{example.title} ({example.name})\n\n{_indented(example.code)}\n{example.text()}\n"


def everything() -> Iterator[str]:
    """Every example as the command line prints it, after what they have in common."""
    yield f"Every example begins with\n\n{_indented(PRELUDE)}"
    for family, members in FAMILIES.items():
        yield f"{family}\n{'=' * len(family)}\n"
        yield from (shown(example) for example in members)


def table() -> str:
    """The README's section: each mistake and the first line of what is said."""
    lines = ["", f"<details><summary>All {len(examples())} of them</summary>", ""]
    lines += ["| mistake | name | what is said first |", "| --- | --- | --- |"]
    for example in examples().values():
        first = example.text().partition("\n")[0].replace("|", "\\|")
        lines.append(f"| {example.title} | `{example.name}` | {_as_code(first)} |")
    return "\n".join([*lines, "", "</details>", ""])


def appendix() -> str:
    """The README's end: every example, with its code and the whole text."""
    lines = ["", "## Every mistake and what dimtyped says", ""]
    lines += ["Made by `python -m dimtyped errors --write`. Every example begins with", "", *_block("py", PRELUDE)]
    for family, members in FAMILIES.items():
        lines += [f"### {family}", ""]
        for example in members:
            lines += [f"<details><summary>{_as_html(example.title)}</summary>", ""]
            lines += [*_block("py", example.code), *_block("text", example.text()), "</details>", ""]
    return "\n".join(lines)


def updated(readme: str) -> str:
    """The README with its two parts as they are now."""
    return _between(_APPENDIX, _between(_TABLE, readme, table()), appendix())


def write(root: Path) -> None:
    """Brings the README's two parts up to date."""
    readme = root / "README.md"
    readme.write_text(updated(readme.read_text(encoding="utf-8")), encoding="utf-8")


def _between(name: str, text: str, new: str) -> str:
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    return re.sub(f"{begin}.*{end}", lambda _: f"{begin}\n{new}\n{end}", text, flags=re.DOTALL)


def _as_html(title: str) -> str:
    """A title where Markdown is not read."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", title)


def _block(language: str, text: str) -> list[str]:
    return [f"```{language}", text.rstrip("\n"), "```", ""]


def _indented(code: str) -> str:
    return "".join(f"    {line}\n" if line else "\n" for line in code.splitlines())


def _as_code(text: str) -> str:
    """Text with backticks in it as code in Markdown."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"
