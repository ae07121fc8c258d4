"""The task of the page, as VS Code reads it: its problem matcher on the lines of the output, and when a check begins and ends.

`problems` does what VS Code's matcher of single lines does, written anew: it looks at each line alone, trims the groups of the
pattern, and takes a file that is not below the workspace's folder for an absolute path. VS Code's own code gave the same markers
when it was run by hand on this output, in a terminal of 80 columns.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dimtyped.cli.check import command as check_command
from tests.cli.check.models import RIGHT, SILENT, VARIED, write

PAGE = (Path(__file__).parents[3] / "docs" / "command.md").read_text(encoding="utf-8")
[TASK] = [
    json.loads(block)["tasks"][0]
    for block in re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    if "problemMatcher" in block
]
MATCHER = TASK["problemMatcher"]
BACKGROUND = json.loads(re.search(r"`\"background\": (\{.*?\})`", PAGE, re.DOTALL)[1])


def problems(lines, workspace):
    """The problems that VS Code shows: file, line, column, severity, code and message."""
    kind, prefix = MATCHER["fileLocation"]
    assert (kind, prefix) == ("autoDetect", "${workspaceFolder}")
    pattern, found = MATCHER["pattern"], []
    regexp = re.compile(pattern["regexp"], re.ASCII)  # in JavaScript too \d and \w are of ASCII
    for line in lines:
        match = regexp.search(line)
        if match is None:
            continue
        group = {key: match[place].strip() for key, place in pattern.items() if key != "regexp"}
        relative = workspace / group["file"].lstrip("/")
        file = relative if relative.exists() else Path(group["file"])
        place = (file, int(group["line"]), int(group["column"]))
        found.append((*place, MATCHER["severity"], group["code"], group["message"]))
    return found


def test_the_pattern_means_the_same_in_javascript():
    """No class, flag or group in which Python's regular expressions differ from JavaScript's."""
    assert not re.search(r"\(\?|\\[pPAZzbBsxu]|\[", MATCHER["pattern"]["regexp"].replace(r"\S", ""))
    assert set(MATCHER["pattern"]) == {"regexp", "file", "line", "column", "code", "message"}
    groups = re.compile(MATCHER["pattern"]["regexp"]).groups
    assert sorted(place for key, place in MATCHER["pattern"].items() if key != "regexp") == [*range(1, groups + 1)]


@pytest.mark.parametrize("name", ["model", "folder__inner model", "größe"])
@pytest.mark.parametrize("how", ["relative", "absolute"])
def test_a_finding_is_a_problem_at_its_place(command, tmp_path, monkeypatch, name, how):
    write(tmp_path, **{name: SILENT})
    file = tmp_path / f"{name.replace('__', '/')}.py"
    shown = str(file.relative_to(tmp_path)) if how == "relative" else str(file)
    done = command(shown)
    [found] = problems([*done.err.splitlines(), *done.lines], tmp_path)
    assert found[:5] == (file, 20, 25, "error", "scramble")
    assert found[5].startswith("`o.reshape(B, T, C)` in Attention.forward: a reshape of (batch=5, ")


def test_a_file_outside_of_the_workspace_is_an_absolute_path(command, tmp_path, monkeypatch):
    write(tmp_path, outer=SILENT)
    (tmp_path / "workspace").mkdir()
    monkeypatch.chdir(tmp_path / "workspace")
    [found] = problems(command("../outer.py").lines, tmp_path / "workspace")
    assert found[:2] == (tmp_path / "outer.py", 20)


def test_nothing_else_of_the_output_is_a_problem(command, tmp_path):
    prints = 'print("12:30:15: started")\nprint("a: b: c")\n'
    write(
        tmp_path,
        right=prints + RIGHT,
        varied=VARIED,
        broken="import dimtyped, nothing_there\n",
        syntax="import dimtyped\nx = (\n",
    )
    done = command("right.py", "varied.py", "broken.py", "syntax.py", "-v")
    found = problems([*done.err.splitlines(), *done.lines], tmp_path)
    assert [(file.name, line, code) for file, line, _, _, code, _ in found] == [
        ("varied.py", 23, "refused"),
        ("varied.py", 32, "refused"),
    ]
    assert "nothing_there" in done.err
    assert "12:30:15: started" in done.err


def test_each_check_of_watch_begins_and_ends_with_the_lines_that_the_page_names(command, tmp_path, monkeypatch):
    write(tmp_path, model=SILENT)

    def twice(once, say):
        for _ in range(2):
            say(f"watching {len(once())} file; Ctrl-C ends it")
        raise KeyboardInterrupt

    monkeypatch.setattr(check_command, "again_at_each_save", twice)
    done = command("model.py", "--watch")
    begins, ends = BACKGROUND["beginsPattern"], BACKGROUND["endsPattern"]
    marks = [
        "begins" if re.search(begins, line) else "ends"
        for line in done.err.splitlines()
        if re.search(f"{begins}|{ends}", line)
    ]
    assert marks == ["begins", "ends", "begins", "ends"]
    assert BACKGROUND["activeOnStart"] is True
