"""The place in the user's code where an operator was called: the deepest frame outside torch, libraries and this package."""

import functools
import itertools
import linecache
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType, TracebackType

import torch

_OURS = Path(__file__).parents[1]
_TORCH = Path(torch.__file__).parent
_STANDARD_LIBRARY = tuple(Path(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib"))
_INSTALLED = ("site-packages", "dist-packages")
_ALWAYS_SKIPPED = ("einops", "opt_einsum", "jaxtyping", "beartype", "torch", "functorch")


@dataclass(frozen=True, slots=True)
class Place:
    """A piece of the user's code.

    Args:
        where: The function, as Python calls it: `Decoder.attend`.
        file: Its file; empty if no frame of the run is the user's.
        line: The first line of the expression, counted from 1.
        column: Its first column, counted from 0.
        end_column: The column after its last, on its last line.
        source: The text of the expression; empty if it cannot be read.
    """

    where: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    end_column: int = 0
    source: str = ""

    @property
    def short(self) -> str:
        """The file, as short as it can be, and the line; of code that is in no file the line alone."""
        if self.file.startswith("<"):
            return f"line {self.line}"
        path = Path(self.file)
        try:
            return f"{path.relative_to(Path.cwd())}:{self.line}"
        except ValueError:
            return f"{path}:{self.line}"

    @property
    def marked(self) -> list[str]:
        """The line of the code, and marks below the expression; empty if it cannot be read."""
        line = linecache.getline(self.file, self.line).rstrip() if self.file else ""
        if not line:
            return []
        stripped = line.lstrip()
        indent = len(line) - len(stripped)
        start = max(_character(line, self.column) - indent, 0)
        end = _character(line, self.end_column) - indent
        width = end - start if start < end <= len(stripped) else len(stripped) - start
        return [stripped, " " * start + "^" * width] if self.end_column else [stripped]


class Places:
    """Finds the user's frame.

    Args:
        skip: Packages besides torch, the standard library and dimtyped whose frames are passed over.
    """

    def __init__(self, skip: Iterable[str] = ()):
        self._named = frozenset(skip)

    def find(self, frame: FrameType | None) -> Place:
        """The place in the user's deepest frame, searched from `frame` outwards."""
        while frame is not None and not self._is_users(frame.f_code.co_filename):
            frame = frame.f_back
        return Place() if frame is None else place_at(frame.f_code, frame.f_lasti)

    def find_in(self, traceback: TracebackType | None) -> Place:
        """The place in the user's deepest frame, searched in an exception's traceback."""
        found: TracebackType | None = None
        while traceback is not None:
            if self._is_users(traceback.tb_frame.f_code.co_filename):
                found = traceback
            traceback = traceback.tb_next
        return Place() if found is None else place_at(found.tb_frame.f_code, found.tb_lasti)

    def is_users(self, code: CodeType) -> bool:
        """True for code that the user wrote: neither torch's, nor a library's that is passed over, nor ours."""
        return self._is_users(code.co_filename)

    def _is_users(self, file: str) -> bool:
        return _is_users(file, self._named)


@functools.lru_cache(maxsize=4096)
def _is_users(file: str, named: frozenset[str]) -> bool:
    """True for a file outside of these packages and of those that are always passed over."""
    if file.startswith("<"):
        return not file.startswith(("<frozen", "<dimtyped", "<__array_function__", "<eval_with_key>"))
    path = Path(file)
    if path.is_relative_to(_OURS) or path.is_relative_to(_TORCH):
        return False
    installed = [index for index, part in enumerate(path.parts) if part in _INSTALLED]
    if installed:
        package = path.parts[installed[-1] + 1].removesuffix(".py")
        return package not in named and package not in _ALWAYS_SKIPPED
    if not named.isdisjoint(path.parts):
        return False
    return not any(path.is_relative_to(folder) for folder in _STANDARD_LIBRARY)


def place_at(code: CodeType, instruction: int) -> Place:
    """The place of an instruction."""
    start, end, column, end_column = next(
        itertools.islice(code.co_positions(), instruction // 2, None), (None, None, None, None)
    )
    if start is None:
        return Place(code.co_qualname, code.co_filename, code.co_firstlineno)
    source = _text(code.co_filename, start, end or start, column, end_column)
    return Place(code.co_qualname, code.co_filename, start, column or 0, end_column or 0, source)


def _text(file: str, start: int, end: int, column: int | None, end_column: int | None) -> str:
    lines = [linecache.getline(file, number) for number in range(start, end + 1)]
    if column is None or end_column is None or not all(lines):
        return " ".join(line.strip() for line in lines)
    # columns count bytes of UTF-8
    encoded = [line.encode() for line in lines]
    encoded[-1] = encoded[-1][:end_column]
    encoded[0] = encoded[0][column:]
    return " ".join(line.decode(errors="replace").strip() for line in encoded)


def _character(line: str, column: int) -> int:
    """A column in characters; Python counts it in bytes of UTF-8."""
    return len(line.encode()[:column].decode(errors="replace"))
