"""A typed layer in place of torch's: the same in everything that the code around it can see."""

import ast
import copy
import importlib
import inspect
import io
import json
import pickle
import types
import warnings
from pathlib import Path

import cloudpickle
import pytest
import torch
from torch.nn.utils import parametrizations, prune

import dimtyped.nn
from dimtyped import DeclarationError, Dim, DimensionError, dims, nn
from tests.helpers.layer_cases import CASES, FIRST_CASES, TYPED, Case, floats, ids

pytestmark = [  # what torch's own layers warn of just the same
    pytest.mark.filterwarnings("ignore:Initializing zero-element tensors"),
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
]
each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_kind = pytest.mark.parametrize("case", FIRST_CASES, ids=lambda case: case.kind)


def assert_same(ours, theirs):
    """Bit for bit, in structures of tensors."""
    if isinstance(theirs, torch.Tensor):
        assert type(ours) is type(theirs)
        assert (ours.dtype, ours.shape, ours.requires_grad) == (theirs.dtype, theirs.shape, theirs.requires_grad)
        assert torch.equal(ours, theirs)
        return
    assert type(ours) is type(theirs)
    if isinstance(theirs, tuple):
        for our_part, their_part in zip(ours, theirs, strict=True):
            assert_same(our_part, their_part)
    else:
        assert ours == theirs


def plain_attributes(layer: torch.nn.Module) -> dict:
    return {
        name: value
        for name, value in vars(layer).items()
        if isinstance(value, int | float | str | None) and not name.startswith("__")
    }


def summed(output) -> torch.Tensor:
    while not isinstance(output, torch.Tensor):
        output = output[0]
    return output.sum()


# The layer ------------------------------------------------------------------------------------------------------------


@each_case
@pytest.mark.parametrize("make", [Case.typed, Case.named], ids=["ints", "dims"])
class TestTheSameAsTorch:
    def test_attributes_and_their_types(self, case, make):
        ours, theirs = plain_attributes(make(case)), plain_attributes(case.torch())
        assert {name: (type(value), value) for name, value in ours.items()} == {
            name: (type(value), value) for name, value in theirs.items()
        }

    def test_initial_values_and_keys(self, case, make):
        ours, theirs = make(case).state_dict(), case.torch().state_dict()
        assert list(ours) == list(theirs)
        for name, value in theirs.items():
            assert_same(ours[name], value)

    def test_output(self, case, make):
        assert_same(case.call(make(case)), case.call(case.torch()))

    def test_gradients(self, case, make):
        ours, theirs = make(case), case.torch()
        for layer in (ours, theirs):
            output = summed(case.call(layer))
            if output.requires_grad:
                output.backward()
        for parameter, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert (parameter.grad is None) == (expected.grad is None)
            if expected.grad is not None:
                assert_same(parameter.grad.to_dense(), expected.grad.to_dense())


@each_case
def test_the_same_in_evaluation(case):
    with torch.inference_mode():
        assert_same(case.call(case.typed().eval()), case.call(case.torch().eval()))


@each_case
@pytest.mark.parametrize("dump", [pickle.dumps, cloudpickle.dumps], ids=["pickle", "cloudpickle"])
def test_pickles(case, dump):
    layer = case.named()
    loaded = pickle.loads(dump(layer))
    assert type(loaded) is type(layer)
    assert repr(loaded) == repr(layer)
    assert_same(case.call(loaded), case.call(case.torch()))


@each_case
@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy])
def test_copies(case, copied):
    layer = case.named()
    other = copied(layer)
    assert repr(other) == repr(layer)
    assert_same(case.call(other), case.call(case.torch()))


@each_case
def test_loads_what_torch_has_saved_and_the_other_way_round(case):
    ours, theirs = case.typed(seed=1), case.torch(seed=2)
    saved = io.BytesIO()
    torch.save(theirs.state_dict(), saved)
    saved.seek(0)
    ours.load_state_dict(torch.load(saved))
    assert_same(case.call(ours), case.call(theirs))
    case.torch(seed=3).load_state_dict(ours.state_dict())


@each_kind
class TestSeenFromOutside:
    def test_is_an_instance_and_a_subclass_of_torchs(self, case):
        assert isinstance(case.typed(), getattr(torch.nn, case.kind))
        assert case.typed()._get_name() == case.kind

    def test_sizes_go_to_json(self, case):
        assert json.dumps(plain_attributes(case.named())) == json.dumps(plain_attributes(case.torch()))

    def test_torchs_own_repr_where_nothing_is_named(self, case):
        assert repr(case.typed()) == repr(case.torch())

    def test_repr_shows_names(self, case):
        first, second = (Dim(name, size).__repr__() for name, size in zip(("x", "y"), case.sizes, strict=False))
        layer = getattr(nn, case.kind)(*dims(x=case.sizes[0], y=case.sizes[1]))
        assert repr(layer).startswith(f"{case.kind}({first} -> {second}")

    def test_forward_called_directly_is_the_same(self, case):
        theirs, inputs = case.torch(), case.inputs()
        assert_same(case.typed().forward(*inputs), theirs.forward(*inputs))

    def test_forward_called_directly_is_checked(self, case):
        with pytest.raises(DimensionError):
            case.typed().forward(floats(2, 2, 9))

    def test_arguments_by_keyword(self, case):
        assert_same(case.typed()(input=case.inputs()[0]), case.torch()(input=case.inputs()[0]))

    def test_forward_has_torchs_signature(self, case):
        ours, theirs = getattr(nn, case.kind).forward, getattr(torch.nn, case.kind).forward
        assert inspect.signature(ours) == inspect.signature(theirs)
        assert ours.__qualname__ == theirs.__qualname__

    def test_hooks_run(self, case):
        seen = []
        layer = case.typed()
        layer.register_forward_pre_hook(lambda *_: seen.append("before"))
        layer.register_forward_hook(lambda *_: seen.append("after"))
        case.call(layer)
        assert seen == ["before", "after"]

    def test_on_the_meta_device(self, case):
        layer = getattr(nn, case.kind)(*case.sizes, device="meta")
        output = layer(*(value.to("meta") for value in case.inputs()))
        assert summed(output).is_meta
        with pytest.raises(DimensionError):
            layer(floats(2, 2, 9).to("meta"))

    def test_skip_init(self, case):
        arguments = {"Linear": ("in_features", "out_features"), "Embedding": ("num_embeddings", "embedding_dim")}
        names = arguments.get(case.kind, ("input_size", "hidden_size"))
        if names == ("input_size", "hidden_size"):  # torch's own take *args, so torch cannot skip their init
            layer = torch.nn.utils.skip_init(getattr(nn, case.kind), *dims(a=3, b=4))
        else:
            layer = torch.nn.utils.skip_init(getattr(nn, case.kind), **dict(zip(names, dims(a=3, b=4), strict=True)))
        assert not next(layer.parameters()).is_meta
        assert repr(layer).startswith(f"{case.kind}(a=3 -> b=4")

    def test_functional_call(self, case):
        layer, other = case.typed(), case.torch(seed=5)
        output = torch.func.functional_call(layer, dict(other.named_parameters()), case.inputs())
        assert_same(output, case.call(other))
        assert_same(case.call(layer), case.call(case.torch()))

    @pytest.mark.filterwarnings("ignore:.torch.jit.trace")
    def test_a_jit_trace_is_torchs(self, case):
        with warnings.catch_warnings():
            if case.kind not in ("Linear", "Embedding"):  # torch's own RNNs are warned of too
                warnings.simplefilter("ignore", torch.jit.TracerWarning)
            ours = torch.jit.trace(case.typed(), case.inputs())
            theirs = torch.jit.trace(case.torch(), case.inputs())
        assert_same(ours(*case.inputs()), case.call(case.torch()))
        assert str(ours.inlined_graph).count("=") == str(theirs.inlined_graph).count("=")

    @pytest.mark.parametrize("copied", [lambda layer: layer, copy.deepcopy], ids=["made", "copied"])
    def test_torch_fx_keeps_it_as_a_leaf(self, case, copied):
        graph = torch.fx.symbolic_trace(torch.nn.Sequential(copied(case.named())))
        assert [node.op for node in graph.graph.nodes] == ["placeholder", "call_module", "output"]
        assert_same(graph(*case.inputs()), case.call(case.torch()))

    def test_moves_between_dtypes(self, case):
        layer = case.named().double()
        assert {parameter.dtype for parameter in layer.parameters()} == {torch.float64}
        inputs = [value.double() if value.is_floating_point() else value for value in case.inputs()]
        assert summed(layer(*inputs)).dtype == torch.float64

    def test_survives_a_subclass_with_a_mixin_before_it(self, case):
        class Bottle(torch.nn.Module):
            def forward(self, input, *rest):
                return super().forward(input, *rest)

        class Bottled(Bottle, getattr(nn, case.kind)):
            pass

        torch.manual_seed(0)
        layer = Bottled(*dims(a=case.sizes[0], b=case.sizes[1]))
        assert_same(case.call(layer), case.call(case.torch()))
        with pytest.raises(DimensionError, match="^Bottled.forward"):
            layer(floats(2, 2, 9))

    def test_a_subclass_may_fix_its_sizes(self, case):
        class Fixed(getattr(nn, case.kind)):
            def __init__(self):
                super().__init__(*dims(a=case.sizes[0], b=case.sizes[1]))
                self.extra = torch.nn.Parameter(torch.ones(7))

        layer = pickle_round_trip_of_state(Fixed())
        assert repr(layer).startswith("Fixed(a=")
        case.call(layer)


def pickle_round_trip_of_state(layer):
    layer.load_state_dict(pickle.loads(pickle.dumps(layer.state_dict())))
    return layer


@pytest.mark.filterwarnings("ignore:.torch.jit.script")
@pytest.mark.parametrize("case", FIRST_CASES[:2], ids=lambda case: case.kind)
def test_torch_jit_scripts_all_but_the_rnns_of_which_torch_scripts_no_subclass(case):
    assert_same(torch.jit.script(case.named())(*case.inputs()), case.call(case.torch()))


# Signatures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Linear", "Embedding"])
def test_the_constructor_has_torchs_signature(kind):
    assert inspect.signature(getattr(nn, kind)) == inspect.signature(getattr(torch.nn, kind))


@pytest.mark.parametrize(
    ("kind", "arguments", "keywords"),
    [
        ("Linear", (3, 4, False, "cpu", torch.float64), {}),
        ("Linear", (), {"in_features": 3, "out_features": 4, "bias": False}),
        ("Embedding", (9, 4, 1, 2.0, 1.0, True, False, None, True), {}),
        ("Embedding", (), {"num_embeddings": 9, "embedding_dim": 4, "padding_idx": 1, "_weight": torch.ones(9, 4)}),
        ("RNN", (3, 4, 2, "relu", False, True, 0.5, True), {}),
        (
            "RNN",
            (),
            {"input_size": 3, "hidden_size": 4, "num_layers": 2, "nonlinearity": "relu", "dtype": torch.float64},
        ),
        ("LSTM", (3, 4, 2, False, True, 0.5, True, 2, "cpu", torch.float64), {}),
        ("LSTM", (), {"input_size": 3, "hidden_size": 4, "proj_size": 2, "device": "cpu"}),
        ("GRU", (3, 4, 2, False, True, 0.5, True), {}),
        ("GRU", (), {"input_size": 3, "hidden_size": 4, "bidirectional": True, "batch_first": True}),
    ],
)
def test_takes_torchs_arguments_by_position_and_by_keyword(kind, arguments, keywords):
    torch.manual_seed(0)
    ours = getattr(nn, kind)(*arguments, **keywords)
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(*arguments, **keywords)
    assert plain_attributes(ours) == plain_attributes(theirs)
    assert_same(tuple(ours.state_dict().values()), tuple(theirs.state_dict().values()))


@pytest.mark.parametrize(
    ("kind", "arguments", "keywords"),
    [
        ("Linear", (3,), {}),
        ("Linear", (3, 4), {"biass": False}),
        ("Linear", (3.5, 4), {}),
        ("Embedding", (10, 3), {"padding_idx": 10}),
        ("GRU", (3,), {}),
        ("GRU", (3, 0), {}),
        ("GRU", (3, 4), {"num_layers": 0}),
        ("GRU", (3, 4), {"dropout": 2.0}),
        ("GRU", (3, 4), {"wrong": 2}),
        ("RNN", (3, 4), {"nonlinearity": "gelu"}),
        ("LSTM", (3, 4), {"proj_size": 4}),
    ],
)
def test_refuses_wrong_arguments_as_torch_does_or_with_what_is_wrong(kind, arguments, keywords):
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        getattr(torch.nn, kind)(*arguments, **keywords)
    with pytest.raises((theirs.type, DeclarationError)):
        getattr(nn, kind)(*arguments, **keywords)


# The package ----------------------------------------------------------------------------------------------------------

REPLACED = {*TYPED, "Module", "Sequential", "ModuleList", "ModuleDict"}
PUBLIC = sorted(name for name in dir(torch.nn) if not name.startswith("_"))


def test_every_other_name_is_torchs_own():
    for name in PUBLIC:
        ours, theirs = getattr(nn, name), getattr(torch.nn, name)
        if isinstance(
            theirs, types.ModuleType
        ):  # a package of torch's is one of ours, which has a checked function or layer
            assert set(dir(ours)) >= {key for key in dir(theirs) if not key.startswith("_")}, name
        else:
            assert ours is theirs or issubclass(ours, theirs), name


def test_static_checkers_see_every_class_of_torchs():
    tree = ast.parse((Path(dimtyped.nn.__file__).parent / "reexports.py").read_text())
    seen = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    own = {
        name for name in PUBLIC if isinstance(getattr(nn, name), type) and getattr(nn, name) is getattr(torch.nn, name)
    }
    assert own <= seen, "name it in dimtyped/nn/reexports.py"
    assert not {name for name in seen if name in PUBLIC and name not in own}, "it is replaced"


def test_what_is_replaced_is_a_subclass_of_the_same_name():
    for name in REPLACED:
        cls = getattr(nn, name)
        assert issubclass(cls, getattr(torch.nn, name))
        assert cls is not getattr(torch.nn, name)
        assert cls.__name__ == name


def test_submodules_are_importable_as_torchs():
    from dimtyped.nn import functional, init, utils

    assert init is torch.nn.init
    assert functional.relu is torch.nn.functional.relu
    assert functional.linear is not torch.nn.functional.linear  # a typed one
    assert utils.clip_grad_norm_ is torch.nn.utils.clip_grad_norm_
    assert utils.rnn.pad_sequence is torch.nn.utils.rnn.pad_sequence
    assert importlib.import_module("dimtyped.nn").Parameter is torch.nn.Parameter


def test_a_star_import_brings_the_typed_layers():
    found = {}
    exec("from dimtyped.nn import *", found)
    assert found["Linear"] is dimtyped.nn.Linear
    assert found["ReLU"] is torch.nn.ReLU


# What public models do to layers --------------------------------------------------------------------------------------


def test_weight_drop_deletes_a_parameter_and_sets_a_tensor_before_each_call():
    def dropped(rnn):
        raw = rnn.weight_hh_l0
        del rnn._parameters["weight_hh_l0"]
        rnn.register_parameter("weight_hh_l0_raw", torch.nn.Parameter(raw.data))
        for _ in range(2):
            torch.manual_seed(3)
            rnn.weight_hh_l0 = torch.nn.functional.dropout(rnn.weight_hh_l0_raw, 0.5)
            output = rnn(floats(5, 2, 3))
        return output

    torch.manual_seed(0)
    ours = dropped(nn.LSTM(*dims(embed=3, hidden=4)))
    torch.manual_seed(0)
    assert_same(ours, dropped(torch.nn.LSTM(3, 4)))


@pytest.mark.parametrize("wrapped", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_parametrized(wrapped):
    torch.manual_seed(0)
    ours = wrapped(nn.Linear(*dims(wide=3, narrow=4)))
    torch.manual_seed(0)
    theirs = wrapped(torch.nn.Linear(3, 4))
    assert_same(ours(floats(2, 3)), theirs(floats(2, 3)))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    with pytest.raises(DimensionError, match="wide is 5, must be 3"):
        ours(floats(2, 5))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_old_weight_norm():
    layer = torch.nn.utils.weight_norm(nn.Linear(3, 4))
    assert layer(floats(2, 3)).shape == (2, 4)
    assert torch.nn.utils.remove_weight_norm(layer)(floats(2, 3)).shape == (2, 4)


def test_pruned():
    layer = prune.random_unstructured(nn.Linear(3, 4), "weight", 0.5)
    assert layer(floats(2, 3)).shape == (2, 4)


def test_a_model_may_compare_the_class():
    def make(cell):
        rnn = cell(3, 4)
        return rnn(floats(5, 2, 3), (floats(1, 2, 4),) * 2 if cell is nn.LSTM else floats(1, 2, 4))

    for cell in (nn.RNN, nn.LSTM, nn.GRU):
        make(cell)


def test_xavier_by_isinstance():
    def init(module):
        if isinstance(module, torch.nn.Linear | torch.nn.Embedding):
            torch.nn.init.constant_(module.weight, 2.0)

    model = nn.Sequential(nn.Embedding(10, 3), nn.Linear(3, 4)).apply(init)
    assert all(bool((layer.weight == 2).all()) for layer in model)


# Tensors of other kinds -----------------------------------------------------------------------------------------------


class Marked(torch.Tensor):
    """A subclass of Tensor, as libraries make them."""


@pytest.mark.parametrize("kind", ["Linear", "GRU"])
def test_tensor_subclasses_pass(kind):
    case = next(case for case in FIRST_CASES if case.kind == kind)
    ours = case.typed()(case.inputs()[0].as_subclass(Marked))
    theirs = case.torch()(case.inputs()[0].as_subclass(Marked))
    assert_same(ours, theirs)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged], ids=str)
class TestNestedTensors:
    def test_pass_through_a_linear(self, layout):
        nested = torch.nested.nested_tensor([floats(2, 3), floats(5, 3)], layout=layout)
        parts = FIRST_CASES[0].typed()(nested).unbind()
        for part, expected in zip(parts, FIRST_CASES[0].torch()(nested).unbind(), strict=True):
            assert_same(part, expected)

    def test_pass_through_an_embedding(self, layout):
        nested = torch.nested.nested_tensor([ids(2), ids(5)], layout=layout)
        output, expected = FIRST_CASES[1].typed()(nested), FIRST_CASES[1].torch()(nested)
        assert type(output) is type(expected)
        assert torch.equal(output.values(), expected.values()) if layout is torch.jagged else True

    def test_of_another_width_are_torchs_to_refuse_or_ours(self, layout):
        nested = torch.nested.nested_tensor([floats(2, 4), floats(5, 4)], layout=layout)
        with pytest.raises(RuntimeError):
            nn.Linear(3, 4)(nested)


def test_vmap():
    layer, inputs = FIRST_CASES[0].typed(), floats(6, 2, 3)
    assert torch.equal(torch.vmap(layer)(inputs), layer(inputs))
    with pytest.raises(DimensionError):
        torch.vmap(layer)(floats(6, 2, 5))


def test_gradients_of_functions():
    layer = FIRST_CASES[0].typed()
    gradient = torch.func.grad(lambda x: layer(x).sum())(floats(3))
    assert torch.equal(gradient, layer.weight.sum(0))


def test_a_torch_fx_proxy_passes_through_the_check():
    class Inside(torch.fx.Tracer):
        def is_leaf_module(self, module, name):
            return isinstance(module, torch.nn.RNNBase)

    model = torch.nn.Sequential(FIRST_CASES[1].typed(), torch.nn.Dropout(0.5), FIRST_CASES[0].typed())
    graph = Inside().trace(model)
    called = [node.target.__name__ for node in graph.nodes if node.op == "call_function"]
    assert called == ["embedding", "dropout", "linear"]


def test_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert nn.Linear(3, 4)(floats(2, 3)).dtype == torch.bfloat16
