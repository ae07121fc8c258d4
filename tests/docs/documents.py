"""The code blocks of README and of docs/: what each one prints. `python tests/docs/documents.py` writes what they print today.

A page's Python blocks share their names, as the cells of a notebook do. The text block that follows one is what it prints,
and the end of the traceback where it raises. A block that begins with `# model.py` is that file; a console block runs
commands beside the page's files. `<!-- source: FILE NAME -->` stands above code that is taken from a file.
"""

import ast
import contextlib
import importlib.util
import io
import itertools
import linecache
import os
import re
import shlex
import tempfile
from pathlib import Path
from unittest import mock

from dimtyped.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"^```(?P<kind>python|console)\n(?P<code>.*?)^```\n(?:\n```text\n(?P<text>.*?)^```\n)?", re.MULTILINE | re.DOTALL
)
numbers = itertools.count()
FILE = re.compile(r"# ([\w./]+\.(?:py|toml))\n")
SECONDS = re.compile(r"(?<=; )\d+\.\d s$", re.MULTILINE)
EXCERPT = re.compile(r"(<!-- source: (\S+) (.*?) -->\n\n```py\n).*?(```\n)", re.DOTALL)
ERRORS = (ValueError, TypeError, RuntimeError, AssertionError, IndexError, ImportError)


def blocks(page):
    """The Python blocks of a page, each with the text that it prints, or None."""
    return [(block["code"], block["text"]) for block in BLOCK.finditer(page)]


def printed_by(code, names):
    """What a block prints, or None where it prints nothing."""
    output, file = io.StringIO(), f"<block {next(numbers)}>"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)  # as a notebook does for its cells
    with contextlib.redirect_stdout(output):
        try:
            exec(compile(code, file, "exec", dont_inherit=True), names)
        except ERRORS as error:
            output.write("\n".join([f"{public_name(type(error))}: {error}", *getattr(error, "__notes__", ())]) + "\n")
    lines = [line.rstrip() + "\n" for line in output.getvalue().splitlines()]
    return "".join(lines) or None


def public_name(cls):
    """The class that a user catches: what is raised may be a kind of it."""
    shown = (
        each for each in cls.__mro__ if each.__module__ in ("dimtyped", "builtins") or each.__name__ == "FuzzError"
    )
    return next(shown).__qualname__


def printed(page):
    """What the blocks of a page print, one after another."""
    names = {"__name__": "page"}
    with tempfile.TemporaryDirectory() as folder:
        return [
            text if needs_missing_package(code) else shown_by(code, names, Path(folder)) for code, text in blocks(page)
        ]


def needs_missing_package(code):
    """True of a command whose package is not installed here: what it prints stays as it is."""
    return code.startswith("$ dimtyped annotate ") and importlib.util.find_spec("libcst") is None


def shown_by(code, names, folder):
    """What a block prints; a file is written, and a command runs in the folder of the files."""
    file = FILE.match(code)
    if file is not None:
        (folder / file[1]).parent.mkdir(parents=True, exist_ok=True)
        (folder / file[1]).write_text(code, encoding="utf-8")
        return None
    if not code.startswith("$ "):
        return printed_by(code, names)
    output = io.StringIO()
    quiet, wide = contextlib.redirect_stderr(io.StringIO()), mock.patch.dict(os.environ, COLUMNS="120")
    with contextlib.chdir(folder), contextlib.redirect_stdout(output), quiet, wide:
        for line in code.splitlines():
            main(shlex.split(line.removeprefix("$ dimtyped ")))
    return output.getvalue() or None


def without_seed(text):
    """A text without what differs between runs: the time, and the line of fuzz that repeats a failure."""
    return text and SECONDS.sub("0.5 s", re.sub(r'repeat="[^"]*"', 'repeat="..."', text))


def updated(page):
    """The page with what its blocks print today."""
    texts = iter(printed(page))

    def block(match):
        text = next(texts)
        same = without_seed(text) == without_seed(match["text"])
        return (
            match[0]
            if same
            else f"```{match['kind']}\n{match['code']}```\n" + (f"\n```text\n{text}```\n" if text else "")
        )

    return BLOCK.sub(block, with_excerpts(page))


def with_excerpts(page):
    """The page with the code that it takes from files as that is today."""
    return EXCERPT.sub(lambda match: f"{match[1]}{excerpt(match[2], match[3].split())}{match[4]}", page)


def excerpt(path, names):
    """These functions and classes of a file."""
    text = (ROOT / path).read_text(encoding="utf-8")
    nodes = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    parts = []
    for node in (nodes[name] for name in names):
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        parts.append("\n".join(text.splitlines()[first - 1 : node.end_lineno]) + "\n")
    return "\n\n".join(parts)


if __name__ == "__main__":
    for path in PAGES:
        before = path.read_text(encoding="utf-8")
        after = updated(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"changed: {path.relative_to(ROOT)}")  # noqa: T201  # what this command did
