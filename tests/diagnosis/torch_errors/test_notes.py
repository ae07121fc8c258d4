"""An exception of torch's inside a typed call stays as it is and gets a note in names, wherever the call runs."""

import asyncio
import io
import json
import logging
import pickle
import threading
import traceback

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

import dimtyped
from dimtyped import DeclarationError, DimensionError, DimSize, check, explain, nn, typed
from dimtyped.diagnosis.torch_errors import note

NOTE = """\
dimtyped: `q @ k` in scores: head=16 meets time=8
    q   float32 (batch=4, time=8, head=16)
    k   float32 (batch=4, time=8, head=16)
                          ^^^^^^ must be 16
  `q @ k.transpose(1, 2)` fits."""


@typed
def scores(q: Float[Tensor, "batch time head"], k: Float[Tensor, "batch time head"]):
    return q @ k


def q():
    return torch.ones(4, 8, 16)


def raised(call, *args):
    """The exception of torch's that a call raises."""
    with pytest.raises((RuntimeError, IndexError, ValueError, TypeError, KeyError, AttributeError)) as caught:
        call(*args)
    return caught.value


def note_of(call, *args):
    """The note of the exception that a call raises."""
    return "\n".join(getattr(raised(call, *args), "__notes__", []))


def test_it_keeps_its_type_and_its_text_and_gets_the_note():
    plain = raised(torch.matmul, q(), q())
    error = raised(scores, q(), q())
    assert type(error) is type(plain)
    assert str(error) == str(plain)
    assert error.__notes__ == [NOTE]


def test_the_very_object_goes_on():
    held = []

    @typed
    def f(x: Float[Tensor, "batch time head"]):
        try:
            return x @ x
        except RuntimeError as error:
            held.append(error)
            raise

    assert raised(f, q()) is held[0]
    assert len(held[0].__notes__) == 1


def test_several_typed_calls_around_add_one_note():
    @typed
    def outer(x: Float[Tensor, "b t h"]):
        return scores(x, x)

    assert raised(outer, q()).__notes__ == [NOTE]


def grad_of(x):
    return torch.func.grad(lambda x: scores(x, x).sum())(x)


def of_generator(x):
    @typed
    def items(x: Float[Tensor, "batch time head"]):
        yield x
        yield scores(x, x)

    return list(items(x))


def of_coroutine(x):
    @typed
    async def item(x: Float[Tensor, "batch time head"]):
        return scores(x, x)

    return asyncio.run(item(x))


def in_mode(mode):
    def call(x):
        with mode():
            return scores(x, x)

    return call


CALLS = {
    "no_grad": in_mode(torch.no_grad),
    "inference mode": in_mode(torch.inference_mode),
    "autocast": in_mode(lambda: torch.autocast("cpu", dtype=torch.bfloat16)),
    "vmap": lambda x: torch.vmap(scores)(x.expand(3, *x.shape), x.expand(3, *x.shape)),
    "grad": grad_of,
    "generator": of_generator,
    "coroutine": of_coroutine,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_note_is_the_same_wherever_it_runs(call):
    assert note_of(call, q()) == NOTE


def test_in_a_thread():
    notes = []
    thread = threading.Thread(target=lambda: notes.append(note_of(scores, q(), q())))
    thread.start()
    thread.join()
    assert notes == [NOTE]


class Scores(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return scores(q(), q())


@pytest.mark.any_engine
def test_in_a_worker_of_a_data_loader_the_text_comes_along():
    assert NOTE in str(raised(list, torch.utils.data.DataLoader(Scores(), num_workers=1)))


@pytest.mark.any_engine
def test_under_watch_and_fake_tensors():
    with dimtyped.watch():
        assert note_of(scores, q(), q()) == NOTE
    with torch._subclasses.FakeTensorMode() as mode:
        fake = mode.from_tensor(q())
    assert note_of(scores, fake, fake) == NOTE


# What is left as it is ------------------------------------------------------------------------------------------------


def of_user(x):
    raise RuntimeError("The size of tensor a (8) must match the size of tensor b (16) at non-singleton dimension 1")


def unpacked(x):
    batch, time, heads, head = x.shape
    return batch, time, heads, head


def of_python(x):
    return int(f"Expected {x.shape[0]}, got {x.shape[1]}")


OTHERS = {
    "an unpacking of too few": unpacked,
    "Python's own": of_python,
    "an index of a list": lambda x: list(x)[9],
    "an index of a shape": lambda x: x.shape[3],
    "an attribute": lambda x: x.sizes,
    "the user's own": of_user,
    "a key": lambda x: {}["batch"],
    "an unpacking": lambda x: [a for a, b in [x.shape]],
    "a value": lambda x: torch.linalg.inv(torch.zeros(2, 2)),
    "an argument of another kind": lambda x: torch.dropout(x, 3.0, train=True),
    "autograd": lambda x: x.sum().backward(),
    "a wrong keyword": lambda x: x.sum(axes=1),
}


@pytest.mark.parametrize("body", OTHERS.values(), ids=OTHERS)
def test_any_other_exception_is_left_as_it_is(body):
    @typed
    def f(x: Float[Tensor, "batch time head"]):
        return body(x)

    error = raised(f, q())
    assert not hasattr(error, "__notes__")
    assert error.__dict__ == {}
    assert explain(error) is None


def test_outside_of_typed_calls_there_is_no_note():
    assert note_of(torch.matmul, q(), q()) == ""


def test_a_dimension_error_has_no_note():
    error = raised(scores, q(), q()[0])
    assert isinstance(error, DimensionError)
    assert not hasattr(error, "__notes__")


class Hostile:
    """An object whose attributes cannot be read."""

    def __getattr__(self, name):
        raise RuntimeError("never read")

    def __repr__(self):
        raise RuntimeError("never shown")


def test_objects_of_the_user_are_not_asked_for_anything():
    hostile = Hostile()

    @typed
    def f(x: Float[Tensor, "batch time head"], other):
        return torch.cat([x, other.value if hasattr(type(other), "value") else x[0]])

    error = raised(f, q(), hostile)
    assert "Tensors must have same number of dimensions" in str(error)


def test_nothing_of_the_model_runs_again():
    calls = []

    class Head(nn.Module):
        def key(self, x):
            calls.append("key")
            return x

        @property
        def scale(self):
            calls.append("scale")
            return torch.ones(3)

        def forward(self, x: Float[Tensor, "batch time head"]) -> Tensor:
            return x @ (self.key(x) * self.scale[0])

    note = note_of(Head(), q())
    assert calls == ["key", "scale"]
    assert note.startswith("dimtyped: `x @ (self.key(x) * self.scale[0])` in Head.forward: head=16 meets time=8")
    assert "x   float32 (batch=4, time=8, head=16)" in note


def test_no_value_is_printed():
    @typed
    def f(x: Float[Tensor, "batch time"]):
        return x @ x

    assert "4321" not in note_of(f, torch.full((4, 8), 4321.0))


def test_random_numbers_and_gradients_are_as_before():
    x = q().requires_grad_()
    state = torch.random.get_rng_state()
    raised(scores, x, x)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert x.grad is None
    assert torch.is_grad_enabled()


def test_an_error_that_only_a_finding_shows_is_not_explained(monkeypatch):
    asked = []
    monkeypatch.setattr(note, "explain_error", lambda error: asked.append(error))

    assert [found.kind for found in check(scores).findings] == ["refused"]
    assert not asked
    error = raised(scores, q(), q())
    assert asked == [error]


# Names ----------------------------------------------------------------------------------------------------------------


def test_an_axis_is_uncertain_where_two_names_have_its_size():
    @typed
    def f(x: Float[Tensor, "batch time"], y: Float[Tensor, "heads dim"]):
        h = x.relu() * 1
        h = h + 0
        return h @ y

    assert "(4: batch or heads, time=8)" in note_of(f, torch.ones(4, 8), torch.ones(4, 16))


def test_an_argument_has_the_names_of_its_annotation_where_sizes_agree():
    @typed
    def f(x: Float[Tensor, "batch time"], y: Float[Tensor, "heads dim"]):
        return x.T @ y.T

    note = note_of(f, torch.ones(4, 8), torch.ones(4, 8))
    assert "x.T   float32 (time=8, batch=4)" in note
    assert "y.T   float32 (dim=8, heads=4)" in note


def test_products_of_neighbors_are_named():
    @typed
    def f(x: Float[Tensor, "batch seq vocab"], y: Float[Tensor, "batch"]):
        flat = x.view(-1, 100)
        return flat.mean(1) + y

    assert "batch*seq=32 meets batch=4" in note_of(f, torch.ones(4, 8, 100), torch.ones(4))


def test_declared_names_and_the_path_in_the_model():
    class Head(nn.Module):
        def __init__(self, embed: DimSize, head: DimSize):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(head, embed))

        def forward(self, x: Float[Tensor, "batch embed"]) -> Tensor:
            return x @ self.weight

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.heads = nn.ModuleList([Head(32, 16)])

        def forward(self, x: Float[Tensor, "batch embed"]) -> Tensor:
            return self.heads[0](x)

    error = raised(Model(), torch.ones(4, 32))
    report = explain(error)
    assert (report.where, report.path) == ("Head.forward", "Model.heads.0")
    assert report.problem == "embed=32 meets head=16"
    assert report.origins["head"] == "declared by parameter `head` of Head.__init__"
    assert error.__notes__[0].startswith("dimtyped: `x @ self.weight` in Head.forward (Model.heads.0): embed=32")


def test_the_deepest_frame_of_the_users_counts():
    def untyped(a, b):
        return torch.cat([a, b])

    @typed
    def f(x: Float[Tensor, "batch time"]):
        return untyped(x, x[0])

    report = explain(raised(f, torch.ones(4, 8)))
    assert (report.where, report.source) == ("untyped", "torch.cat([a, b])")
    assert [operand.description for operand in report.operands] == ["float32 (batch=4, time=8)", "float32 (time=8)"]


def test_an_expression_over_several_lines():
    @typed
    def f(x: Float[Tensor, "batch time"]):
        return (
            x
            .transpose(0, 1)
            .view(
                4, 8,
            )
        )  # fmt: skip

    report = explain(raised(f, torch.ones(4, 8)))
    assert report.source == "x.transpose(0, 1).view(4, 8)"
    assert report.fix == "x.transpose(0, 1).reshape(4, 8)"


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_layer_that_is_on_another_device(device):
    other = {"cpu": "meta", "meta": "cpu"}[device]
    layer = nn.Linear(8, 3, device=other)
    note = note_of(layer, torch.ones(4, 8, device=device))
    assert f"on {device}, `Linear.weight` on {other}" in note


# The data -------------------------------------------------------------------------------------------------------------


def test_the_data_goes_into_json_and_pickles():
    error = raised(scores, q(), q())
    report = explain(error)
    data = json.loads(json.dumps(report.to_dict()))
    assert (data["where"], data["operator"], data["kind"]) == ("scores", "matmul", "shape")
    assert data["operands"][1] == {
        "text": "k",
        "dtype": "float32",
        "shape": [4, 8, 16],
        "axes": ["batch", "time", "head"],
        "device": "cpu",
        "description": "float32 (batch=4, time=8, head=16)",
        "placements": [],
    }
    assert data["bindings"] == {"batch": 4, "time": 8, "head": 16}
    assert explain(pickle.loads(pickle.dumps(error))) == report


def test_a_cause_is_found_too():
    def wrapped():
        try:
            scores(q(), q())
        except RuntimeError as error:
            raise ValueError("while training") from error

    assert explain(raised(wrapped)).problem == "head=16 meets time=8"


def test_what_is_no_exception_is_refused():
    with pytest.raises(DeclarationError, match=r"explain\(\) takes an exception, not 'boom' of type str"):
        explain("boom")


# Tracebacks -----------------------------------------------------------------------------------------------------------


def test_logging_and_tracebacks_show_the_users_lines_and_the_note():
    stream = io.StringIO()
    logger = logging.Logger("test")
    logger.addHandler(logging.StreamHandler(stream))
    for _ in range(2):
        try:
            scores(q(), q())
        except RuntimeError:
            logger.exception("failed")
    for shown in stream.getvalue().split("failed\n")[1:]:
        assert shown.endswith(f"{NOTE}\n")
        assert shown.count("File ") == 2
        assert "return q @ k" in shown
        assert "<dimtyped" not in shown


@pytest.mark.parametrize("style", ["short", "long", "native"])
def test_pytest_shows_the_note_and_no_frame_of_ours(style):
    shown = str(pytest.ExceptionInfo.from_exception(raised(scores, q(), q())).getrepr(style=style))
    assert "must be 16" in shown
    assert "`q @ k.transpose(1, 2)` fits." in shown
    assert "<dimtyped" not in shown
    assert "dimtyped/engine" not in shown


def test_the_first_call_leaves_no_frame_either():
    @typed
    def f(x: Float[Tensor, "batch time head"]):
        return x @ x

    error = raised(f, q())
    assert {entry.filename for entry in traceback.extract_tb(error.__traceback__)} == {__file__}
