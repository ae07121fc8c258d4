"""The docstring of a layer: its own text, torch's on the arguments, and what its contract raises."""

from __future__ import annotations

import inspect
import pydoc
import re

import pytest
import torch

from dimtyped import nn
from dimtyped.nn.contract import layer_classes, torch_class_of
from dimtyped.nn.contract.documentation import LayerDoc

LAYERS = [cls for cls in layer_classes() if torch_class_of(cls) is not None]


@pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)
def test_every_argument_that_torch_explains_is_explained(cls: type[torch.nn.Module]) -> None:
    torchs, ours = inspect.getdoc(torch_class_of(cls)), inspect.getdoc(cls)
    for name in inspect.signature(cls.__init__).parameters:
        entry = re.compile(rf"^\s+{name}\b.*:", re.MULTILINE)
        assert entry.search(ours) or not entry.search(torchs), name
    assert ours.startswith("`torch.nn.")
    assert ours.count("Raises:") == ours.count("    DimensionError:") == 1
    assert "Examples:" not in ours  # torch's own, which are not of typed layers


@pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)
def test_help_shows_no_contract(cls: type[torch.nn.Module]) -> None:
    text = pydoc.plain(pydoc.render_doc(cls))
    line = next(line for line in text.splitlines() if "contract = " in line)
    assert line.strip(" |").startswith("contract = <Contract of ")
    assert "Shaped[" not in text


def test_the_whole_text_of_a_layer() -> None:
    text = inspect.getdoc(nn.BatchNorm1d)
    before, raises = text.split("Raises:\n")
    assert "`num_features` may be a Dim." in before
    assert "momentum: the value used for the running_mean" in before
    assert raises.splitlines() == [
        "    DeclarationError: at construction, for a size that is not an int of 0 or more.",
        "    DimensionError: at a call that does not fit; also a ValueError, as torch's.",
        "        Also rejected: one value of each channel, which has no variance: a last batch of one item, in training.",
        "    TyingError: at the assignment of a parameter whose shape is not the declared one.",
    ]


def test_an_error_that_the_layer_explains_itself_is_not_explained_twice() -> None:
    text = inspect.getdoc(nn.TiedDecoder)
    assert text.count("TyingError:") == 1
    assert "hidden is not its width" in text
    text = inspect.getdoc(nn.GRU)
    assert "state_from: The recurrent layer" in text
    assert "batch_first: If ``True``" in text
    assert "StateError: at construction" in text


def test_without_docstrings_there_is_none() -> None:
    class Layer(nn.Linear):
        __doc__ = LayerDoc(None, has_parameters=True)  # as under `python -OO`

    assert Layer.__doc__ is None


def test_a_users_subclass_has_its_own() -> None:
    class Own(nn.Linear):
        """Mine."""

    class Bare(nn.Linear):
        pass

    assert Own.__doc__ == "Mine."
    assert inspect.getdoc(Bare) == inspect.getdoc(nn.Linear)
