"""The command `lsp`: the language server on stdin and stdout."""

from __future__ import annotations

import argparse
import sys

from dimtyped.cli.lsp.server import make_server


def run(chosen: argparse.Namespace) -> int:
    """Answers an editor until it says that it is done."""
    del chosen  # stdin and stdout are all that there is
    if sys.stdin.isatty():
        sys.stderr.write("dimtyped lsp: an editor starts this, and talks to it through stdin; Ctrl-C ends it\n")
    server = make_server()
    try:
        server.start_io()
    finally:
        server.session.end()
    return 0
