import os
import subprocess
import sys

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

import dimtyped
from dimtyped import nn


class Annotated(nn.Module):
    def forward(self, x: Float[Tensor, "batch embed"]) -> Float[Tensor, "batch embed"]:
        return x


class Bare(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Foreign(torch.nn.Linear):
    """A subclass by another."""


def state_of(module: torch.nn.Module) -> tuple[str, str]:
    [row] = [row for row in dimtyped.status(torch.nn.Sequential(module)).rows if row.path == "0"]
    return row.state, row.why


@pytest.mark.parametrize(
    ("module", "state", "why"),
    [
        (nn.Linear(2, 2), "checked", ""),
        (nn.GRU(2, 2), "checked", ""),
        (
            nn.TiedDecoder(nn.Embedding(3, 2)),
            "checked",
            "its weight is declared to be that of a layer outside this model",
        ),
        (Annotated(), "checked", ""),
        (Bare(), "skipped", "forward is not annotated"),
        (torch.nn.Linear(2, 2), "skipped", "a plain torch layer; dimtyped.retype(model) types it"),
        (Foreign(2, 2), "skipped", "a subclass of Linear, whose contract is not known"),
        (torch.nn.LazyLinear(2), "skipped", "a plain torch layer; dimtyped.retype(model) types it"),
        (nn.LazyLinear(2), "skipped", "its sizes are not known yet; it is typed at its first call"),
        (
            torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(2, 2)),
            "skipped",
            "a Linear whose parameters are computed; dimtyped.retype(model) types it before that",
        ),
        (torch.nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), "checked", ""),
        (torch.nn.ReLU(), "free", "keeps the shape of its input"),
        (torch.nn.GLU(), "skipped", "halves an axis; only torch checks that it is even"),
        (torch.compile(nn.Linear(2, 2), backend="eager"), "free", "compiles its module and passes it through"),
        (torch.nn.DataParallel(nn.Linear(2, 2)), "free", "passes its layers through"),
        (nn.Sequential(), "free", "passes its layers through"),
    ],
)
def test_each_module_is_told(module: torch.nn.Module, state: str, why: str) -> None:
    assert state_of(module) == (state, why)


def test_a_forward_that_was_replaced_on_the_instance_is_not_called_checked() -> None:
    layer = nn.Linear(2, 2)
    layer.forward = lambda input: input  # type: ignore[method-assign]  # what hooks of other libraries do
    assert state_of(layer) == (
        "skipped",
        "its forward was replaced on the instance, so its checks are unknown",
    )


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_what_torchscript_runs_is_not_called_checked() -> None:
    scripted = torch.jit.script(nn.Linear(2, 2))
    assert state_of(scripted) == ("skipped", "TorchScript runs torch's own code of it, without checks")


def test_every_module_of_a_model_has_a_row() -> None:
    model = torch.nn.Transformer(8, 2, 1, 1, 8, batch_first=True)
    found = dimtyped.status(model)
    assert [row.path for row in found.rows] == [name or "(model)" for name, _ in model.named_modules()]
    assert sum(found.totals.values()) == len(found.rows)


def test_off_is_told() -> None:
    code = "import dimtyped; dimtyped.status(dimtyped.nn.Linear(2, 2))"
    environment = {**os.environ, "DIMTYPED": "off"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "off: DIMTYPED is off" in done.stdout
