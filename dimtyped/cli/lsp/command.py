"""The command `lsp`: the language server on stdin and stdout."""

from __future__ import annotations

import argparse

from dimtyped.cli.lsp.server import make_server


def run(chosen: argparse.Namespace) -> int:
    """Answers an editor until it says that it is done."""
    del chosen  # stdin and stdout are all that there is
    make_server().start_io()
    return 0
