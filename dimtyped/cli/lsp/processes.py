"""Processes that check one file each, started ahead: importing torch takes longer than a check."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any

from dimtyped.cli.lsp.crashes import Ending

_START = 180.0
"""Seconds in which a process must have imported torch."""
_GRACE = 10.0
"""Seconds after the limit in which a process must have ended by itself."""
_MOST_OUTPUT = 16384
"""The bytes of what the user's code prints that are kept: the last ones."""


class Processes:
    """Starts processes, one of them ahead.

    Args:
        python: The interpreter.
    """

    def __init__(self, python: str = sys.executable):
        self.python = python
        self._folder = tempfile.TemporaryDirectory(prefix="dimtyped-", ignore_cleanup_errors=True)
        self._count = 0
        self._ahead: Process | None = None
        self._started: list[Process] = []
        self._has_ended = False

    def take(self) -> Process:
        """A process that waits for its request.

        Raises:
            OSError: The interpreter cannot be started.
        """
        process, self._ahead = self._ahead, None
        return process if process is not None and process.is_running else self._start()

    def start_ahead(self) -> None:
        """Starts the process that the next check takes."""
        if self._ahead is None and not self._has_ended:
            with contextlib.suppress(OSError):  # the check that needs it says so
                self._ahead = self._start()

    def end(self) -> None:
        """Ends all processes, and removes what they wrote."""
        self._has_ended = True
        for process in self._started:
            if process.is_running:
                process.kill()
        self._folder.cleanup()

    def _start(self) -> Process:
        self._count += 1
        self._started = [each for each in self._started if each.is_running]
        self._started.append(Process(self.python, Path(self._folder.name) / f"{self._count}.txt"))
        return self._started[-1]


class Process:
    """One process, for one check.

    Args:
        python: The interpreter.
        trace: The file for the calls of a crash.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self, python: str, trace: Path):
        self._trace = trace
        self._loop = asyncio.get_running_loop()
        self._messages: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()
        self._output = b""
        self._is_killed = False
        self._process = subprocess.Popen(
            [
                python,
                "-P",
                "-m",
                "dimtyped.cli.lsp.worker",
                str(trace),
            ],  # -P: no folder is searched before the installed packages
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # its own processes end with it
        )
        self._readers = [self._thread(self._read), self._thread(self._drain)]
        self._thread(self._wait)

    @property
    def is_running(self) -> bool:
        """True until it has ended."""
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """The end of what the user's code printed."""
        return self._output.decode(errors="replace")

    async def answers(self, request: Mapping[str, Any], limit: float) -> AsyncGenerator[Mapping[str, Any], None]:
        """Sends a request, and gives each message; the last one has `done`, unless the process ends before.

        Args:
            request: The request, without its limit.
            limit: Seconds that the check may take.
        """
        until = self._loop.time() + _START
        try:
            while (message := await self._next(until)) is not None:
                if "ready" in message:
                    until = self._loop.time() + limit + _GRACE
                    self._send({**request, "limit": limit})
                else:
                    yield message
                if "done" in message:
                    return
        finally:
            self.kill()

    def ending(self, doing: str, limit: float) -> Ending:
        """How it ended.

        Args:
            doing: What it was about.
            limit: The time that it had.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        trace = self._trace.read_text(encoding="utf-8", errors="replace") if self._trace.exists() else ""
        status = self._process.returncode
        return Ending(None if self._is_killed else status, trace, self.output, doing, limit)

    def kill(self) -> None:
        """Ends it, and the processes that it started."""
        self._is_killed = self.is_running
        if sys.platform == "win32":
            self._process.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _next(self, until: float) -> Mapping[str, Any] | None:
        """The next message; None if the process has ended, or the time is over."""
        # `wait_for` of Python 3.11 loses a cancellation that comes together with a message.
        try:
            async with asyncio.timeout_at(until):
                return await self._messages.get()
        except TimeoutError:
            return None

    def _send(self, request: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it has ended, which is noticed where its messages end
            self._process.stdin.write(f"{json.dumps(request)}\n".encode())
            self._process.stdin.close()

    # threads

    def _thread(self, run: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            for line in pipe:
                with contextlib.suppress(ValueError):  # not ours: what Python prints when it starts
                    message = json.loads(line)
                    if isinstance(message, dict):
                        self._post(message)

    def _drain(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as pipe:
            while piece := os.read(pipe.fileno(), _MOST_OUTPUT):
                self._output = (self._output + piece)[-_MOST_OUTPUT:]

    def _wait(self) -> None:
        assert self._process.stdin is not None
        self._process.wait()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        for reader in self._readers:  # a process of the user's may keep the pipes open
            reader.join(1.0)
        self._post(None)

    def _post(self, message: Mapping[str, Any] | None) -> None:
        with contextlib.suppress(RuntimeError):  # the server has ended
            self._loop.call_soon_threadsafe(self._messages.put_nowait, message)
