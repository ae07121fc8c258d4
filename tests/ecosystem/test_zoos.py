"""`check` finds nothing in models that others wrote: a sample of the zoos whose figures docs/coverage.json has."""

import dataclasses
import importlib
import json

import pytest
import torch

from dimtyped.flow import KINDS
from tests.ecosystem.coverage import FILE, ZOOS, operators

SAMPLE = {
    "torchvision": ("resnet18", "shufflenet_v2_x0_5", "swin, small windows", "maxvit"),
    "timm": ("test_vit_relpos", "test_convnext", "xcit_nano_12_p8_224"),
    "transformers": ("deberta", "mamba", "qwen3_moe", "t5", "segformer", "wav2vec2"),
}
RIGHT = {"csatv2": ["degenerate", "mixing"], "swiftformer": ["degenerate"]}
COVERAGE = json.loads(FILE.read_text(encoding="utf-8"))
pytestmark = [
    pytest.mark.any_engine,
    pytest.mark.filterwarnings("ignore"),  # what these libraries say of their own settings
]


def entries(zoo):
    # torchvision's operators raise RuntimeError where it was built for another torch
    pytest.importorskip(zoo, reason="not installed", exc_type=(ImportError, RuntimeError))
    return {str(entry): entry for entry in importlib.import_module(ZOOS[zoo]).ENTRIES}


@pytest.mark.parametrize(("zoo", "name"), [(zoo, name) for zoo, names in SAMPLE.items() for name in names])
def test_nothing_is_found(zoo, name):
    entry = entries(zoo)[name]
    reports = {mode: entry.report(mode) for mode in entry.modes}
    assert not [str(report) for report in reports.values() if not report.ok]
    assert not any(report.unfollowed for report in reports.values())
    assert sum(sum(report.followed.values()) for report in reports.values()) > 50


def test_a_bug_in_such_a_model_would_be_found():
    class Mixed(torch.nn.Module):
        def forward(self, **inputs):
            return inputs["input_ids"].float().softmax(0)

    entry = entries("transformers")["t5"]
    report = dataclasses.replace(entry, make=Mixed).report("eval")
    assert [found.kind for found in report.findings] == ["mixing"]


@pytest.mark.parametrize("zoo", ZOOS)
def test_the_committed_figures_are_of_the_models_of_today_and_have_no_false_finding(zoo):
    models = COVERAGE["zoos"][zoo]["models"]
    assert {name: model["findings"] for name, model in models.items() if "findings" in model} == {
        name: kinds for name, kinds in RIGHT.items() if name in models
    }
    assert len(models) >= 40
    assert {kind for kinds in RIGHT.values() for kind in kinds} <= set(KINDS)
    assert all(0 < model["followed"] <= model["met"] for model in models.values())
    assert list(entries(zoo)) == list(models), "python -m tests.ecosystem.coverage"


def test_the_committed_figures_over_op_db_are_those_of_today():
    if operators()["torch"].split("+")[0] == COVERAGE["operators"]["torch"].split("+")[0]:
        assert operators()["without"] == COVERAGE["operators"]["without"]
