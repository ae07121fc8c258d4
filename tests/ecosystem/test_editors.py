"""The configurations of docs/editors.md, in the editors themselves where they are installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pygls", reason="pygls is in the extra `lsp`")

from tests.cli.check.models import RIGHT, SILENT

PAGE = (Path(__file__).parents[2] / "docs" / "editors.md").read_text(encoding="utf-8")
LINE = SILENT.split("\n").index("        return self.out(o.reshape(B, T, C))") + 1
HEADS = ": (batch, heads, seq, embed//heads)"

NEOVIM = """
vim.cmd("edit model.py")
vim.wait(90000, function() return #vim.diagnostic.get(0) > 0 end, 50)
vim.wait(20000, function() return #vim.lsp.inlay_hint.get({ bufnr = 0 }) > 0 end, 50)
for _, each in ipairs(vim.diagnostic.get(0)) do print("finding", each.lnum + 1, each.col, each.end_col, each.code) end
for _, each in ipairs(vim.lsp.inlay_hint.get({ bufnr = 0 })) do
  print("hint", each.inlay_hint.position.line + 1, each.inlay_hint.label)
end
vim.api.nvim_win_set_cursor(0, { LINE, 24 })
vim.lsp.buf.code_action({ apply = true })
vim.wait(20000, function() return vim.bo.modified end, 50)
vim.cmd("write")
vim.wait(90000, function() return #vim.diagnostic.get(0) == 0 end, 50)
print("findings after it", #vim.diagnostic.get(0))
vim.cmd("qa!")
"""

EMACS = """
(setq eglot-sync-connect t make-backup-files nil)
(find-file "model.py")
(eglot-ensure)
(call-interactively 'eglot)
(defun wait-for (holds) (let ((n 0)) (while (and (< n 900) (not (funcall holds)))
  (setq n (1+ n)) (accept-process-output nil 0.1) (flymake-start))))
(wait-for (lambda () (flymake-diagnostics)))
(dolist (d (flymake-diagnostics))
  (message "finding %s %s" (line-number-at-pos (flymake-diagnostic-beg d))
           (buffer-substring (flymake-diagnostic-beg d) (flymake-diagnostic-end d))))
(goto-char (flymake-diagnostic-beg (car (flymake-diagnostics))))
(let ((action (aref (jsonrpc-request (eglot--current-server-or-lose) :textDocument/codeAction
    (list :textDocument (eglot--TextDocumentIdentifier) :context (list :diagnostics [])
          :range (list :start (eglot--pos-to-lsp-position (point)) :end (eglot--pos-to-lsp-position (point))))) 0)))
  (eglot--apply-workspace-edit (plist-get action :edit)))
(save-buffer)
(wait-for (lambda () (null (flymake-diagnostics))))
(message "findings after it %s" (length (flymake-diagnostics)))
(kill-emacs 0)
"""


def documented(language):
    """The block of a language on the page."""
    [block] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return block


def has(program, *arguments):
    """True if a program is installed that ends well with these arguments."""
    path = shutil.which(program)
    return path is not None and subprocess.run([path, *arguments], capture_output=True, check=False).returncode == 0


def printed_by(folder, *words):
    """What an editor prints that finds `dimtyped` beside this Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    return (done.stdout + done.stderr).replace("\r", "")


@pytest.fixture
def folder(tmp_path):
    if shutil.which("dimtyped", path=Path(sys.executable).parent) is None:
        pytest.skip("the command `dimtyped` is not beside this Python")
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "model.py").write_text(SILENT, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
@pytest.mark.skipif(
    not has(
        "nvim", "--headless", "--clean", "-c", "lua if vim.fn.has('nvim-0.11') == 0 then vim.cmd('cq') end", "-c", "qa"
    ),
    reason="Neovim 0.11 is not installed",
)
def test_neovim(folder):
    (folder / "init.lua").write_text(documented("lua"), encoding="utf-8")
    (folder / "drive.lua").write_text(NEOVIM.replace("LINE", str(LINE)), encoding="utf-8")
    shown = printed_by(folder, "nvim", "--headless", "--clean", "-u", "init.lua", "-c", "luafile drive.lua")
    assert f"finding {LINE} 24 42 scramble" in shown, shown
    hints = re.findall(r"hint (\d+) (.*)", shown)
    assert hints == [(str(LINE - 2), HEADS)] * 3 + [(str(LINE - 1), HEADS)]
    assert "findings after it 0" in shown, shown
    assert (folder / "model.py").read_text(encoding="utf-8") == RIGHT


@pytest.mark.slow
@pytest.mark.skipif(
    not has("emacs", "-q", "--batch", "--eval", "(progn (package-initialize) (require 'eglot))"),
    reason="Emacs with eglot is not installed",
)
def test_emacs(folder):
    drive = f"(package-initialize)\n{documented('lisp')}\n{EMACS}"
    (folder / "drive.el").write_text(drive, encoding="utf-8")
    shown = printed_by(folder, "emacs", "-q", "--batch", "--load", "drive.el")
    assert f"finding {LINE} o.reshape(B, T, C)" in shown, shown
    assert "findings after it 0" in shown, shown
    assert (folder / "model.py").read_text(encoding="utf-8") == RIGHT
