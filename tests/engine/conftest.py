"""Either engine, whatever DIMTYPED says: for tests that decorate their functions themselves."""

from collections.abc import Iterator

import pytest

from dimtyped import configure
from dimtyped.runtime import config as _config


@pytest.fixture(params=["on", "reference"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _config._chosen
    configure(request.param)
    yield request.param
    configure(before)
