import dataclasses

from jaxtyping import Shaped
from torch import Tensor

from dimtyped import nn
from dimtyped.cli import layer_table
from dimtyped.cli.main import main


def test_every_typed_layer_is_in_the_table():
    listed = {name: getattr(nn, name) for name in dir(nn)}
    typed = {name for name, value in listed.items() if isinstance(value, type) and hasattr(value, "contract")}
    in_rows = {name for row in layer_table.rows() for name in row.layers}
    assert {name for name in typed if not name.startswith("Lazy")} == in_rows


def test_a_row_tells_what_goes_in_what_comes_out_and_the_parameters():
    rows = {row.layers: row for row in layer_table.rows()}
    conv = rows["Conv1d", "Conv2d", "Conv3d"]
    assert conv.takes == ("input ([batch], in_channels, *space)",)
    assert conv.gives == "([batch], out_channels, *out_space)"
    assert conv.parameters == ("weight (out_channels, in_channels//groups, *kernel)", "bias (out_channels)")


def test_a_changed_contract_shows(monkeypatch):
    form = dataclasses.replace(nn.Linear.contract.last_usual, output=Shaped[Tensor, "... classes"])
    changed = dataclasses.replace(nn.Linear.contract, calls=(form,))
    monkeypatch.setattr(nn.Linear, "contract", changed)
    assert next(row.gives for row in layer_table.rows() if row.layers == ("Linear",)) == "(..., classes)"


def test_the_command_prints_the_layers(capsys):
    assert main(["layers"]) == 0
    assert capsys.readouterr().out.startswith(
        "Linear\n    takes       input (..., in_features)\n    gives       (..., out_features)\n"
        "    parameters  weight (out_features, in_features)\n                bias (out_features)\n"
    )
