"""Runs the command in a folder of its own."""

from types import SimpleNamespace

import pytest

from dimtyped.cli.main import main


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """`dimtyped check ...` in a new folder: its exit status, and what it prints."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        try:
            status = main(["check", *words])
        except SystemExit as error:
            status = error.code
        shown = capsys.readouterr()
        return SimpleNamespace(status=status, out=shown.out, err=shown.err, lines=shown.out.splitlines())

    return run
