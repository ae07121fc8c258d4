"""The code of README and of the documentation runs, and prints what stands below it."""

import documents
import pytest

from dimtyped.engine import config

README = documents.ROOT / "README.md"
FIRST_SCREEN = ["pip install -e '.[demo]' && python -m dimtyped demo", "pip install -e '.[test]' && pytest"]
A_BLOCK = "```python\nprint(1)\n```\n\n```text\n1\n```\n"


@pytest.fixture(autouse=True)
def mode_as_before():
    """A page shows the modes."""
    before = config.mode()
    yield
    config.configure(before)


@pytest.mark.any_engine
@pytest.mark.parametrize("path", documents.PAGES, ids=lambda path: path.relative_to(documents.ROOT).as_posix())
def test_each_block_prints_what_stands_below_it(path):
    page = path.read_text(encoding="utf-8")
    shown = [documents.without_seed(text) for _, text in documents.blocks(page)]
    assert [documents.without_seed(text) for text in documents.printed(page)] == shown, "python tests/documents.py"
