"""The code of README and of the documentation runs, and prints what stands below it."""

import functools
import re

import pytest

from dimtyped.runtime import configure, mode
from tests.docs import documents

README = (documents.ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def mode_as_before():
    """A page shows the modes."""
    before = mode()
    yield
    configure(before)


@pytest.mark.any_engine  # pages show compiled code and the generated source
@pytest.mark.parametrize("path", documents.PAGES, ids=lambda path: path.relative_to(documents.ROOT).as_posix())
def test_each_block_prints_what_stands_below_it(path):
    page = path.read_text(encoding="utf-8")
    shown = [documents.without_seed(text) for _, text in documents.blocks(page)]
    assert [documents.without_seed(text) for text in documents.printed(page)] == shown, "python tests/docs/documents.py"


def test_readme_prints_what_it_says_whichever_engine_checks():
    assert [documents.without_seed(text) for text in documents.printed(README)] == [
        documents.without_seed(text) for _, text in documents.blocks(README)
    ]


@pytest.mark.parametrize(
    ("code", "text"), [("1 / len('one')\n", None), ("print(1)\n", "1\n"), ("int('x')\n", "ValueError: ")]
)
def test_what_a_block_prints_is_what_a_reader_would_see(code, text):
    printed = documents.printed_by(code, {})
    assert printed == text or printed.startswith(text)


def test_a_page_that_says_something_else_is_noticed_and_brought_up_to_date():
    right = "```python\nprint(1)\n```\n\n```text\n1\n```\n"
    wrong = right.replace("text\n1", "text\n2")
    assert documents.printed(wrong) != [text for _, text in documents.blocks(wrong)]
    assert documents.updated(wrong) == right == documents.updated(right)


@pytest.mark.any_engine
def test_code_that_contributing_shows_is_that_of_the_package():
    page = (documents.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(documents.EXCERPT.findall(page)) == 3
    assert documents.with_excerpts(page) == page, "python tests/docs/documents.py"


@pytest.mark.any_engine
def test_the_files_that_contributing_names_are_there():
    page = (documents.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    names = named_paths(page)
    assert len(names) > 50
    assert [name for name in names if not is_there(name)] == []


@pytest.mark.parametrize(
    "text", ["`pytest tests/gone.py -k it`", "`python -m tests.gone`", "`engine/gone/`", "`gone.py`"]
)
def test_a_file_that_is_not_there_is_noticed_inside_a_command_too(text):
    assert [is_there(name) for name in named_paths(f"| one | {text} |\n")] == [False]


def named_paths(page):
    """The files and folders that a page names as code, those inside a command too."""
    words = [word for code in re.findall(r"`([^`\n]+)`", page) for word in code.split()]
    modules = [word.replace(".", "/") + ".py" for word in words if re.fullmatch(r"tests(\.\w+)+", word)]
    return [word for word in words if re.fullmatch(r"[\w/]*(?:\w/|\w\.py)|\.ci/\w+", word)] + modules


def is_there(name):
    """True of a file or folder of the repository. A name without the folders above it is enough."""
    return any(path.endswith(f"/{name}") for path in everything())


@functools.cache
def everything():
    """Every file and folder of the repository that pages speak of; a folder ends with a slash."""
    folders = (".ci", "dimtyped", "tests", "benchmarks")
    return [path.as_posix() + "/" * path.is_dir() for folder in folders for path in parts(folder)]


def parts(folder):
    """A folder of the repository and what is in it."""
    yield documents.ROOT / folder
    yield from (documents.ROOT / folder).rglob("*")


@pytest.mark.any_engine
def test_the_first_screen_is_one_sentence_the_two_commands_ten_lines_and_what_is_wrong_in_them():
    title, sentence, commands, code = README.split("\n\n```text")[0].split("\n\n", 3)
    assert title == "# dimtyped"
    assert sentence.count(".") == 1
    assert commands.splitlines()[1:-1] == [
        "pip install -e '.[demo]' && python -m dimtyped demo",
        "pip install -e '.[test]' && pytest",
    ]
    fences = ["python", "blank", "blank", "end", "blank", "console", "command", "end"]
    assert len(code.splitlines()) <= 10 + len(fences)
    assert documents.blocks(README)[1][0] == "$ dimtyped check model.py\n"
    assert documents.blocks(README)[1][1].startswith("model.py:12:21: mixing: ")
    assert documents.blocks(README)[2][1].startswith("TyingError: ")


@pytest.mark.any_engine
def test_readme_is_a_front_page():
    assert len(README.encode()) <= 12 * 1024
    assert "<details>" not in README


@pytest.mark.any_engine
@pytest.mark.parametrize("path", documents.PAGES, ids=lambda path: path.relative_to(documents.ROOT).as_posix())
def test_the_files_that_a_page_links_to_are_there(path):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.any_engine
def test_every_page_is_in_the_navigation():
    navigation = (documents.ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [path.relative_to(documents.ROOT / "docs").as_posix() for path in documents.PAGES[2:]]
    assert [page for page in pages if f"- {page}\n" not in navigation] == []
    assert pages
