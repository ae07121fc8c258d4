"""`dimtyped lsp`, asked by a client of the protocol: pytest-lsp's, with what VS Code, Neovim and Emacs say of themselves."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("pytest_lsp", reason="pytest-lsp is in the extra `ecosystem`")

import pytest_lsp
from lsprotocol import types

from dimtyped.cli.main import main
from tests.cli.check.models import HEAD, RIGHT, SILENT, VARIED, write

LONG = 120.0
WHOLE = types.Range(types.Position(0, 0), types.Position(10_000, 0))
LETTERS = HEAD + (
    """\
@typed
def größe(ä: Float[Tensor, "batch seq"]) -> Float[Tensor, "batch seq"]:
    𐐀, ü = "😀", ä.softmax(0)
    return ü
"""
)


class Editor:
    """An editor with one server.

    Args:
        folder: Its workspace.
        kind: The editor whose capabilities it has.
        options: The initializationOptions.
    """

    def __init__(self, folder: Path, kind: str = "visual-studio-code", options: object = None):
        self.folder = folder
        self.loop = asyncio.new_event_loop()
        self.versions: dict[str, int] = {}
        self.texts: dict[str, str] = {}
        capabilities = pytest_lsp.client_capabilities(kind)
        if kind == "visual-studio-code":  # what is known of it is older
            capabilities.workspace.inlay_hint = types.InlayHintWorkspaceClientCapabilities(refresh_support=True)
        config = pytest_lsp.ClientServerConfig([sys.executable, "-m", "dimtyped", "lsp"])
        self.client = self.run(config.start())
        self.asked = 0

        @self.client.feature(types.WORKSPACE_INLAY_HINT_REFRESH)
        def refresh(_: None) -> None:
            self.asked += 1

        workspace = [types.WorkspaceFolder(folder.as_uri(), folder.name)]
        params = types.InitializeParams(capabilities, workspace_folders=workspace, initialization_options=options)
        self.result = self.run(self.client.initialize_session(params))

    def run(self, asking):
        return self.loop.run_until_complete(asyncio.wait_for(asking, LONG))

    def close(self):
        self.run(self.client.shutdown_session())
        server = self.client._server
        self.run(self.client.stop())
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()
        assert server.returncode == 0

    def uri(self, name):
        return (self.folder / name).as_uri()

    def document(self, name):
        return types.TextDocumentIdentifier(self.uri(name))

    def open(self, name, text):
        write(self.folder, **{name.removesuffix(".py"): text})
        self.versions[name], self.texts[name] = 1, text
        item = types.TextDocumentItem(self.uri(name), "python", 1, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def type(self, name, text):
        """Changes the text of a document without a save."""
        self.versions[name] += 1
        self.texts[name] = text
        document = types.VersionedTextDocumentIdentifier(uri=self.uri(name), version=self.versions[name])
        change = types.TextDocumentContentChangeWholeDocument(text)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))

    def save(self, name, text=None):
        if text is not None:
            self.type(name, text)
        (self.folder / name).write_text(self.texts[name], encoding="utf-8")
        self.client.text_document_did_save(types.DidSaveTextDocumentParams(self.document(name)))

    def shut(self, name):
        self.client.text_document_did_close(types.DidCloseTextDocumentParams(self.document(name)))

    def until(self, condition):
        ends = time.monotonic() + LONG
        while not condition():
            assert time.monotonic() < ends, (self.client.messages, self.client.log_messages)
            self.run(asyncio.sleep(0.02))

    def until_checked(self, count):
        """Waits until this many checks have ended since the server began."""
        self.until(lambda: len(self.ended()) >= count)

    def ended(self):
        return [
            token
            for token, reports in self.client.progress_reports.items()
            if reports and isinstance(reports[-1], types.WorkDoneProgressEnd)
        ]

    def check(self, name, text, checks=1):
        """Saves a text and waits until it is checked, and those checks have ended."""
        before = len(self.ended())
        if name in self.versions:
            self.save(name, text)
        else:
            self.open(name, text)
        self.until_checked(before + checks)
        return self.diagnostics(name)

    def diagnostics(self, name):
        return list(self.client.diagnostics.get(self.uri(name), ()))

    def hints(self, name, where=WHOLE):
        params = types.InlayHintParams(self.document(name), where)
        return self.run(self.client.text_document_inlay_hint_async(params)) or []

    def hover(self, name, line, character):
        params = types.HoverParams(self.document(name), types.Position(line, character))
        return self.run(self.client.text_document_hover_async(params))

    def actions(self, name, where=WHOLE, only=None):
        context = types.CodeActionContext(self.diagnostics(name), only)
        params = types.CodeActionParams(self.document(name), where, context)
        return self.run(self.client.text_document_code_action_async(params)) or []

    def apply(self, name, edit):
        """The text of a document after an edit, as an editor applies it."""
        if edit.document_changes is not None:
            [change] = edit.document_changes
            assert (change.text_document.uri, change.text_document.version) == (self.uri(name), self.versions[name])
            edits = change.edits
        else:
            [(uri, edits)] = edit.changes.items()
            assert uri == self.uri(name)
        [one] = edits
        lines = self.texts[name].split("\n")
        start, end = one.range.start, one.range.end
        before = _units(lines[start.line])[: 2 * start.character]
        after = _units(lines[end.line])[2 * end.character :]
        inner = before.decode("utf-16-le") + one.new_text + after.decode("utf-16-le")
        return "\n".join([*lines[: start.line], inner, *lines[end.line + 1 :]])


def _units(line):
    return line.encode("utf-16-le")


@pytest.fixture(scope="module")
def editor(tmp_path_factory) -> Iterator[Editor]:
    made = Editor(tmp_path_factory.mktemp("workspace"), options={"timeout": LONG})
    yield made
    made.close()


@pytest.fixture
def other(tmp_path, request) -> Iterator[Editor]:
    made = Editor(tmp_path, **request.param)
    yield made
    made.close()


def hinted(editor, name):
    lines = editor.texts[name].split("\n")
    return {
        f"{lines[each.position.line][: each.position.character]}{each.label}".strip() for each in editor.hints(name)
    }


HEADS = ": (batch, heads, seq, embed//heads)"
HINTS = {f"q{HEADS}", f"q, k{HEADS}", f"q, k, v{HEADS}", f"o{HEADS}"}


def test_a_finding_its_fix_and_the_shapes_of_variables(editor):
    [found] = editor.check("first.py", SILENT)
    line = SILENT.split("\n").index("        return self.out(o.reshape(B, T, C))")
    assert found.range == types.Range(types.Position(line, 24), types.Position(line, 42))
    assert (found.code, found.source, found.severity) == ("scramble", "dimtyped", types.DiagnosticSeverity.Error)
    assert found.message.startswith("`o.reshape(B, T, C)` in Attention.forward: a reshape of (batch=5, ")
    assert hinted(editor, "first.py") == HINTS
    editor.until(lambda: editor.asked > 0)
    assert editor.hints("first.py", types.Range(types.Position(line, 0), types.Position(line, 5))) == []

    hover = editor.hover("first.py", line, 24)
    assert hover.contents == types.MarkupContent(
        types.MarkupKind.Markdown, "```python\no: (batch, heads, seq, embed//heads)\n```"
    )
    assert hover.range == types.Range(types.Position(line, 24), types.Position(line, 25))
    signature = editor.texts["first.py"].split("\n").index(next(x for x in SILENT.split("\n") if "def forward" in x))
    assert "x: (batch, seq, embed)" in editor.hover("first.py", signature, 22).contents.value
    assert editor.hover("first.py", line, 16) is None  # `self`
    assert editor.hover("first.py", 0, 3) is None

    [action] = editor.actions("first.py", found.range)
    assert (action.title, action.kind) == ("Replace with `o.transpose(1, 2).reshape(B, T, C)`", "quickfix")
    assert list(action.diagnostics) == [found]
    assert editor.actions("first.py", types.Range(types.Position(0, 0), types.Position(1, 0))) == []
    assert editor.actions("first.py", only=[types.CodeActionKind.Refactor]) == []

    fixed = editor.apply("first.py", action.edit)
    assert fixed == RIGHT
    assert editor.check("first.py", fixed) == []
    assert editor.actions("first.py") == []
    (editor.folder / "again.py").write_text(fixed)
    assert main(["check", str(editor.folder / "again.py"), "-q"]) == 0


def test_progress_tells_what_is_checked(editor):
    editor.check("progress.py", SILENT)
    begin, *reports, end = list(editor.client.progress_reports.values())[-1]
    assert (begin.title, begin.cancellable) == ("dimtyped: progress.py", True)
    assert [each.message for each in reports] == [
        "importing progress.py",
        "checking progress.py:Attention",
        "shapes of progress.py",
    ]
    assert isinstance(end, types.WorkDoneProgressEnd)


def test_while_a_text_is_edited_nothing_is_shown_where_it_is_not_true(editor):
    text = SILENT + "\n\ndef double(x: Float[Tensor, 'rows cols']):\n    y = 2 * x\n    return y\n"
    [found] = editor.check("edited.py", text)
    both = HINTS | {"y: (rows, cols)", "return y-> (rows, cols)"}
    assert hinted(editor, "edited.py") == both

    editor.type("edited.py", f"# above\n\n{text}")
    assert hinted(editor, "edited.py") == both
    editor.until(lambda: editor.diagnostics("edited.py") != [found])
    [moved] = editor.diagnostics("edited.py")
    assert moved.range.start.line == found.range.start.line + 2
    [action] = editor.actions("edited.py")
    assert editor.apply("edited.py", action.edit) == "# above\n\n" + text.replace(
        "o.reshape", "o.transpose(1, 2).reshape"
    )

    changed = text.replace("        o = (q @ k", "        q = q + 0\n        o = (k @ q")
    editor.type("edited.py", changed)
    assert hinted(editor, "edited.py") == both - {f"o{HEADS}"}
    o_line = changed.split("\n").index("        return self.out(o.reshape(B, T, C))")
    assert editor.hover("edited.py", o_line, 24) is None

    editor.type("edited.py", text.replace("return self.out(o.reshape", "return self.out(self.out(o).reshape"))
    editor.until(lambda: editor.diagnostics("edited.py") == [])
    assert editor.actions("edited.py") == []


def test_positions_are_in_the_units_of_the_protocol(editor):
    [found] = editor.check("letters.py", LETTERS)
    line = LETTERS.split("\n")[found.range.start.line]
    units = _units(line)[2 * found.range.start.character : 2 * found.range.end.character]
    assert units.decode("utf-16-le") == "ä.softmax(0)"
    [hint] = editor.hints("letters.py")
    assert _units(line)[: 2 * hint.position.character].decode("utf-16-le") == "    𐐀, ü"
    assert hint.label == ": (batch, seq)"
    [action] = editor.actions("letters.py", found.range)
    assert editor.apply("letters.py", action.edit) == LETTERS.replace("softmax(0)", "softmax(-1)")


HOSTILE = {
    "it ends Python": ("import os\nos._exit(0)\n", "crash", "ended with status 0"),
    "it crashes Python": ("import ctypes\nctypes.string_at(0)\n", "crash", "Python crashed (SIGSEGV)"),
    "it is no Python": ("x = (\n", "import", "SyntaxError: '(' was never closed"),
    "it does not import": ("import nothing_there\n", "import", "No module named 'nothing_there'"),
}


@pytest.mark.parametrize(("code", "kind", "says"), HOSTILE.values(), ids=HOSTILE)
def test_whatever_a_file_does_the_server_goes_on(editor, code, kind, says):
    [found] = editor.check("hostile.py", RIGHT + code)
    assert (found.code, found.severity) == (kind, types.DiagnosticSeverity.Error)
    assert says in found.message
    assert editor.check("hostile.py", RIGHT) == []
    assert hinted(editor, "hostile.py") == HINTS


def test_what_a_file_prints_does_not_reach_the_protocol(editor):
    printing = "import os\nprint('Content-Length: 5')\nos.write(1, b'Content-Length: 7\\r\\n\\r\\n{}')\n"
    [found] = editor.check("printing.py", SILENT + printing)
    assert found.code == "scramble"
    assert any("Content-Length: 5" in each.message for each in editor.client.log_messages)


def test_a_class_that_cannot_be_made_is_a_warning(editor):
    found = editor.check("varied.py", VARIED)
    assert [(each.code, each.severity.name, each.range.start.line) for each in found] == [
        ("skipped", "Warning", 6),
        ("refused", "Error", 22),
        ("refused", "Error", 31),
    ]


ENDLESS = "import time\nfrom pathlib import Path\nPath('began').touch()\ntime.sleep(1000)\n"


def test_a_newer_save_ends_the_check_before_it(editor):
    editor.check("slow.py", RIGHT)
    editor.save("slow.py", RIGHT + ENDLESS)
    editor.until((editor.folder / "began").exists)
    assert [each.code for each in editor.check("slow.py", SILENT, checks=2)] == ["scramble"]


def test_the_user_can_cancel_a_check(editor):
    (editor.folder / "began").unlink(missing_ok=True)
    count = len(editor.ended())
    editor.open("cancelled.py", RIGHT + ENDLESS)
    editor.until((editor.folder / "began").exists)
    token = list(editor.client.progress_reports)[-1]
    editor.client.window_work_done_progress_cancel(types.WorkDoneProgressCancelParams(token))
    editor.until_checked(count + 1)
    assert editor.diagnostics("cancelled.py") == []


def test_a_closed_file_has_no_problems(editor):
    assert editor.check("closed.py", SILENT)
    editor.shut("closed.py")
    editor.until(lambda: editor.diagnostics("closed.py") == [])


@pytest.mark.parametrize("other", [{"kind": "neovim"}, {"kind": "emacs"}], indirect=True, ids=["neovim", "emacs"])
def test_other_editors(other):
    other.open("model.py", SILENT)
    other.until(lambda: other.diagnostics("model.py"))
    [action] = other.actions("model.py")
    assert other.apply("model.py", action.edit) == RIGHT
    assert hinted(other, "model.py") == HINTS


@pytest.mark.parametrize(
    "other",
    [{"options": {"checkOnOpen": False, "arguments": {"width": 3}, "sizes": {"embed": 2}, "timeout": LONG}}],
    indirect=True,
)
def test_the_options_of_the_editor(other):
    text = VARIED[: VARIED.index("class Plain")]
    other.open("model.py", text)
    assert other.hints("model.py") == []
    assert other.check("model.py", text) == []
    assert hinted(other, "model.py") == set()
    assert "x: (batch, seq, embed)" in other.hover("model.py", 11, 22).contents.value


@pytest.mark.parametrize("other", [{"options": {"size": 3}}], indirect=True)
def test_an_option_that_is_none_is_told(other):
    other.until(lambda: other.client.messages)
    [message] = other.client.messages
    assert message.message == "dimtyped: initializationOptions has no `size`; did you mean `sizes`?"
    assert len(other.check("model.py", SILENT)) == 1  # the others hold


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks a process up in /proc")
def test_where_the_editor_is_gone_the_server_and_its_processes_end(tmp_path):
    editor = Editor(tmp_path, options={"timeout": LONG})
    editor.open(
        "model.py", RIGHT + "import os\nfrom pathlib import Path\nPath('pid').write_text(str(os.getpid()))\n" + ENDLESS
    )
    editor.until((tmp_path / "began").exists)
    process = Path("/proc", (tmp_path / "pid").read_text())
    assert process.is_dir()
    server = editor.client._server
    server.stdin.close()
    editor.run(server.wait())
    editor.until(lambda: not process.is_dir() or ") Z " in (process / "stat").read_text())
    editor.run(editor.client.stop())
    editor.run(editor.loop.shutdown_default_executor())
    editor.loop.close()
