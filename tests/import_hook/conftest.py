"""Either engine, for the tests of this folder too."""

from tests.engine.conftest import engine as engine  # noqa: PLC0414  # pytest finds it here
