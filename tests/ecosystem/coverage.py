"""Measures how many operators `check` follows in the models of each zoo, and writes docs/coverage.json.

`python -m tests.ecosystem.coverage` measures all zoos that are installed, `... timm` one of them. The others keep their figures.
"""

import importlib
import importlib.metadata
import json
import logging
import sys
import warnings
from pathlib import Path

import torch
from torch.testing._internal.common_methods_invocations import op_db

from tests.flow.test_rules_oracle import NO_RULE

FILE = Path(__file__).parents[2] / "docs" / "coverage.json"
ZOOS = {
    "torchvision": "tests.ecosystem.zoos.torchvision_models",
    "timm": "tests.ecosystem.zoos.timm_models",
    "transformers": "tests.ecosystem.zoos.transformers_models",
}


def measured(entry):
    """The figures of one model in all its modes."""
    reports = [entry.report(mode) for mode in entry.modes]
    followed, unfollowed = (
        sum((getattr(report, kind) for report in reports), start=type(reports[0].followed)())
        for kind in ("followed", "unfollowed")
    )
    kinds = sorted({finding.kind for report in reports for finding in report.findings})
    found = {"followed": followed.total(), "met": followed.total() + unfollowed.total()}
    return {
        **found,
        **({"unfollowed": dict(unfollowed)} if unfollowed else {}),
        **({"findings": kinds} if kinds else {}),
    }


def zoo(name):
    """The figures of a zoo; None where it is not installed."""
    try:
        entries = importlib.import_module(ZOOS[name]).ENTRIES
    except ImportError:
        return None
    versions = {package: importlib.metadata.version(package) for package in (name, "torch")}
    return {"versions": versions, "models": {str(entry): measured(entry) for entry in entries}}


def operators():
    """The figures over torch's own list of operators, each variant of one apart."""
    return {"torch": torch.__version__, "all": len(op_db), "without": {name: NO_RULE[name] for name in sorted(NO_RULE)}}


def main(names):
    found = {name: made for name in names or ZOOS if (made := zoo(name)) is not None}
    known = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"zoos": {}}
    zoos = {**known["zoos"], **found}
    result = {"operators": operators(), "zoos": {name: zoos[name] for name in ZOOS if name in zoos}}
    FILE.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    main(sys.argv[1:])
