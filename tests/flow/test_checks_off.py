"""With checks off, annotations still name axes in check and watch, and the report says what is missing."""

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import DimSize, check, configure, nn, typed, watch
from dimtyped.runtime import mode


@pytest.fixture(autouse=True)
def checks_off():
    before = mode()
    configure("off")
    yield
    configure(before)


def encoder():
    class Encoder(nn.Module):
        def __init__(self, embed: DimSize, hidden: DimSize):
            super().__init__()
            self.gru = nn.GRU(embed, hidden)

        def run(self, x: Float[Tensor, "seq batch embed"]) -> Float[Tensor, "seq batch hidden"]:
            return self.gru(x)[0]

        def forward(self, x: Float[Tensor, "batch seq embed"]) -> Float[Tensor, "batch seq hidden"]:
            return self.run(x.transpose(0, 1))

    return Encoder


def told(report):
    return [note for note in report.notes if note.startswith("checks are off (DIMTYPED=off)")]


def test_a_result_that_does_not_fit_is_found_and_the_report_says_that_checks_are_off():
    report = check(encoder())
    assert [found.kind for found in report.findings] == ["refused"]
    assert "seq=7 where it says batch=5" in report.findings[0].message
    assert told(report)


def test_numbers_and_ranks_of_a_function():
    @typed
    def shorter(x: Float[Tensor, "batch 3 seq"]) -> Float[Tensor, "batch 4"]:
        return x.sum(1)

    @typed
    def flatter(x: Float[Tensor, "batch seq"]) -> Float[Tensor, "batch seq 1"]:
        return x

    assert "seq=7 where it says 4" in check(shorter).findings[0].message
    assert 'is annotated Float[..., "batch seq 1"]' in check(flatter).findings[0].message


def test_what_fits_is_not_found():
    @typed
    def fitting(x: Float[Tensor, "#batch *more seq"], y: Float[Tensor, "batch *more seq"]) -> Float[Tensor, "..."]:
        return (x * y).softmax(-1)

    report = check(fitting)
    assert report.ok
    assert told(report)


def test_watch_follows_methods_of_a_module():
    model = encoder()(embed=4, hidden=5)
    with watch() as report:
        model(torch.ones(3, 6, 4))
    assert "hidden=5" in str(report)
    assert told(report)
