"""What is written into the pages while the site is built: README, every layer, every error, the costs, the reference."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # for the benchmarks, which are not installed

import dimtyped  # noqa: E402
from benchmarks import readme  # noqa: E402
from dimtyped import nn, testing  # noqa: E402
from dimtyped import _contracts as layer_table  # noqa: E402
from dimtyped._gallery import FAMILIES, PRELUDE  # noqa: E402

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages that stand beside this folder, because a forge looks for them there."""
OWN_LAYERS = ("Module", "Sequential", "TiedDecoder", "StateBridge", "Embedding", "GRU", "LSTM", "RNN")


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Adds the pages that stand elsewhere, and the results that the costs are taken from."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=moved((ROOT / source).read_text(encoding="utf-8"))))
    for path in (ROOT / "benchmarks" / "results").iterdir():
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Writes what a page asks for, as in `<!-- generated: layers -->`."""
    return re.sub(r"<!-- generated: (\S+) ?(\S*) -->", lambda asked: GENERATED[asked[1]](asked[2]), markdown)


class Examples(griffe.Extension):
    """Reads a docstring's `Example:` as code, which griffe does under the plural alone."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Changes the heading."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)


def moved(text: str) -> str:
    """A page with its links as they are from this folder."""
    text = text.replace("](docs/", "](")
    for source, page in PAGES.items():
        text = text.replace(f"]({source})", f"]({page})")
    return text


def layers(_: str) -> str:
    """Every layer, one heading for those with one contract."""
    parts: list[str] = []
    for row in layer_table.rows():
        parts.append(f"### {', '.join(row.layers)}\n\n```text\n{layer_lines(row)}\n```\n")
    return "\n".join(parts)


def layer_lines(row: layer_table.Row) -> str:
    """What a layer takes and gives, and its parameters."""
    fields = (("takes", row.takes), ("gives", (row.gives,)), ("parameters", row.parameters))
    return "\n".join(
        f"{'' if index else name:<11} {line}" for name, lines in fields for index, line in enumerate(lines) if line
    )


def errors(_: str) -> str:
    """Every example of the gallery: the code, and what is said."""
    parts = ["The code of each one follows these lines:\n", block("py", PRELUDE)]
    for family, examples in FAMILIES.items():
        parts.append(f"## {family}\n")
        for example in examples:
            parts += [f"### {example.title} {{#{example.name}}}\n", block("py", example.code), block("text", example.text())]
    return "\n".join(parts)


def block(language: str, text: str) -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def costs(_: str) -> str:
    """All figures, from the results that README takes its own from."""
    return readme.section(*readme.sources_of(README))


def api(module: str) -> str:
    """The reference of a module: its public names."""
    names: dict[str, Iterator[str]] = {
        "dimtyped": (name for name in sorted(dimtyped.__all__) if name != "nn"),
        "dimtyped.nn": iter(OWN_LAYERS),
        "dimtyped.testing": iter(testing.__all__),
    }
    return "\n\n".join(f"::: {origin(module, name)}" for name in names[module])


def origin(module: str, name: str) -> str:
    """Where a public name is defined, which is where the reference finds its docstring."""
    return f"{module}.{name}"


GENERATED: dict[str, Any] = {"layers": layers, "errors": errors, "costs": costs, "api": api}
