"""Runs the command line: `python -m dimtyped COMMAND`."""

import sys

from dimtyped.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
