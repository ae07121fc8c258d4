"""The checks of a server: one process for each save, ended when the next one comes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from dimtyped.cli.lsp.crashes import crash_problem
from dimtyped.cli.lsp.data import Function, Problem, lines_of, read_text, whole_line
from dimtyped.cli.lsp.options import Options
from dimtyped.cli.lsp.processes import Process, Processes
from dimtyped.cli.lsp.state import Checked, State
from dimtyped.cli.targets.outline import outline_of

_INSTALLED = ("site-packages", "dist-packages")


class Editor(Protocol):
    """What a session tells the editor."""

    def show_problems(self, file: Path) -> None:
        """Shows the problems of a file as they are now."""
        ...

    def refresh(self) -> None:
        """Asks for the shapes again."""
        ...

    def log(self, text: str) -> None:
        """Writes to the log."""
        ...

    async def begin(self, title: str, cancel: Callable[[], object]) -> Callable[[str], None]:
        """Shows that something goes on; returns the function that shows how far it is, and ends it with an empty text."""
        ...


class Session:
    """The checks of one editor.

    Args:
        editor: Shows what is found.

    Attributes:
        options: How files are checked.
        state: What is known of each file.
    """

    def __init__(self, editor: Editor):
        self.options = Options()
        self.state = State()
        self._editor = editor
        self._folders: list[Path] = []
        self._processes = Processes()
        self._tasks: dict[Path, asyncio.Task[None]] = {}
        self._free = asyncio.Semaphore(max(2, min(4, (os.cpu_count() or 2) // 2)))
        self._shown: set[Path] = set()

    def configure(self, folders: list[Path], options: Options) -> None:
        """Takes what the editor says when it begins.

        Args:
            folders: The folders of its workspace.
            options: How files are checked.
        """
        self._folders, self.options = folders, options
        self._processes.python = options.python

    def check(self, file: Path) -> None:
        """Begins to check a file; a check of it that goes on is ended."""
        self.cancel(file)
        task = asyncio.get_running_loop().create_task(self._checked(file))
        self._tasks[file] = task
        task.add_done_callback(lambda task: self._ended(file, task))

    def check_saved(self, file: Path) -> None:
        """Begins to check a file that was saved, and the open ones that use it."""
        for each in self.state.users_of(file):
            self.check(each)

    def cancel(self, file: Path) -> None:
        """Ends the check of a file that goes on."""
        task = self._tasks.pop(file, None)
        if task is not None:
            task.cancel()

    def close(self, file: Path) -> None:
        """Forgets a file that was closed."""
        self.cancel(file)
        self.state.close(file)
        self.show()

    def show(self) -> None:
        """Shows the problems of all files, and that those that had some have none."""
        now = self.state.files_with_problems()
        for file in self._shown | now:
            self._editor.show_problems(file)
        self._shown = now

    def end(self) -> None:
        """Ends all checks."""
        for file in list(self._tasks):
            self.cancel(file)
        self._processes.end()

    async def _checked(self, file: Path) -> None:
        text = read_text(file)
        if not _is_worth_it(file, text):
            self._keep(file, Checked())
            return
        async with self._free:
            task = asyncio.current_task()
            assert task is not None
            report = await self._editor.begin(f"dimtyped: {file.name}", task.cancel)
            try:
                self._keep(file, await self._found(file, text, report))
            finally:
                report("")
                self._processes.start_ahead()

    async def _found(self, file: Path, text: str, report: Callable[[str], None]) -> Checked:
        checked = Checked({file: lines_of(text)}, files=frozenset([file]))
        try:
            process = self._processes.take()
        except OSError as error:
            message = (
                f'{self.options.python} cannot be started: {error.strerror}; "python" in initializationOptions names it'
            )
            checked.problems.append(Problem(str(file), whole_line(lines_of(text), 0), "settings", message))
            return checked
        doing, is_done = "", False
        request = {
            "file": str(file),
            "folder": str(self._folder_of(file)),
            "settings": dict(self.options.settings),
        }
        async with contextlib.aclosing(process.answers(request, self.options.timeout)) as answers:
            async for message in answers:
                is_done = is_done or "done" in message
                if "progress" in message:
                    doing = message["progress"]
                    report(doing)
                checked.problems += [Problem.from_dict(each) for each in message.get("problems", ())]
                checked.functions += [Function.from_dict(each) for each in message.get("functions", ())]
                checked.files |= {Path(each) for each in message.get("files", ())}
        if not is_done:
            checked.problems.append(self._crash(process, doing, file, text))
        for each in {Path(problem.file) for problem in checked.problems} - {file}:
            checked.texts[each] = lines_of(read_text(each))
        if process.output.strip():
            self._editor.log(f"{file.name} printed:\n{process.output}")
        return checked

    def _crash(self, process: Process, doing: str, file: Path, text: str) -> Problem:
        ending = process.ending(doing, self.options.timeout)
        return crash_problem(ending, file, text, self.options.python)

    def _keep(self, file: Path, checked: Checked) -> None:
        if self.state.is_open(file):
            self.state.checked[file] = checked
            self.show()
            self._editor.refresh()

    def _folder_of(self, file: Path) -> Path:
        """The folder of the project, else that of the workspace, else that of the file."""
        project = (each for each in file.parents if (each / "pyproject.toml").is_file())
        workspace = (each for each in self._folders if file.is_relative_to(each))
        return next(project, None) or next(workspace, None) or file.parent

    def _ended(self, file: Path, task: asyncio.Task[None]) -> None:
        if self._tasks.get(file) is task:
            del self._tasks[file]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._editor.log(f"the check of {file} failed: {type(error).__name__}: {error}")


def _is_worth_it(file: Path, text: str) -> bool:
    """True of a file of the user's that may have something to check; only such a file is imported."""
    if file.suffix != ".py" or not file.is_file() or not {*_INSTALLED}.isdisjoint(file.parts):
        return False
    return outline_of(file).has_candidates and ("dimtyped" in text or "jaxtyping" in text or "forward" in text)
