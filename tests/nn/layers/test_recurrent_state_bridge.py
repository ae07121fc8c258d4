"""States between recurrent layers: what a decoder can start from, the bridge where it cannot, its own first state."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence

from dimtyped import DeclarationError, DimensionError, StateError, TyingError, dims, nn, status

CELLS = {"GRU": nn.GRU, "LSTM": nn.LSTM, "RNN": nn.RNN}
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
cells = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)


# state_from -----------------------------------------------------------------------------------------------------------


@cells
def test_a_state_that_fits(cell: Any) -> None:
    encoder = cell(4, 6, num_layers=2, bidirectional=True)
    decoder = cell(9, 6, num_layers=2, bidirectional=True, batch_first=True, state_from=encoder)
    _, state = encoder(torch.ones(3, 5, 4))
    assert decoder(torch.ones(5, 7, 9), state)[0].shape == (5, 7, 12)


def test_gru_and_rnn_have_the_same_kind_of_state() -> None:
    nn.GRU(4, 6, state_from=nn.RNN(4, 6))
    nn.RNN(4, 6, state_from=torch.nn.GRU(4, 6))


def test_wider_encoder() -> None:
    """A5: torch says so at the first forward."""
    embed, wide, narrow = dims(embed=4, wide=512, narrow=256)
    with pytest.raises(StateError) as info:
        nn.GRU(embed, narrow, state_from=nn.GRU(embed, wide))
    error = info.value
    assert str(error) == (
        "GRU(embed=4 -> narrow=256) cannot start from the final state of GRU(embed=4 -> wide=512): narrow differs\n\n"
        "    narrow: 512 in the source, 256 here\n\n"
        "  Use nn.StateBridge(source, target), a learned map between the two states, or make them equal."
    )
    assert (error.where, error.argument, error.dim) == ("GRU", "state_from", "narrow")
    assert (error.expected, error.actual) == (256, 512)
    assert isinstance(error, DeclarationError)
    assert not isinstance(error, TypeError)


def test_bidirectional_and_deeper_encoder() -> None:
    """A6."""
    with pytest.raises(StateError, match="layers, directions differ") as info:
        nn.GRU(4, 6, state_from=nn.GRU(4, 6, num_layers=3, bidirectional=True))
    assert "    layers: 3 in the source, 1 here\n    directions: 2 in the source, 1 here\n" in str(info.value)


def test_two_layers_are_no_two_directions() -> None:
    """The shapes are equal, so torch would go on with the wrong states."""
    with pytest.raises(StateError, match="layers, directions differ"):
        nn.GRU(4, 6, num_layers=2, state_from=nn.GRU(4, 6, bidirectional=True))


@pytest.mark.parametrize(("source", "target"), [(nn.GRU, nn.LSTM), (nn.LSTM, nn.GRU), (nn.LSTM, nn.RNN)])
def test_another_kind(source: Any, target: Any) -> None:
    with pytest.raises(StateError, match=r"kind differs\n\n    kind: .* in the source, .* here"):
        target(4, 6, state_from=source(4, 6))


def test_projected_lstm() -> None:
    nn.LSTM(4, 6, proj_size=3, state_from=nn.LSTM(4, 6, proj_size=3))
    with pytest.raises(StateError, match="    proj: 2 in the source, 3 here"):
        nn.LSTM(4, 6, proj_size=3, state_from=nn.LSTM(4, 6, proj_size=2))
    with pytest.raises(StateError, match="cell differs\n\n    cell: 8 in the source, 6 here"):
        nn.LSTM(4, 6, proj_size=3, state_from=nn.LSTM(4, 8, proj_size=3))
    with pytest.raises(StateError, match="cell differs\n\n    cell: 3 in the source, 6 here"):
        nn.LSTM(4, 6, proj_size=3, state_from=nn.LSTM(4, 3))


@pytest.mark.parametrize(
    "wrong", [nn.Linear(2, 2), "encoder", 3, torch.zeros(1)], ids=["Linear", "str", "int", "Tensor"]
)
def test_state_from_something_else(wrong: Any) -> None:
    with pytest.raises(StateError, match="takes an RNN, a GRU or an LSTM, not "):
        nn.GRU(4, 6, state_from=wrong)


def test_a_refused_layer_leaves_the_model_as_it_was() -> None:
    model = nn.Module()
    model.encoder = nn.GRU(4, 8)
    model.decoder = old = nn.GRU(4, 8)
    with pytest.raises(StateError):
        model.decoder = nn.GRU(4, 6, state_from=model.encoder)
    assert model.decoder is old


# StateBridge ----------------------------------------------------------------------------------------------------------


@st.composite
def layers(draw: st.DrawFn) -> torch.nn.RNNBase:
    kind = draw(st.sampled_from([nn.GRU, nn.LSTM, nn.RNN, torch.nn.GRU, torch.nn.LSTM]))
    hidden = draw(st.integers(2, 5))
    options: dict[str, Any] = {"num_layers": draw(st.integers(1, 3)), "bidirectional": draw(st.booleans())}
    if issubclass(kind, torch.nn.LSTM):
        options["proj_size"] = draw(st.integers(0, hidden - 1))
    return kind(draw(st.integers(1, 3)), hidden, **options)


def final_state(layer: torch.nn.RNNBase, batch: int | None) -> Any:
    shape = (2, layer.input_size) if batch is None else (2, batch, layer.input_size)
    return layer(torch.randn(shape))[1]


def parts_of(state: Any) -> list[Tensor]:
    return list(state) if isinstance(state, tuple) else [state]


def is_like(source: torch.nn.RNNBase, target: torch.nn.RNNBase) -> bool:
    """Whether the target can take what the source gives, or a part of it, as it is."""
    widths = source.proj_size or source.hidden_size, target.proj_size or target.hidden_size
    has_cell = target.mode != "LSTM" or (source.mode == "LSTM" and source.hidden_size == target.hidden_size)
    return source.bidirectional == target.bidirectional and widths[0] == widths[1] and has_cell


@given(source=layers(), target=layers(), batch=st.one_of(st.none(), st.integers(0, 3)))
def test_the_target_takes_the_bridged_state(
    source: torch.nn.RNNBase, target: torch.nn.RNNBase, batch: int | None
) -> None:
    if batch == 0:  # which torch's recurrent layers refuse: so a state without one
        state = tuple(part[:, :0] for part in parts_of(final_state(source, 1)))
        state = state if source.mode == "LSTM" else state[0]
    else:
        state = final_state(source, batch)
    bridge = nn.StateBridge(source, target)
    bridged = bridge(state)
    assert all(part.is_contiguous() for part in parts_of(bridged))
    if batch != 0:
        shape = (2, target.input_size) if batch is None else (2, batch, target.input_size)
        target(torch.randn(shape), bridged)[0].sum().backward()
    assert bool(list(bridge.parameters())) is not is_like(source, target)
    if is_like(source, target) and source.num_layers == target.num_layers:
        assert all(after is before for after, before in zip(parts_of(bridged), parts_of(state), strict=False))


@given(source=layers(), target=layers())
def test_each_parameter_of_a_bridge_learns(source: torch.nn.RNNBase, target: torch.nn.RNNBase) -> None:
    bridge = nn.StateBridge(source, target)
    sum(part.sum() for part in parts_of(bridge(final_state(source, 2)))).backward()
    assert all(parameter.grad is not None for parameter in bridge.parameters())


def test_directions_are_concatenated_per_layer() -> None:
    source, target = nn.GRU(1, 2, num_layers=2, bidirectional=True), nn.GRU(1, 4, num_layers=2)
    bridge = nn.StateBridge(source, target)
    torch.nn.init.eye_(bridge.hidden.weight)
    torch.nn.init.zeros_(bridge.hidden.bias)
    state = torch.arange(8.0).reshape(4, 1, 2)
    torch.testing.assert_close(bridge(state), state.reshape(2, 1, 4))


def test_the_top_layers_are_kept_and_repeated() -> None:
    state = torch.arange(6.0).reshape(3, 1, 2)
    fewer = nn.StateBridge(nn.GRU(1, 2, num_layers=3), nn.GRU(1, 2))
    torch.testing.assert_close(fewer(state), state[2:])
    more = nn.StateBridge(nn.GRU(1, 2), nn.GRU(1, 2, num_layers=3))
    torch.testing.assert_close(more(state[:1]), state[:1].expand(3, 1, 2))


def test_a_bridge_refuses_another_state() -> None:
    bridge = nn.StateBridge(nn.GRU(4, 8, bidirectional=True), nn.GRU(4, 6))
    with pytest.raises(DimensionError, match=r"hidden is 6, must be 8"):
        bridge(torch.ones(2, 5, 6))
    with pytest.raises(DimensionError, match=r"layers\*directions is 1, must be 2"):
        bridge(torch.ones(1, 5, 8))
    with pytest.raises(DimensionError, match="state"):
        bridge((torch.ones(2, 5, 8), torch.ones(2, 5, 8)))
    with pytest.raises(DimensionError, match="state"):
        nn.StateBridge(nn.LSTM(4, 8), nn.GRU(4, 8))(torch.ones(1, 5, 8))


def test_a_bridge_declares_no_name_of_the_model_around_it() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            embed, wide, narrow = dims(embed=4, wide=8, narrow=6)
            self.encoder, self.decoder = nn.GRU(embed, wide), nn.GRU(embed, narrow)
            self.bridge = nn.StateBridge(self.encoder, self.decoder)

    assert set(Model()._dim_scope.names) == {"embed", "wide", "narrow"}


@pytest.mark.parametrize("wrong", [nn.Linear(2, 2), None, 3], ids=["Linear", "None", "int"])
def test_a_bridge_takes_recurrent_layers(wrong: Any) -> None:
    with pytest.raises(StateError, match="takes an RNN, a GRU or an LSTM, not "):
        nn.StateBridge(nn.GRU(2, 2), wrong)
    with pytest.raises(StateError, match="takes an RNN, a GRU or an LSTM, not "):
        nn.StateBridge(wrong, nn.GRU(2, 2))


def test_a_bridge_is_copied_saved_moved_and_compiled() -> None:
    bridge = nn.StateBridge(nn.LSTM(4, 8, bidirectional=True), nn.LSTM(4, 6))
    state = (torch.randn(2, 5, 8), torch.randn(2, 5, 8))
    for again in (copy.deepcopy(bridge), pickle.loads(pickle.dumps(bridge))):
        torch.testing.assert_close(again(state), bridge(state))
    other = nn.StateBridge(nn.LSTM(4, 8, bidirectional=True), nn.LSTM(4, 6))
    other.load_state_dict(bridge.state_dict())
    compiled = torch.compile(other, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(state), bridge(state))
    assert bridge.double()((state[0].double(), state[1].double()))[0].dtype == torch.float64
    assert "layers=1, directions=2, hidden=8, cell=8 -> layers=1, directions=1, hidden=6, cell=6" in repr(bridge)


def test_a_bridge_has_the_sources_dtype_and_device() -> None:
    source = nn.GRU(4, 8, dtype=torch.float64, device="meta")
    bridge = nn.StateBridge(source, nn.GRU(4, 6))
    assert {(p.dtype, p.device.type) for p in bridge.parameters()} == {(torch.float64, "meta")}


# initial_state --------------------------------------------------------------------------------------------------------


@given(
    layer=layers().filter(lambda layer: hasattr(layer, "initial_state")), batch=st.one_of(st.none(), st.integers(1, 3))
)
def test_initial_state_is_what_torch_starts_from(layer: Any, batch: int | None) -> None:
    values = torch.randn((2, layer.input_size) if batch is None else (2, batch, layer.input_size))
    torch.testing.assert_close(layer(values, layer.initial_state(batch)), layer(values))


@cells
def test_initial_state_has_the_layers_dtype_and_device(cell: Any) -> None:
    for part in parts_of(cell(4, 6, dtype=torch.float64, device="meta").initial_state(3)):
        assert (part.shape, part.dtype, part.device.type) == ((1, 3, 6), torch.float64, "meta")
    for part in parts_of(cell(4, 6).initial_state(3, dtype=torch.float16, device="meta")):
        assert (part.dtype, part.device.type) == (torch.float16, "meta")


def test_initial_state_of_a_projected_lstm() -> None:
    h, c = nn.LSTM(4, 6, num_layers=2, bidirectional=True, proj_size=3).initial_state(5)
    assert (h.shape, c.shape) == ((4, 5, 3), (4, 5, 6))


@pytest.mark.parametrize("batch", [-1, 2.0, "3", True], ids=repr)
def test_initial_state_of_no_size(batch: Any) -> None:
    with pytest.raises(DeclarationError, match=f"batch is {batch!r}"):
        nn.GRU(4, 6).initial_state(batch)


@pytest.mark.parametrize("is_learned", [False, True])
def test_initial_state_of_a_batch_whose_size_a_trace_does_not_know(is_learned: bool) -> None:
    layer = nn.GRU(4, 6, initial=torch.ones(1, 6) if is_learned else None)

    def begin(x: Tensor) -> Tensor:
        return layer.initial_state(x.shape[0]) + x.sum()

    with torch._dynamo.config.patch(allow_rnn=True):
        compiled = torch.compile(begin, backend="eager", fullgraph=True, dynamic=True)
        for batch in (2, 3, 7):
            torch.testing.assert_close(compiled(torch.ones(batch, 2)), begin(torch.ones(batch, 2)))


# A learned initial state ----------------------------------------------------------------------------------------------


def learned(layer: Any) -> tuple[Any, Any]:
    """A Parameter of the layer's state, or a pair of them; and a layer that starts from it."""
    states = layer.num_layers * (2 if layer.bidirectional else 1)
    h = torch.nn.Parameter(torch.randn(states, layer.proj_size or layer.hidden_size))
    c = torch.nn.Parameter(torch.randn(states, layer.hidden_size))
    initial = (h, c) if layer.mode == "LSTM" else h
    options = {"proj_size": layer.proj_size} if layer.mode == "LSTM" else {}
    made = getattr(nn, type(layer).__name__)(
        layer.input_size,
        layer.hidden_size,
        layer.num_layers,
        bidirectional=layer.bidirectional,
        initial=initial,
        **options,
    )
    return initial, made


@given(like=layers(), batch=st.one_of(st.none(), st.integers(1, 3)))
def test_a_call_without_a_state_starts_from_it(like: Any, batch: int | None) -> None:
    initial, layer = learned(like)
    values = torch.randn((2, layer.input_size) if batch is None else (2, batch, layer.input_size))
    output, _ = layer(values)
    torch.testing.assert_close(output, layer(values, layer.initial_state(batch))[0])
    torch.testing.assert_close(layer.forward(values)[0], output)
    zeros = tuple(torch.zeros_like(part) for part in parts_of(layer.initial_state(batch)))
    assert not torch.equal(output, layer(values, zeros if len(zeros) > 1 else zeros[0])[0])
    output.sum().backward()
    assert all(part.grad is not None for part in parts_of(initial))


def test_it_is_saved_and_drawn_upon_in_every_form_of_the_call() -> None:
    initial, layer = learned(nn.GRU(4, 6))
    assert [name for name in layer.state_dict() if "initial" in name] == ["initial_h"]
    assert "initial_h" not in nn.GRU(4, 6).state_dict()
    packed = pack_sequence([torch.ones(3, 4), torch.ones(2, 4)])
    torch.testing.assert_close(layer(packed)[1], layer(packed, layer.initial_state(2))[1])
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(again(torch.ones(3, 2, 4)), layer(torch.ones(3, 2, 4)))
    assert isinstance(layer, nn.GRU)
    assert layer.initial_h is initial
    with pytest.raises(RuntimeError, match="hidden: 7 in the checkpoint, 6 in the model"):
        layer.load_state_dict({**layer.state_dict(), "initial_h": torch.zeros(1, 7)})


def test_one_with_an_axis_for_the_batch() -> None:
    layer = nn.GRU(4, 6, num_layers=2, initial=torch.nn.Parameter(torch.randn(2, 1, 6)))
    torch.testing.assert_close(layer.initial_state(3)[:, 1], layer.initial_h[:, 0])
    assert layer.initial_state(None).shape == (2, 6)
    with pytest.raises(TyingError, match=r"must be  \(layers=2, 1, hidden=6\)"):
        layer.initial_h = torch.nn.Parameter(torch.zeros(1, 1, 6))


def test_one_that_is_fixed() -> None:
    layer = nn.GRU(4, 6, initial=torch.ones(1, 6))
    assert "initial_h" in dict(layer.named_buffers())
    assert layer.double().initial_state(2).dtype == torch.float64


@pytest.mark.parametrize(
    ("make", "initial", "text"),
    [
        (
            nn.GRU,
            torch.zeros(2, 6),
            r"h is \(2, 6\), must be \(1, 6\) or \(1, 1, 6\): layers=1 times directions=1, hidden=6",
        ),
        (nn.GRU, torch.zeros(1, 5), r"h is \(1, 5\), must be \(1, 6\)"),
        (nn.GRU, torch.zeros(1, 3, 6), r"h is \(1, 3, 6\), must be"),
        (nn.GRU, torch.zeros(6), r"h is \(6,\), must be"),
        (nn.GRU, (torch.zeros(1, 6), torch.zeros(1, 6)), "must be a tensor, not a tuple of 2"),
        (nn.LSTM, torch.zeros(1, 6), r"must be a pair of tensors \(h, c\), not a tensor"),
        (nn.LSTM, (torch.zeros(1, 6), torch.zeros(1, 5)), r"c is \(1, 5\), must be"),
        (nn.GRU, "zeros", "must be a tensor, not 'zeros'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_that_does_not_fit(make: Any, initial: Any, text: str) -> None:
    with pytest.raises(StateError, match=text):
        make(4, 6, initial=initial)


def test_one_is_a_checked_layer() -> None:
    layer = nn.GRU(4, 6, initial=torch.zeros(1, 6))
    assert status(nn.Sequential(layer)).rows[1].state == "checked"
    with pytest.raises(DimensionError, match="must be 4"):
        layer(torch.ones(3, 2, 5))
    with pytest.raises(DeclarationError, match="takes embed=4, but layer 0 gives out_features=3"):
        nn.Sequential(nn.Linear(2, 3), layer)


def test_one_compiles_as_the_layer_does() -> None:
    _, layer = learned(nn.GRU(4, 6))
    with torch._dynamo.config.patch(allow_rnn=True):
        compiled = torch.compile(layer, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(torch.ones(3, 2, 4)), layer(torch.ones(3, 2, 4)))
