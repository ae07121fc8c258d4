"""The language server: what the editor asks and what it is answered, in the protocol's terms."""

from __future__ import annotations

import asyncio
import importlib.metadata
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path

from dimtyped.cli.lsp.data import Problem, Variable
from dimtyped.cli.lsp.options import Options, options_of
from dimtyped.cli.lsp.positions import Positions
from dimtyped.cli.lsp.session import Session
from dimtyped.cli.targets.usage import UsageError

_NAME = re.compile(r"(?<![\w.])[^\W\d]\w*")
_ANSWER = 5.0
"""Seconds that a client has to say that it shows progress."""


class Server(LanguageServer):
    """The server of one editor.

    Attributes:
        session: Its checks.
    """

    def __init__(self) -> None:
        super().__init__("dimtyped", importlib.metadata.version("dimtyped"))
        self._uris: dict[Path, str] = {}
        self._sent: dict[Path, list[types.Diagnostic]] = {}
        self._tokens = itertools.count(1)
        self.session = Session(self)

    def begin_session(self, params: types.InitializeParams) -> None:
        """Reads what the editor says of itself."""
        try:
            options = options_of(params.initialization_options)
        except UsageError as error:
            options = Options()
            self.window_show_message(types.ShowMessageParams(types.MessageType.Error, f"dimtyped: {error}"))
        folders = [file for each in self.workspace.folders.values() if (file := file_of(each.uri)) is not None]
        self.session.configure(folders, options)

    def put(self, uri: str) -> Path | None:
        """Notes the text of an open document; its file, if it is one."""
        file = file_of(uri)
        if file is not None:
            self._uris[file] = uri
            self.session.state.put(file, self.workspace.get_text_document(uri).source)
        return file

    def positions(self, file: Path) -> Positions:
        """The positions in a file's text as it is now."""
        return Positions(self.session.state.lines(file), self.workspace.position_encoding)

    # What a session tells

    def show_problems(self, file: Path) -> None:
        """Shows the problems of a file as they are now, if they are not shown already."""
        positions = self.positions(file)
        found = [_diagnostic(problem, positions) for problem in self.session.state.problems(file)]
        if found != self._sent.get(file, []):
            self._sent[file] = found
            uri = self._uris.get(file) or from_fs_path(str(file)) or ""
            version = self.workspace.get_text_document(uri).version if self.session.state.is_open(file) else None
            self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, found, version))

    def refresh(self) -> None:
        """Asks the editor to ask for inlay hints again, if it can."""
        workspace = self.client_capabilities.workspace
        if workspace is not None and workspace.inlay_hint is not None and workspace.inlay_hint.refresh_support:
            self.workspace_inlay_hint_refresh(None)

    def log(self, text: str) -> None:
        """Writes to the editor's log."""
        self.window_log_message(types.LogMessageParams(types.MessageType.Log, text))

    async def begin(self, title: str, cancel: Callable[[], object]) -> Callable[[str], None]:
        """Shows progress, if the editor does."""
        window, token = self.client_capabilities.window, f"dimtyped-{next(self._tokens)}"
        if window is None or not window.work_done_progress:
            return _nothing
        progress, loop = self.work_done_progress, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_ANSWER):
                await progress.create_async(token)
        except (JsonRpcException, TimeoutError):  # it refused, or says nothing
            return _nothing
        progress.tokens[token].add_done_callback(lambda _: loop.call_soon_threadsafe(cancel))
        progress.begin(token, types.WorkDoneProgressBegin(title, cancellable=True))

        def report(text: str) -> None:
            if text:
                progress.report(token, types.WorkDoneProgressReport(message=text))
            else:
                progress.end(token, types.WorkDoneProgressEnd())
                del progress.tokens[token]

        return report


def make_server() -> Server:
    """A server that answers; `start_io` begins."""
    server = Server()
    for method, (answer, options) in _FEATURES.items():
        server.feature(method, options)(answer)
    return server


# What the editor tells


def _initialize(server: Server, params: types.InitializeParams) -> None:
    server.begin_session(params)


def _opened(server: Server, params: types.DidOpenTextDocumentParams) -> None:
    file = server.put(params.text_document.uri)
    if file is not None and server.session.options.check_on_open:
        server.session.check(file)


def _changed(server: Server, params: types.DidChangeTextDocumentParams) -> None:
    file = server.put(params.text_document.uri)
    if file is not None:
        server.show_problems(file)


def _saved(server: Server, params: types.DidSaveTextDocumentParams) -> None:
    file = server.put(params.text_document.uri)
    if file is not None:
        server.session.check_saved(file)


def _closed(server: Server, params: types.DidCloseTextDocumentParams) -> None:
    file = file_of(params.text_document.uri)
    if file is not None:
        server.session.close(file)


def _shutdown(server: Server, params: None) -> None:
    del params  # the protocol has none
    server.session.end()


# What the editor asks


def _hints(server: Server, params: types.InlayHintParams) -> list[types.InlayHint]:
    file = file_of(params.text_document.uri)
    if file is None:
        return []
    positions, (first, last) = server.positions(file), (params.range.start.line, params.range.end.line)
    return [
        types.InlayHint(
            positions.of(variable.line, variable.column),
            f": {variable.shape}" if variable.name else f"-> {variable.shape}",
            types.InlayHintKind.Type,
            padding_left=not variable.name,
        )
        for _, variable in server.session.state.variables(file)
        if not variable.is_annotated and first <= variable.line <= last
    ]


def _hover(server: Server, params: types.HoverParams) -> types.Hover | None:
    file, at = file_of(params.text_document.uri), params.position
    lines = server.session.state.lines(file) if file is not None else []
    if file is None or at.line >= len(lines):
        return None
    positions = server.positions(file)
    column = positions.column(at)
    word = next((found for found in _NAME.finditer(lines[at.line]) if found.start() <= column <= found.end()), None)
    variable = server.session.state.variable_at(file, at.line, word[0]) if word is not None else None
    if word is None or variable is None:
        return None
    place = types.Range(positions.of(at.line, word.start()), positions.of(at.line, word.end()))
    return types.Hover(_hover_text(server, variable), place)


def _hover_text(server: Server, variable: Variable) -> types.MarkupContent:
    text, document = f"{variable.name}: {variable.shape}", server.client_capabilities.text_document
    formats = (document.hover.content_format if document is not None and document.hover is not None else None) or []
    if types.MarkupKind.Markdown in formats:
        return types.MarkupContent(types.MarkupKind.Markdown, f"```python\n{text}\n```")
    return types.MarkupContent(types.MarkupKind.PlainText, text)


def _actions(server: Server, params: types.CodeActionParams) -> list[types.CodeAction]:
    file = file_of(params.text_document.uri)
    only = params.context.only
    if file is None or (only is not None and not {types.CodeActionKind.QuickFix, ""} & set(only)):
        return []
    positions = server.positions(file)
    return [
        types.CodeAction(
            problem.edit.title,
            types.CodeActionKind.QuickFix,
            [_diagnostic(problem, positions)],
            is_preferred=True,
            edit=_workspace_edit(server, params.text_document.uri, positions, problem),
        )
        for problem in server.session.state.problems(file)
        if problem.edit is not None and _touch(positions.range_of(problem.span), params.range)
    ]


def _workspace_edit(server: Server, uri: str, positions: Positions, problem: Problem) -> types.WorkspaceEdit:
    """The edit, for this version of the document alone where the client can tell versions."""
    assert problem.edit is not None
    edit = types.TextEdit(positions.range_of(problem.edit.span), problem.edit.text)
    workspace = server.client_capabilities.workspace
    can = workspace is not None and workspace.workspace_edit is not None and workspace.workspace_edit.document_changes
    if not can:
        return types.WorkspaceEdit(changes={uri: [edit]})
    version = server.workspace.get_text_document(uri).version
    document = types.OptionalVersionedTextDocumentIdentifier(uri, version)
    return types.WorkspaceEdit(document_changes=[types.TextDocumentEdit(document, [edit])])


_FEATURES: dict[str, tuple[Callable[..., Any], Any]] = {
    types.INITIALIZE: (_initialize, None),
    types.TEXT_DOCUMENT_DID_OPEN: (_opened, None),
    types.TEXT_DOCUMENT_DID_CHANGE: (_changed, None),
    types.TEXT_DOCUMENT_DID_SAVE: (_saved, types.SaveOptions(include_text=False)),
    types.TEXT_DOCUMENT_DID_CLOSE: (_closed, None),
    types.TEXT_DOCUMENT_INLAY_HINT: (_hints, None),
    types.TEXT_DOCUMENT_HOVER: (_hover, None),
    types.TEXT_DOCUMENT_CODE_ACTION: (_actions, types.CodeActionOptions([types.CodeActionKind.QuickFix])),
    types.SHUTDOWN: (_shutdown, None),
}


def file_of(uri: str) -> Path | None:
    """The file of a document; None for one that was never saved."""
    path = to_fs_path(uri) if uri.startswith("file:") else None
    return Path(path).resolve() if path else None


def _diagnostic(problem: Problem, positions: Positions) -> types.Diagnostic:
    severity = types.DiagnosticSeverity.Error if problem.is_error else types.DiagnosticSeverity.Warning
    return types.Diagnostic(
        positions.range_of(problem.span), problem.message, severity, problem.kind, source="dimtyped"
    )


def _touch(one: types.Range, other: types.Range) -> bool:
    return _pair(one.start) <= _pair(other.end) and _pair(other.start) <= _pair(one.end)


def _pair(position: types.Position) -> tuple[int, int]:
    return position.line, position.character


def _nothing(_: str) -> None:
    """Shows nothing."""
