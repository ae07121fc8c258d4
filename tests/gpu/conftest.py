"""Every test here needs a CUDA device: without one it is skipped, or fails where DIMTYPED_REQUIRE_GPU=1."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import dimtyped

_WHY = "torch.cuda.is_available() is False: no CUDA device, or a torch built without CUDA"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            item.add_marker(pytest.mark.filterwarnings("default"))  # CUDA's and inductor's depend on the machine


@pytest.fixture(scope="session")
def gpu() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    if os.environ.get("DIMTYPED_REQUIRE_GPU") == "1":
        pytest.fail(f"DIMTYPED_REQUIRE_GPU=1, but {_WHY}")
    pytest.skip(_WHY)


@pytest.fixture(autouse=True)
def _checks_on() -> Iterator[None]:
    before = dimtyped.runtime.config.mode()
    dimtyped.configure("on")
    yield
    dimtyped.configure(before)
