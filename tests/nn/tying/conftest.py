"""The ways in which torch replaces a module's parameters."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(params=["in place", "overwrite", "swap"])
def conversion(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each of the ways in which torch may replace a module's parameters."""
    torch.__future__.set_overwrite_module_params_on_conversion(request.param == "overwrite")
    torch.__future__.set_swap_module_params_on_conversion(request.param == "swap")
    yield request.param
    torch.__future__.set_overwrite_module_params_on_conversion(False)
    torch.__future__.set_swap_module_params_on_conversion(False)
