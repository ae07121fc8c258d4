"""The output of `dimtyped check` that other programs read: JSON, annotations of GitHub, SARIF, an editor's list of places."""

import json
import re
from pathlib import Path

from dimtyped.flow import KINDS
from tests.cli.check.models import HEAD, SILENT, VARIED, write

ROOT = Path(__file__).parents[3]
LETTERS = HEAD + (
    """\
@typed
def größe(ä: Float[Tensor, "batch seq"]) -> Float[Tensor, "batch seq"]:
    é = "äöü"; return ä.softmax(0)
"""
)


def test_json_has_the_findings_what_was_checked_and_what_was_not(command, tmp_path):
    write(tmp_path, model=VARIED, silent=SILENT, broken="import dimtyped, nothing_there\n")
    done = command("model.py", "silent.py", "broken.py", "--format", "json")
    data = json.loads(done.out)
    assert data["ok"] is False
    assert [(found["kind"], found["line"]) for found in data["findings"]] == [
        ("refused", 23),
        ("refused", 32),
        ("scramble", 20),
    ]
    assert {each["name"]: each.get("skipped", "") for each in data["targets"]} == {
        "Mlp": "it needs `width`, which is not a DimSize: give --arg width=...",
        "Plain": 'its forward has no annotated tensor, such as x: Float[Tensor, "batch seq"]',
        **dict.fromkeys(["Torchs", "pool", "swap", "Attention"], ""),
    }
    assert data["failed"][0].startswith("broken.py does not import: ModuleNotFoundError")
    assert data["followed"]["reshape"] == 1


def test_columns_are_characters_and_begin_at_one(command, tmp_path):
    write(tmp_path, model=LETTERS)
    done = command("model.py", "-q")
    place, marks = done.lines[0], done.lines[2]
    assert place.startswith("model.py:9:23: mixing: ")
    assert LETTERS.splitlines()[8][22:] == "ä.softmax(0)"
    assert marks == " " * (4 + 18) + "^" * 12


def test_github_shows_an_annotation_for_each_finding(command, tmp_path):
    write(tmp_path, **{"a,b": SILENT, "model": LETTERS})
    done = command("a,b.py", "model.py", "--format", "github")
    assert done.lines[0].startswith(
        "::error file=a%2Cb.py,line=20,col=25,endColumn=43,title=dimtyped%3A scramble::`o.reshape(B, T, C)` in "
        "Attention.forward: a reshape of (batch=5, embed//12=2, seq=7, embed%2512=12)"
    )
    assert done.lines[0].endswith("%0Afix: o.transpose(1, 2).reshape(B, T, C)")
    assert done.lines[1].startswith("::error file=model.py,line=9,col=23,endColumn=35,title=dimtyped%3A mixing::")
    assert done.lines[2].startswith("1 class and 1 function checked; 2 findings; ")
    assert done.status == 1


def sarif(command, *targets):
    return json.loads(command(*targets, "--format", "sarif").out)["runs"][0]


def test_sarif_has_a_result_for_each_finding(command, tmp_path):
    write(tmp_path, **{"ä b": SILENT})
    run = sarif(command, "ä b.py")
    [result] = run["results"]
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "%C3%A4%20b.py", "uriBaseId": "SRCROOT"},
        "region": {"startLine": 20, "startColumn": 25, "endColumn": 43},
    }
    assert run["originalUriBaseIds"]["SRCROOT"]["uri"] == f"{tmp_path.as_uri()}/"
    assert run["columnKind"] == "unicodeCodePoints"
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == list(KINDS)
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "scramble"
    assert result["message"]["text"].endswith("\nfix: o.transpose(1, 2).reshape(B, T, C)")
    assert run["invocations"] == [{"executionSuccessful": True, "toolExecutionNotifications": []}]


def test_sarif_says_what_could_not_be_looked_at(command, tmp_path):
    write(tmp_path, model=VARIED, broken="import dimtyped, nothing_there\n")
    [invocation] = sarif(command, "model.py", "broken.py")["invocations"]
    assert invocation["executionSuccessful"] is False
    assert [each["level"] for each in invocation["toolExecutionNotifications"]] == ["error", "note", "note"]


def test_sarif_fits_its_schema(command, tmp_path):
    """Structure alone: what each object must have, and the kind of each value, by section 3 of the standard."""
    write(tmp_path, model=VARIED, silent=SILENT)
    output = json.loads(command("model.py", "silent.py", "--format", "sarif").out)
    assert set(output) == {"$schema", "version", "runs"}
    assert output["version"] == "2.1.0"
    for result in output["runs"][0]["results"]:
        assert result["level"] in ("none", "note", "warning", "error")
        region = result["locations"][0]["physicalLocation"]["region"]
        assert all(isinstance(value, int) and value >= 1 for value in region.values())
        assert set(region) <= {"startLine", "startColumn", "endColumn"}
        assert not re.search(r"[^\w./%~-]", result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])


def test_the_hook_for_pre_commit_runs_this_command():
    text = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    assert re.search(r"^  entry: dimtyped check --quiet$", text, re.MULTILINE)
    assert re.search(r"^  language: system ", text, re.MULTILINE)
