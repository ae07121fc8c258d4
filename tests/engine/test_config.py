import os
import subprocess
import sys

import jaxtyping
import pytest

from dimtyped import DeclarationError, configure
from dimtyped.runtime import config as _config

pytestmark = pytest.mark.any_engine
MODES = ["on", "off", "reference", "values"]


def imported_with(**environment: str) -> subprocess.CompletedProcess[str]:
    """Imports dimtyped in a process of its own and prints the mode."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("DIMTYPED", "JAXTYPING_DISABLE")}
    code = "import dimtyped; from dimtyped.runtime.config import mode; print(mode())"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=inherited | environment, capture_output=True, text=True, check=False)


@pytest.fixture
def restored(monkeypatch):
    """Puts the mode and the callbacks back."""
    monkeypatch.setattr(_config, "_chosen", _config._chosen)
    monkeypatch.setattr(_config, "_callbacks", [])


@pytest.mark.parametrize(
    ("environment", "mode"),
    [
        pytest.param({}, "on", id="unset"),
        pytest.param({"DIMTYPED": "  "}, "on", id="blank"),
        pytest.param({"DIMTYPED": " Reference "}, "reference", id="case and blanks"),
        pytest.param({"DIMTYPED": "values"}, "values", id="values"),
        pytest.param({"DIMTYPED": "off"}, "off", id="off"),
        pytest.param({"JAXTYPING_DISABLE": "1", "DIMTYPED": "reference"}, "off", id="jaxtyping off"),
    ],
)
def test_the_environment_chooses_the_mode(environment, mode):
    done = imported_with(**environment)
    assert (done.stdout, done.stderr) == (f"{mode}\n", "")


def test_a_wrong_value_in_the_environment_stops_the_import_and_lists_the_right_ones():
    done = imported_with(DIMTYPED="fast")
    assert (done.returncode, done.stdout) == (1, "")
    assert "dimtyped.DeclarationError: the environment variable DIMTYPED is 'fast', must be one of" in done.stderr
    listed = [line.split()[0] for line in done.stderr.splitlines()[-4:]]
    assert listed == MODES


@pytest.mark.usefixtures("restored")
class TestConfigure:
    @pytest.mark.parametrize("mode", MODES)
    def test_sets_the_mode(self, mode):
        configure(mode)
        assert _config.mode() == mode

    def test_ignores_case_and_blanks(self):
        configure(" OFF ")
        assert _config.mode() == "off"

    @pytest.mark.parametrize("wrong", ["fast", "", "1", None, True])
    def test_refuses_another_mode_and_keeps_the_old_one(self, wrong):
        configure("values")
        with pytest.raises(
            DeclarationError, match=rf"^the mode given to configure\(\) is {wrong!r}, must be one of\n"
        ) as caught:
            configure(wrong)
        assert caught.value.expected == tuple(MODES)
        assert caught.value.actual == str(wrong)
        assert _config.mode() == "values"

    def test_calls_back_after_each_change(self):
        seen = []
        _config.on_change(lambda: seen.append(_config.mode()))
        configure("off")
        configure("on")
        assert seen == ["off", "on"]

    def test_a_refused_mode_calls_nothing_back(self):
        seen = []
        _config.on_change(lambda: seen.append(_config.mode()))
        with pytest.raises(DeclarationError, match="fast"):
            configure("fast")
        assert seen == []

    def test_stays_off_while_jaxtyping_is_off(self, monkeypatch):
        monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        configure("on")
        assert _config.mode() == "off"
