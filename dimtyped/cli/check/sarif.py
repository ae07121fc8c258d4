"""The findings as SARIF 2.1.0, which code scanning services and editors read."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dimtyped.cli.check.places import region_of
from dimtyped.cli.check.results import Results
from dimtyped.flow import KINDS, Finding

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ROOT = "SRCROOT"


def sarif_of(results: Results) -> dict[str, Any]:
    """The log of one run, as data that `json.dumps` takes."""
    run = {
        "tool": {"driver": _driver()},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {_ROOT: {"uri": f"{Path.cwd().as_uri()}/"}},
        "invocations": [_invocation(results)],
        "results": [_result(finding) for finding in results.findings],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _driver() -> dict[str, Any]:
    rules = [{"id": kind, "shortDescription": {"text": text}} for kind, text in KINDS.items()]
    try:
        version = {"version": importlib.metadata.version("dimtyped")}
    except importlib.metadata.PackageNotFoundError:  # it is run from a folder, and not installed
        version = {}
    return {"name": "dimtyped", **version, "rules": rules}


def _invocation(results: Results) -> dict[str, Any]:
    failed = [{"level": "error", "message": {"text": str(error)}} for error in results.failed]
    skipped = [
        {"level": "note", "message": {"text": f"skipped {each.file}:{each.name}: {each.skipped}"}}
        for each in results.skipped
    ]
    return {"executionSuccessful": not failed, "toolExecutionNotifications": [*failed, *skipped]}


def _result(finding: Finding) -> dict[str, Any]:
    text = f"{finding.message}\nfix: {finding.fix}" if finding.fix else finding.message
    place = {
        "physicalLocation": {"artifactLocation": _artifact(finding.file), "region": _region(finding)},
        "logicalLocations": [{"fullyQualifiedName": finding.where}],
    }
    return {
        "ruleId": finding.kind,
        "ruleIndex": list(KINDS).index(finding.kind),
        "level": "error",
        "message": {"text": text},
        "locations": [place],
    }


def _artifact(file: str) -> dict[str, str]:
    path = Path(file)
    if path.is_relative_to(Path.cwd()):
        return {"uri": quote(path.relative_to(Path.cwd()).as_posix()), "uriBaseId": _ROOT}
    return {"uri": path.resolve().as_uri()}


def _region(finding: Finding) -> dict[str, int]:
    region = region_of(finding)
    end = {"endColumn": region.end_column} if region.end_column else {}
    return {"startLine": region.line, "startColumn": region.column, **end}
