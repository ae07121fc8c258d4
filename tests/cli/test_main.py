"""The table of commands: `python -m dimtyped COMMAND`."""

import gc
import subprocess
import sys

import pytest

from dimtyped.cli import main as command_line
from dimtyped.cli.commands import COMMANDS, Command, CommandError
from dimtyped.cli.main import main

pytestmark = pytest.mark.any_engine


def test_without_a_command_it_lists_all_of_them(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n    {name} " in shown for name in COMMANDS)


def test_listing_the_commands_imports_none_of_them():
    code = "import sys; from dimtyped.cli.main import main; main([]); print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.splitlines())
    assert "dimtyped.cli.commands" in imported
    assert not imported & {command.module for command in COMMANDS.values()}


def test_the_program_collects_garbage_rarely_and_searches_none_at_its_end():
    code = """
import gc
from dimtyped.cli import main
main.main = lambda: print(*gc.get_threshold()) or 3
print(gc.get_freeze_count(), main.program(), gc.isenabled(), gc.get_freeze_count() > 100_000)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "50000 20 100\n0 3 True True\n"


def test_main_leaves_the_collector_of_its_process_alone(capsys):
    before = gc.get_threshold(), gc.get_freeze_count()
    main([])
    assert (gc.get_threshold(), gc.get_freeze_count()) == before


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_says_what_its_arguments_are(name, capsys):
    with pytest.raises(SystemExit, match="^0$"):
        main([name, "--help"])
    assert f"usage: dimtyped {name}" in capsys.readouterr().out


def test_a_command_that_cannot_run_prints_one_line(capsys, monkeypatch):
    def run(command, chosen):
        raise CommandError("there is no such file")

    monkeypatch.setattr(Command, "run", run)
    assert command_line.main(["layers"]) == 2
    assert capsys.readouterr().err == "dimtyped layers: error: there is no such file\n"


def test_a_command_whose_extra_is_not_installed_says_how_to_install_it(capsys, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] in ("pygls", "lsprotocol")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "dimtyped.cli.lsp.command", raising=False)
    monkeypatch.delitem(sys.modules, "dimtyped.cli.lsp.server", raising=False)
    monkeypatch.setitem(sys.modules, "lsprotocol", None)
    assert main(["lsp"]) == 2
    said = "dimtyped lsp: error: lsprotocol is not installed; the extra `lsp` has it: pip install 'dimtyped[lsp]'\n"
    assert capsys.readouterr().err == said


def test_a_module_that_is_missing_for_another_reason_is_a_bug():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        Command("", "dimtyped.cli.no_such_module", extra="demo").run(None)
