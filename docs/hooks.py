"""What is written into the pages while the site is built: README, layers, errors, findings, coverage, costs, the reference."""

import json
import re
import sys
import textwrap
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
from dimtyped.cli import layer_table  # noqa: E402
from dimtyped.cli.examples import FAMILIES, PRELUDE  # noqa: E402
from dimtyped.cli.examples.findings import FINDINGS, FINDINGS_PRELUDE  # noqa: E402
from dimtyped.cli.examples.torch_errors import TORCH_ERRORS, TORCH_ERRORS_PRELUDE  # noqa: E402

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


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001  # mkdocs names them
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
    """Every layer as the command prints it, one heading for those with one contract, under its family's."""
    parts: list[str] = []
    for text in "\n".join(layer_table.shown()).strip().split("\n\n"):
        names, _, contract = text.partition("\n")
        family = getattr(nn, names.partition(",")[0]).__module__.rpartition(".")[2]
        heading = f"## {family.replace('_', ' ').capitalize()}\n"
        parts += [heading] if heading not in parts else []
        parts += [f"### {names}\n", block("text", textwrap.dedent(contract))]
    return "\n".join(parts)


def errors(_: str) -> str:
    """Every example of the gallery: the code, and what is said."""
    parts = ["The code of each one follows these lines:\n", block("py", PRELUDE)]
    for family, examples in FAMILIES.items():
        parts.append(f"## {family}\n")
        for example in examples:
            parts += [
                f"### {example.title} {{#{example.name}}}\n",
                block("py", example.code),
                block("text", example.text()),
            ]
    return "\n".join(parts)


def findings(_: str) -> str:
    """Every example of what `check` finds: the program, the report, and what stands in the right one."""
    parts = ["Each program follows these lines:\n", block("py", FINDINGS_PRELUDE)]
    for family, examples in FINDINGS.items():
        parts.append(f"## {family}\n")
        for example in examples:
            wrong, right = (textwrap.dedent(text) for text in example.fix)
            parts += [
                f"### {example.title} {{#{example.name}}}\n",
                block("py", example.code),
                block("text", str(example.report())),
                "Right:\n",
                block("diff", "\n".join([*_marked("-", wrong), *_marked("+", right)])),
            ]
    return "\n".join(parts)


def torch_errors(_: str) -> str:
    """Every mistake at an operator: the program, what torch says, and the note."""
    parts = ["Each program follows these lines:\n", block("py", TORCH_ERRORS_PRELUDE)]
    for family, examples in TORCH_ERRORS.items():
        parts.append(f"### {family}\n")
        for example in examples:
            error = example.error()
            parts += [
                f"#### {example.title} {{#{example.name}}}\n",
                block("py", example.code),
                "torch alone says:\n",
                block("text", f"{type(error).__name__}: {error}"),
                "The note adds:\n",
                block("text", "\n".join(error.__notes__)),
            ]
    return "\n".join(parts)


def _marked(mark: str, text: str) -> list[str]:
    return [f"{mark} {line.strip()}" for line in text.splitlines()]


def block(language: str, text: str) -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def costs(_: str) -> str:
    """All figures, from the results that README takes its own from."""
    return readme.section(*readme.sources_of(README))


def coverage(what: str) -> str:
    """How many operators were followed: over torch's own list, or in the models of each zoo."""
    figures = json.loads((ROOT / "docs" / "coverage.json").read_text(encoding="utf-8"))
    return _operators(figures["operators"]) if what == "operators" else "\n".join(map(_zoo, figures["zoos"].items()))


def _operators(figures: dict[str, Any]) -> str:
    without = figures["without"]
    share = f"{figures['all'] - len(without)} of {figures['all']} entries (torch {figures['torch'].partition('+')[0]})"
    rows = [f"| `{name}` | {reason} |" for name, reason in without.items()]
    return "\n".join([f"A rule holds for {share}. The others:\n", "| operator | reason |", "| --- | --- |", *rows, ""])


def _zoo(named: tuple[str, dict[str, Any]]) -> str:
    name, figures = named
    models = figures["models"]
    followed, met = (sum(model[key] for model in models.values()) for key in ("followed", "met"))
    versions = ", ".join(f"{package} {version.partition('+')[0]}" for package, version in figures["versions"].items())
    rows = [_model(model, each) for model, each in models.items()]
    return "\n".join(
        [
            f"## {name}\n",
            f"{len(models)} models, {followed} of {met} operators followed ({versions}).\n",
            "| model | followed | not followed | findings |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _model(name: str, figures: dict[str, Any]) -> str:
    count = f"{figures['followed']} of {figures['met']}"
    lists = (", ".join(figures.get(key, ())) for key in ("unfollowed", "findings"))
    return f"| {' | '.join([name, count, *lists])} |"


def api(module: str) -> str:
    """The reference of a module: its public names."""
    names = {
        "dimtyped": sorted(name for name in dimtyped.__all__ if name != "nn"),
        "dimtyped.nn": OWN_LAYERS,
        "dimtyped.testing": testing.__all__,
    }
    return "\n\n".join(f"::: {module}.{name}" for name in names[module])


GENERATED = {
    "layers": layers,
    "errors": errors,
    "findings": findings,
    "torch_errors": torch_errors,
    "coverage": coverage,
    "costs": costs,
    "api": api,
}
