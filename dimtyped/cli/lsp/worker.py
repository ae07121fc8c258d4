"""The process in which one file is checked: `python -m dimtyped.cli.lsp.worker TRACE`.

It reads one line of JSON, a request, and writes lines of JSON. What the user's code prints goes to stderr. Where Python crashes or the
time is over, the user's calls are in the file TRACE.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from dimtyped.cli.lsp.analysis import analyse
from dimtyped.cli.lsp.data import to_dict
from dimtyped.cli.lsp.problems import problem_of
from dimtyped.cli.lsp.warming import warm_up


def main() -> None:
    """Answers one request."""
    channel = _own_channel()
    with Path(sys.argv[1]).open("w", encoding="utf-8") as trace:
        faulthandler.enable(trace)

        def tell(message: Mapping[str, Any]) -> None:
            channel.write(json.dumps(message) + "\n")
            channel.flush()

        warm_up()
        tell({"ready": True})
        request = json.loads(_request() or "null")
        if request is None:  # the server ended
            return
        os.environ.setdefault("MPLBACKEND", "agg")  # a plot at the top of a file opens no window
        faulthandler.dump_traceback_later(request["limit"], exit=True, file=trace)
        file = Path(request["file"]).resolve()
        try:
            analyse(file, Path(request["folder"]), request["settings"], tell)
        except BaseException as error:  # noqa: BLE001 - the user's code may raise what is no Exception
            tell({"problems": [to_dict(problem_of(error, file, "crash"))]})
        tell({"done": True})


def _own_channel() -> TextIO:
    """What stdout was; from now on all that is written to stdout goes to stderr, from C too."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def _request() -> str:
    """The line with the request; from now on stdin is empty, so that `input()` does not wait."""
    line = sys.stdin.readline()
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return line


if __name__ == "__main__":
    main()
