"""A model's graph as a file: a picture where graphviz is installed, else text for Mermaid."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from dimtyped.cli.targets.usage import UsageError
from dimtyped.flow.summaries import Summary

_PICTURES = (".svg", ".png", ".pdf")
_DOT, _MERMAID = (".dot", ".gv"), (".mmd", ".mermaid")


def draw(summary: Summary, file: Path) -> Path:
    """Writes the graph of a model.

    Args:
        summary: The model.
        file: Its ending is the form: .svg, .png, .pdf, .dot or .mmd.

    Returns:
        The file that was written: one for Mermaid where graphviz is not installed.

    Raises:
        UsageError: The ending is another, or the file cannot be written.
    """
    if file.suffix not in (*_PICTURES, *_DOT, *_MERMAID):
        raise UsageError(
            f"--graph {file}: `{file.suffix}` is no form of a picture", "write out.svg, .png, .pdf, .dot or .mmd"
        )
    dot = shutil.which("dot")
    if file.suffix in _PICTURES and dot is None:
        file = file.with_suffix(".mmd")
    try:
        if file.suffix in _PICTURES:
            words = [str(dot), f"-T{file.suffix[1:]}", "-o", str(file)]
            subprocess.run(words, input=summary.to_dot(), text=True, encoding="utf-8", check=True, capture_output=True)
        else:
            file.write_text(summary.to_dot() if file.suffix in _DOT else summary.to_mermaid(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--graph {file}: {error.strerror or error}") from error
    except subprocess.CalledProcessError as error:
        raise UsageError(f"--graph {file}: graphviz says: {str(error.stderr).strip().partition(chr(10))[0]}") from error
    return file
