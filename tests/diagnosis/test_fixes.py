"""No false fix: what an error proposes, applied to the call, makes it fit."""

import re
from collections.abc import Callable
from typing import Any

import numpy  # noqa: ICN001
import pytest
import torch
from hypothesis import HealthCheck, Phase, event, given, settings
from jaxtyping import Bool, Float, Float32, Int, UInt8
from torch import Tensor

from dimtyped import DimensionError, DimSize, dims, nn, typed
from dimtyped.engine import Declaration, wrap
from tests.helpers.drawn_signatures import Case, cases
from tests.helpers.fixing import arguments_of, assert_is_what_it_says, call, fixed, recorded

EFFORT = settings(
    max_examples=max(200, settings.default.max_examples),
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
pytestmark = pytest.mark.filterwarnings("ignore::dimtyped.DimensionWarning")


def ones(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.ones(shape, dtype=dtype)


def ids(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.long)


# One of each ----------------------------------------------------------------------------------------------------------


@typed
def mix(x: Float[Tensor, "batch seq embed"], y: Float[Tensor, "batch seq"], z: Float[Tensor, "embed"]) -> None: ...


@typed
def split(x: Float[Tensor, "batch seq heads head"], y: Float[Tensor, "heads head"]) -> None: ...


@typed
def join(x: Float[Tensor, "batch seq embed"], y: Float[Tensor, "embed"]) -> None: ...


@typed
def pixels(x: UInt8[Tensor, "height width"]) -> None: ...


@typed
def attend(
    query: Float[Tensor, "batch embed"], tokens: Int[Tensor, "batch seq"], mask: Bool[Tensor, "batch seq"]
) -> None: ...


@typed
def short(x: Float32[Tensor, "n"]) -> None: ...


@typed
def many(xs: list[Float[Tensor, "batch n"]]) -> None: ...


@typed
def pair(xs: tuple[Float[Tensor, "batch n"], Float[Tensor, "batch n"]]) -> None: ...


@typed
def several(*xs: Float[Tensor, "batch n"], **named: Float[Tensor, "batch n"]) -> None: ...


@typed
def alike(x: Float[Tensor, "*shape"], y: Float[Tensor, "*shape"]) -> None: ...


class Head(nn.Module):
    def __init__(self, hidden: DimSize, vocab: DimSize):
        super().__init__()
        self.out = nn.Linear(hidden, vocab)

    def forward(self, x: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch seq vocab"]:
        return self.out(x)


linear, embedding, conv = nn.Linear(8, 4), nn.Embedding(10, 8), nn.Conv2d(3, 4, 1)
gru, lstm, first = nn.GRU(8, 16), nn.LSTM(8, 16), nn.GRU(8, 16, batch_first=True)

ONE_OF_EACH = [
    # axes
    (mix, (ones(2, 3, 4), ones(3, 2), ones(4)), "y.T", "It is transposed"),
    (mix, (ones(2, 4, 3), ones(2, 3), ones(4)), "x.permute(0, 2, 1)", "Two axes are swapped"),
    (mix, (ones(4, 2, 3), ones(2, 3), ones(4)), "x.permute(1, 2, 0)", "The axes are in another order"),
    (join, (ones(2, 8, 3), ones(8)), "x.permute(0, 2, 1)", "Two axes are swapped"),
    (mix, (ones(2, 3, 4), ones(2, 3, 1), ones(4)), "y.squeeze(2)", "There is an extra axis of size 1"),
    (mix, (ones(2, 3, 4), ones(2, 3), ones(1, 4)), "z.squeeze(0)", "There is an extra axis of size 1"),
    (mix, (ones(3, 4), ones(1, 3), ones(4)), "x.unsqueeze(0)", "The axis `batch` is missing"),
    (mix, (ones(3, 4), ones(2, 3), ones(4)), "x.unsqueeze(0).expand(2, -1, -1)", "An axis is missing"),
    (mix, (ones(2, 3, 4), ones(1, 3), ones(4)), "y.expand(2, -1)", "An axis of size 1 can be repeated"),
    (join, (ones(2, 3, 4, 5), ones(20)), "x.flatten(2)", "Axes 2 and 3 should be one axis"),
    (split, (ones(2, 3, 20), ones(4, 5)), "x.unflatten(2, (4, 5))", "Axis 2 should be split into 4 by 5"),
    (alike, (ones(4, 1), ones(4)), "y.unsqueeze(1)", "An axis is missing"),
    (alike, (ones(4), ones(4, 1)), "y.squeeze(1)", "There is an extra axis of size 1"),
    # dtypes
    (attend, (ones(2, 4), ones(2, 3), ones(2, 3) > 0), "tokens.long()", "If these are indices"),
    (attend, (ones(2, 4), ids(2, 3), ones(2, 3)), "mask.bool()", "True for every value but 0"),
    (mix, (ones(2, 3, 4, dtype=torch.long), ones(2, 3), ones(4)), "x.float()", "fits"),
    (short, (ones(3, dtype=torch.float64),), "x.float()", "NumPy's default is float64"),
    (pixels, (ids(2, 3),), "x.to(torch.uint8)", "fits"),
    (mix, (ones(2, 3, 4), ones(3, 2, dtype=torch.long), ones(4)), "y.T.float()", "Both the shape and the dtype"),
    # other kinds of value
    (short, (numpy.ones(3, dtype=numpy.float32),), "torch.from_numpy(x)", "It is a NumPy array"),
    (short, (numpy.ones((3, 1)),), "torch.from_numpy(x).squeeze(1).float()", "It is a NumPy array"),
    (short, ([1.0, 2.0],), "torch.tensor(x)", "It is not a tensor yet"),
    (many, (ones(2, 3),), "[xs]", "A list is expected"),
    (many, ((ones(2, 3), ones(2, 3)),), "list(xs)", "A list is expected"),
    (pair, ([ones(2, 3), ones(2, 3)],), "tuple(xs)", "A tuple is expected"),
    (linear, ((ones(2, 8), ones(1, 2)),), "input[0]", "A recurrent layer returns (output, state)"),
    (linear, ([ones(2, 8)] * 3,), "input[0]", "It is a list"),
    # arguments
    (attend, (ids(2, 3), ones(2, 4), ones(2, 3) > 0), {"query": "tokens", "tokens": "query"}, "are swapped"),
    (mix, (ones(2, 3, 2, 2), ids(2, 3), ones(4)), {"x": "x.flatten(2)", "y": "y.float()"}, "fit."),
    (several, (ones(2, 3), ones(3, 2)), {"xs[1]": "xs[1].T"}, "It is transposed"),
    (many, ([ones(2, 3), ones(3, 2), ones(3, 2)],), {"xs[1]": "xs[1].T", "xs[2]": "xs[2].T"}, "Change each of them: `.T` fits"),
    (pair, ((ones(2), ones(2)),), "tuple(part.unsqueeze(0) for part in xs)", "The axis `batch` is missing"),
    # layers
    (linear, (ones(8, 3),), "input.T", "It is transposed"),
    (linear, (ones(2, 4, 2),), "input.flatten(1)", "Axes 1 and 2 should be one axis"),
    (linear, (ones(2, 5),), "nn.Linear(5, 8)(input)", "Make this layer with in_features=5"),
    (linear, (ones(2, 8, dtype=torch.long),), "input.float()", "fits"),
    (linear, (ones(2, 8, dtype=torch.bfloat16),), "input.float()", "torch.autocast"),
    (embedding, (ones(2),), "input.long()", "If these are indices"),
    (conv, (ones(2, 5, 5, 3),), "input.permute(0, 3, 1, 2)", "The channels come before height and width"),
    (conv, (ones(2, 4, 5, 5),), "nn.Conv2d(4, 3, 1)(input)", "Make this layer with in_channels=4"),
    (nn.MSELoss(), (ones(4, 1), ones(4)), "target.unsqueeze(1)", "An axis is missing"),
    (nn.CrossEntropyLoss(), (ones(2, 3, 9), ids(2, 3)), "input.permute(0, 2, 1)", "The classes must be axis 1"),
    # recurrent layers
    (gru, (ones(5, 2, 8), ones(2, 1, 16)), "hx.permute(1, 0, 2)", "whatever batch_first says"),
    (lstm, (ones(5, 2, 8), (ones(2, 1, 16),) * 2), "tuple(part.permute(1, 0, 2) for part in hx)", "whatever batch_first says"),
    (gru, (ones(2, 5, 8), ones(1, 2, 16)), "input.permute(1, 0, 2)", "Then make this GRU(..., batch_first=True)"),
    (first, (ones(5, 2, 8), ones(1, 2, 16)), "input.permute(1, 0, 2)", "Then make this GRU(..., batch_first=False)"),
    (first, (ones(3, 5, 8), ones(1, 4, 16)), "hx[:, :3].contiguous()", "drop_last=True"),
    (gru, (ones(5, 4, 8), ones(1, 3, 16)), "None", "starts from zeros"),
    (gru, (ones(5, 2, 8), (ones(1, 2, 16),) * 2), "hx[0]", "takes h alone"),
    (lstm, (ones(5, 2, 8), ones(1, 2, 16)), "(hx, torch.zeros_like(hx))", "a pair (h, c)"),
    (gru, (ones(5, 2, 8), ones(1, 2, 16, dtype=torch.float64)), "hx.float()", "NumPy's default is float64"),
    (gru, (ones(5, 8), ones(1, 1, 16)), "hx.squeeze(1)", "`input` has no batch axis, so the state has none either"),
    (lstm, (ones(5, 8), (ones(1, 1, 16),) * 2), "tuple(part.squeeze(1) for part in hx)", "`input` has no batch axis"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "values", "code", "words"), ONE_OF_EACH)
def test_it_is_proposed_and_applied_it_fits(function: Any, values: tuple[Any, ...], code: Any, words: str) -> None:
    with recorded() as found, pytest.raises(DimensionError) as error:
        function(*values)
    _, fix = found[-1]
    assert fix is not None
    assert fix.code == (code if isinstance(code, dict) else {next(iter(fix.code)): code})
    assert words in fix.text
    assert error.value.hint == fix.text
    forward = function.forward if isinstance(function, torch.nn.Module) else function
    call(forward, fixed(fix, arguments_of(forward, *values)))


class Classifier(nn.Module):
    """Flattens its feature map, of (batch, 16, 4, 4), in a way that is given."""

    def __init__(self, flatten: Callable[[Tensor], Tensor]):
        super().__init__()
        self.conv, self.out, self.flatten = nn.Conv2d(1, 16, 3), nn.Linear(256, 10), flatten

    def forward(self, images: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch 10"]:
        return self.out(self.flatten(self.conv(images)))


def test_a_batch_that_was_flattened_too() -> None:
    text = re.escape(
        "The batch of 8 was flattened too: `input.unflatten(0, (8, 256))` fits; flatten(1) keeps the batch."
    )
    with pytest.raises(DimensionError, match=text), recorded() as found:
        Classifier(torch.flatten)(ones(8, 1, 6, 6))
    assert_is_what_it_says(found[-1][1], {"input": ones(8 * 256)})
    Classifier(lambda x: x.flatten(1))(ones(8, 1, 6, 6))


@pytest.mark.parametrize(
    "call",
    [
        lambda: Classifier(lambda x: x.view(-1, 256))(ones(8, 1, 14, 14)),
        lambda: nn.CrossEntropyLoss()(ones(72, 10), ids(8)),
    ],
    ids=["the result", "the loss"],
)
def test_another_axis_in_the_batch(call: Callable[[], Any]) -> None:
    text = re.escape(
        "72 is 9 times 8: did a view(-1, ...) merge another axis into the batch? flatten(1) keeps the batch"
    )
    with pytest.raises(DimensionError, match=text):
        call()
    with pytest.raises(DimensionError, match="batch is 8, must be 12") as error:  # by no whole factor
        nn.CrossEntropyLoss()(ones(12, 10), ids(8))
    assert error.value.hint == ""


class Tagged(nn.Module):
    """A tagger over a bidirectional LSTM, its output layer of a width that is given."""

    def __init__(self, embed: DimSize, hidden: DimSize, tags: DimSize, *, width: int, given: int):
        super().__init__()
        self.lstm = nn.LSTM(embed, hidden, batch_first=True, bidirectional=True)
        self.out, self.given = nn.Linear(width * hidden, tags), given

    def forward(self, x: Float[Tensor, "batch seq embed"]) -> Tensor:
        outputs, (h, _) = self.lstm(x)
        return self.out((outputs, h)[self.given])


def test_both_directions_of_an_output_are_named() -> None:
    with pytest.raises(DimensionError, match=r"24 is 2\*hidden: Tagged.lstm is bidirectional") as error:
        Tagged(8, 12, 5, width=1, given=0)(ones(6, 9, 8))
    assert error.value.hint == "Make this layer with 2*hidden=24, or put `nn.Linear(24, 12)` before it."
    Tagged(8, 12, 5, width=2, given=0)(ones(6, 9, 8))


def test_a_final_state_where_both_directions_are_wanted() -> None:
    model = Tagged(8, 12, 5, width=2, given=1)
    with recorded() as found, pytest.raises(DimensionError, match="the final state of the bidirectional `lstm`"):
        model(ones(6, 9, 8))
    _, fix = found[-1]
    assert fix.code == {"input": "torch.cat([input[-2], input[-1]], -1)"}
    model.out(**fixed(fix, {"input": model.lstm(ones(6, 9, 8))[1][0]}))


def test_a_part_that_was_to_be_joined_with_another() -> None:
    class Step(nn.Module):
        def __init__(self, embed: DimSize, context: DimSize):
            super().__init__()
            self.embedding, self.gru = nn.Embedding(9, embed), nn.GRU(embed + context, 5)

        def forward(self, ids: Int[Tensor, "seq batch"], context: Float[Tensor, "seq batch context"] | None) -> None:
            words = self.embedding(ids)
            self.gru(words if context is None else torch.cat([words, context], -1))

    with pytest.raises(DimensionError) as error:
        Step(3, 4)(ids(2, 6), None)
    assert (
        error.value.hint == "It is `embed` alone: concatenate it with `context` first, with torch.cat along this axis."
    )
    Step(3, 4)(ids(2, 6), ones(2, 6, 4))


def test_no_argument_is_transposed_to_fit_a_result_which_would_change_with_it() -> None:
    @typed
    def average(tokens: Float[Tensor, "batch seq"]) -> Float[Tensor, "batch"]:
        return tokens.mean(0)

    with pytest.raises(DimensionError, match="batch is 9, must be 7") as caught:
        average(ones(7, 9))
    assert caught.value.hint == "Axis 0 of `tokens` was reduced, axis 1 should be: dim=1."


def test_a_result_is_fixed_too() -> None:
    @typed
    def scores(x: Float[Tensor, "batch n"]) -> Float[Tensor, "batch 2*n"]:
        return torch.cat([x, x], 1).T

    with recorded() as found, pytest.raises(DimensionError, match="It is transposed: `result.T` fits."):
        scores(ones(3, 2))
    assert_is_what_it_says(found[-1][1], {"result": ones(4, 3)})


def test_autocast_is_named_where_it_is_the_cause() -> None:
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(DimensionError, match="Autocast makes it bfloat16: `x.float\\(\\)` fits, or annotate it Float"),
    ):
        short(torch.nn.functional.linear(ones(1, 3), ones(3, 3))[0])


def test_a_misspelt_name_with_a_size_of_its_own() -> None:
    @typed(dims=dims(hidden=4, hiden=5))
    def f(x: Float[Tensor, "batch hiden"]) -> None: ...

    with pytest.raises(DimensionError, match="Did you mean `hidden` where the annotation of `x` says `hiden`?"):
        f(ones(2, 4))


def test_the_size_that_the_calls_around_agree_with_is_not_blamed() -> None:
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def forward(self, x: Float[Tensor, "batch seq"], y: Float[Tensor, "batch n"]) -> None:
            self.inner(x.T, y)

    class Inner(nn.Module):
        def forward(self, x: Float[Tensor, "batch seq"], y: Float[Tensor, "batch n"]) -> None: ...

    with pytest.raises(DimensionError, match="argument `y` does not fit: batch is 2, must be 3") as error:
        Model()(ones(2, 3), ones(2, 5))
    assert error.value.hint == "`x` is transposed: `x.T` fits."


NONE = [
    (mix, (ones(2, 3, 4), ones(2, 5), ones(4)), "a size that nothing explains"),
    (short, (ones(3, dtype=torch.complex64),), "a cast would drop the imaginary part"),
    (short, ("text",), "no tensor in it"),
    (several, (ones(2, 3), ones(4, 5), ones(6, 7)), "three that are wrong in three ways"),
    (mix, (ones(2, 3, 4), ones(2, 3), ones(0)), "an empty one"),
]


@pytest.mark.parametrize(("function", "values", "why"), NONE)
def test_nothing_is_proposed_where_nothing_fits(function: Any, values: tuple[Any, ...], why: str) -> None:
    with recorded() as found, pytest.raises(DimensionError) as error:
        function(*values)
    assert found[-1][1] is None, why
    assert error.value.hint == ""


# States of encoders ---------------------------------------------------------------------------------------------------


def state_of(layer: torch.nn.RNNBase, *batch: int) -> Any:
    shape = (layer.num_layers * (2 if layer.bidirectional else 1), *batch)
    hidden = ones(*shape, layer.proj_size or layer.hidden_size)
    return (hidden, ones(*shape, layer.hidden_size)) if layer.mode == "LSTM" else hidden


ENCODERS = [
    (nn.GRU(8, 12), "narrower"),
    (nn.GRU(8, 20), "wider"),
    (nn.GRU(8, 16, num_layers=2), "2-layer"),
    (nn.GRU(8, 16, bidirectional=True), "bidirectional"),
    (nn.GRU(8, 12, num_layers=3, bidirectional=True), "bidirectional"),
]


@pytest.mark.parametrize(("encoder", "word"), ENCODERS)
def test_the_state_of_another_layer_in_the_model_is_bridged(encoder: torch.nn.RNNBase, word: str) -> None:
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = encoder, nn.GRU(8, 16)

        def forward(self, source: Tensor, target: Tensor) -> Tensor:
            return self.decoder(target, self.encoder(source)[1])[0]

    model = Model()
    with pytest.raises(DimensionError) as error:
        model(ones(5, 2, 8), ones(3, 2, 8))
    assert "`nn.StateBridge(encoder, decoder)`" in error.value.hint
    assert word in error.value.hint
    bridged = nn.StateBridge(model.encoder, model.decoder)(state_of(encoder, 2))
    assert model.decoder(ones(3, 2, 8), bridged)[0].shape == (3, 2, 16)


@pytest.mark.parametrize(("encoder", "word"), ENCODERS)
def test_a_state_from_elsewhere_is_bridged_too(encoder: torch.nn.RNNBase, word: str) -> None:
    with pytest.raises(DimensionError, match="`nn.StateBridge\\(source, gru\\)` learns the map"):
        gru(ones(3, 2, 8), state_of(encoder, 2))
    gru(ones(3, 2, 8), nn.StateBridge(encoder, gru)(state_of(encoder, 2)))


def test_a_pair_is_bridged_as_a_pair() -> None:
    encoder = nn.LSTM(8, 12, bidirectional=True)
    with pytest.raises(DimensionError, match="`nn.StateBridge\\(source, lstm\\)` learns the map"):
        lstm(ones(3, 2, 8), state_of(encoder, 2))
    lstm(ones(3, 2, 8), nn.StateBridge(encoder, lstm)(state_of(encoder, 2)))


# At random ------------------------------------------------------------------------------------------------------------


@EFFORT
@given(cases())
def test_no_false_mend_for_any_annotation(case: Case) -> None:
    if case.function_kind != "plain":
        return
    is_method = case.owner is not None
    function = wrap(Declaration(case.function({}), fixed={} if is_method else case.declared, is_method=is_method))
    positional = [case.owner, *case.arguments] if is_method else case.arguments
    with recorded() as found:
        error = refusal(lambda: function(*positional, **case.keywords))
    context, fix = found[-1] if isinstance(error, DimensionError) and found else (None, None)
    event(fix.text.partition(":")[0] if fix is not None else "no fix")
    if context is None or fix is None:
        return
    assert context.fits(fix)
    given_values = {**arguments_of(function, *positional, **case.keywords), "result": case.result}
    assert_is_what_it_says(fix, given_values)
    if fix.code and error.argument != "return":
        after = refusal(lambda: call(function, fixed(fix, given_values)))
        assert after is None or getattr(after, "argument", "") == "return", (fix, after)


def refusal(function: Callable[[], Any]) -> Any:
    try:
        function()
    except Exception as error:  # noqa: BLE001  # a DeclarationError, or Python's own about the arguments
        return error
    return None
