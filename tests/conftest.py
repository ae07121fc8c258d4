"""The effort of the property tests is chosen by HYPOTHESIS_PROFILE: dev (the default), ci or thorough.

`ci` draws the same examples each time, so that a change is judged by what it changes; `dev` looks for new ones.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread a test worker, set before torch is imported
if "torch" in sys.modules:  # by another's pytest plugin
    sys.modules["torch"].set_num_threads(1)

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True, print_blob=True)
settings.register_profile("thorough", max_examples=100_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

# Tests in which no engine takes part, so that one run of them is enough.
_WITHOUT_ENGINE = tuple(
    Path(__file__).parent / place for place in ("test_rooms.py", "flow", "ecosystem", "cli", "nn/tying/test_loading.py")
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(item.path == place or place in item.path.parents for place in _WITHOUT_ENGINE):
            item.add_marker(pytest.mark.any_engine)


@pytest.fixture(autouse=True)
def state_as_before() -> Iterator[None]:
    """A test that leaves another mode or default behind would change those that run after it in the same worker."""
    before = _state()
    yield
    assert _state() == before, "the test did not restore them"


def _state() -> dict[str, Any]:
    import torch  # after the environment is set

    from dimtyped.runtime import config

    return {
        "configure": config._chosen,
        "jaxtyping_disable": config._jaxtyping.jaxtyping_disable,
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "grad mode": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
    }
