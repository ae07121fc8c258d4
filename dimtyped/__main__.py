"""Runs the command line: `python -m dimtyped COMMAND`."""

import sys

from dimtyped.cli.main import program

if __name__ == "__main__":
    sys.exit(program())
