"""Functions that a reloader gives the code of a new definition, as IPython's `%autoreload` does."""

import gc
import importlib
import inspect
import itertools
import subprocess
import sys
import types
import weakref

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from dimtyped import DimensionError, DimSize, configure, nn, typed, unchecked
from dimtyped.engine import entry_of, reloading
from dimtyped.engine.reloading import make_wrapper
from dimtyped.nn.contract import layer_classes
from dimtyped.nn.functions import checked_functions
from dimtyped.runtime import mode

SOURCE = """
import dataclasses
import torch
from torch import Tensor
from jaxtyping import Float
from dimtyped import assert_dims, nn, typed

@typed
def scaled(x: Float[Tensor, "batch width"], by: float = {value}) -> Float[Tensor, "batch width"]:
    return torch.ones_like(x) * by

@typed
def asserted(x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch"]:
    rows = assert_dims(x[:, 0], Float[Tensor, "batch"])
    return torch.ones_like(rows) * {value}

class Box:
    @typed
    def method(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        return torch.ones_like(x) * {value}

@typed
@dataclasses.dataclass
class Pair:
    x: Float[Tensor, "batch width"]
    y: Float[Tensor, "batch {axis}"]
    def total(self) -> Float[Tensor, "batch width"]:
        return torch.ones_like(self.x) * {value}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        return torch.ones_like(x) * {value}

made_on_import = Net()
called_on_import = scaled(torch.ones(1, 1))
"""
_ATTRIBUTES = ("__code__", "__defaults__", "__doc__", "__dict__", "__kwdefaults__", "__annotations__")
X = torch.ones(2, 3)


def _give(old: object, new: object) -> None:
    """What reloaders do to what is held of the old definition: functions in place, classes member by member."""
    if isinstance(old, types.FunctionType) and isinstance(new, types.FunctionType):
        for name in _ATTRIBUTES:
            setattr(old, name, getattr(new, name))
    elif isinstance(old, type) and isinstance(new, type):
        for name, member in list(vars(old).items()):
            if isinstance(member, types.FunctionType):
                _give(member, vars(new)[name])


class _Library:
    """A module that is edited and reloaded, and what its user has imported from it at first."""

    def __init__(self, folder, monkeypatch, name):
        self.path = folder / f"{name}.py"
        self.write(1.0)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        self.module = importlib.import_module(name)
        self.held = dict(vars(self.module))
        self.box, self.net = self.module.Box(), self.module.Net()

    def write(self, value, axis="width"):
        self.path.write_text(SOURCE.format(value=value, axis=axis))

    def edit(self, value, axis="width"):
        before = dict(vars(self.module))
        self.write(value, axis)
        importlib.invalidate_caches()
        importlib.reload(self.module)
        for name, new in vars(self.module).items():
            for old in (self.held.get(name), before.get(name)):
                if old is not new:
                    _give(old, new)

    def values(self):
        held = self.held
        results = {
            "scaled": held["scaled"](X),
            "asserted": held["asserted"](X),
            "method": self.box.method(X),
            "total": held["Pair"](X, X).total(),
            "net": self.net(X),
            "made_on_import": held["made_on_import"](X),
            "new": self.module.scaled(X),
        }
        return {name: float(result.flatten()[0]) for name, result in results.items()}


@pytest.fixture
def library(tmp_path, monkeypatch, request):
    name = f"edited_{abs(hash(request.node.name))}"
    yield _Library(tmp_path, monkeypatch, name)
    sys.modules.pop(name, None)


@pytest.mark.parametrize("called", [True, False], ids=["called before", "not called before"])
def test_every_edit_is_what_runs(library, called):
    if called:
        assert set(library.values().values()) == {1.0}
    for value in (2.0, 3.0, 4.0):
        library.edit(value)
        assert set(library.values().values()) == {value}
        assert set(library.values().values()) == {value}, "the second call, which runs the compiled check"


def test_calls_are_checked_after_an_edit(library):
    library.values()
    library.edit(2.0, axis="2*width")
    pair = library.held["Pair"]
    pair(X, torch.ones(2, 6))
    with pytest.raises(DimensionError, match="y"):
        pair(X, X)
    with pytest.raises(DimensionError, match="must have 2 axes|has 1 axis|2 axes"):
        library.held["scaled"](torch.ones(3))
    with pytest.raises(DimensionError):
        library.net(torch.ones(3))


def test_functions_of_one_name_do_not_share_what_they_were_given():
    """The same name twice in one file, as a property and its setter have: both go on with their own code."""
    made = []
    for value in (1.0, 2.0):
        namespace = {"__name__": "of_one_name"}
        exec(SOURCE.format(value=value, axis="width"), namespace)
        made.append(namespace["scaled"])
    assert [float(function(X)[0, 0]) for function in made] == [1.0, 2.0]
    assert [float(function(X)[0, 0]) for function in made] == [1.0, 2.0]


def test_the_functions_of_a_module_that_is_gone_are_freed():
    module = types.ModuleType("gone")
    sys.modules[module.__name__] = module
    exec(SOURCE.format(value=1.0, axis="width"), module.__dict__)
    module.scaled(X)
    module.Net()(X)
    found = [weakref.ref(module.scaled), weakref.ref(module.Net.forward)]
    del sys.modules[module.__name__], module
    gc.collect()
    assert [each() for each in found] == [None, None]


def test_the_layers_checks_of_an_earlier_mode_are_freed():
    before = mode()
    configure("off"), configure(before)  # a wrapper that no other test has seen
    first = weakref.ref(nn.Linear.forward)
    configure("off"), configure(before)
    gc.collect()
    assert first() is None
    with pytest.raises(DimensionError):
        nn.Linear(3, 3)(torch.ones(2, 4))


class Wide(nn.Module):
    def __init__(self, width: DimSize):
        super().__init__()
        self.width = width

    def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        return x


class Deep(Wide):
    """Its modules declare other names, so they have a check of their own, beside the wrapper's."""

    def __init__(self, width: DimSize, rows: DimSize):
        super().__init__(width)
        self.rows = rows


def switch_off_and_on(models):
    with unchecked(Wide.forward):
        models[0](torch.ones(1, 4))
    for model in models:
        with pytest.raises(DimensionError):
            model(torch.ones(1, 4))
    gc.collect()
    return len(Wide.forward.__globals__)


def test_checks_that_are_switched_off_and_on_again_add_no_names_each_time():
    models = Wide(3), Deep(3, 2)
    first = switch_off_and_on(models)
    assert [switch_off_and_on(models) for _ in range(3)] == [first] * 3


def test_two_functions_of_one_module_have_their_own_checks():
    names = {"__name__": "two"}
    source = "from dimtyped import typed\nfrom jaxtyping import Float\nfrom torch import Tensor\n" + "".join(
        f"@typed\ndef f{axes}(x: Float[Tensor, '{axes} width'] | list) -> int:\n    return {axes}\n" for axes in (1, 2)
    )
    exec(source, names)
    assert [names["f1"](torch.ones(1, 3)), names["f2"](torch.ones(2, 3))] == [1, 2]
    for name, rows in (("f1", 2), ("f2", 1)):
        with pytest.raises(DimensionError):
            names[name](torch.ones(rows, 3))


def trace(x: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    return x.trace()


def wrapped_again() -> weakref.ref[types.FunctionType]:
    again = typed(trace)
    again(torch.ones(2, 2))
    return weakref.ref(again)


def test_a_function_that_is_wrapped_again_and_again_keeps_none_of_its_wrappers():
    kept = typed(trace)
    found = [wrapped_again() for _ in range(3)]
    gc.collect()
    assert [each() for each in found] == [None, None, None]
    with pytest.raises(DimensionError):
        kept(torch.ones(2, 3))


class TestGlobalsOfLayers:
    def test_each_layer_shares_them_in_whatever_order_they_are_made(self):
        """They are one dictionary as long as no two modules of layers mean different things by a name."""
        functions = [vars(layer).get("forward") for layer in layer_classes()] + list(checked_functions().values())
        checked = {
            inspect.unwrap(function).__module__: entry_of(function) for function in functions if entry_of(function)
        }
        known = [entry.declaration.rules.extra_globals(entry.declaration.function) for entry in checked.values()]
        assert len(known) > 15
        for one, other in itertools.combinations(known, 2):
            assert {name for name in one.keys() & other.keys() if one[name] is not other[name]} == set()

    def test_each_layer_shares_them_where_a_function_is_made_first(self):
        code = """
from dimtyped import nn
made = nn.functional.linear
layers = nn.Embedding, nn.Linear, nn.LayerNorm, nn.TiedDecoder, nn.MaxUnpool1d
print(len({id(layer.forward.__globals__) for layer in layers}))
"""
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert run.stdout.strip() == "1", run.stderr

    def test_they_stay_when_the_first_layer_has_gone(self, monkeypatch):
        monkeypatch.setattr(reloading, "_of_layers", {})
        made = [self.wrapper_of(layer.forward) for layer in (torch.nn.ReLU, torch.nn.GELU)]
        shared = made.pop().__globals__
        assert made.pop().__globals__ is shared
        gc.collect()
        assert self.wrapper_of(torch.nn.SELU.forward).__globals__ is shared

    def test_they_are_those_of_all_layers_after_changes_of_the_mode(self):
        """With "values" an embedding checks another function of that name, which the collector finds late."""
        layers = nn.Embedding, nn.EmbeddingBag, nn.Linear
        for each in ("values", mode()):
            former = [entry_of(layer.forward).wrapper for layer in layers]  # a layer that is switched off has another
            configure(each)
            shared = {id(entry_of(layer.forward).wrapper.__globals__) for layer in layers}
            assert len(shared) == 1
            assert not shared & {id(wrapper.__globals__) for wrapper in former}

    def test_a_layer_of_others_has_those_of_its_module(self):
        assert self.wrapper_of(wraps_a_layer).__globals__ is not self.wrapper_of(torch.nn.ReLU.forward).__globals__

    @staticmethod
    def wrapper_of(function):
        return make_wrapper((lambda: None).__code__, {}, function, is_users=False)


def wraps_a_layer(layer, x):
    return layer(x)
