"""Whatever is done to a module, it declares what it holds, and a call is judged alike."""

import copy
import pickle

import pytest
import torch
from hypothesis import example, given, strategies as st
from jaxtyping import Float, Int
from torch import Tensor

import dimtyped
from dimtyped import DeclarationError, Dim, DimensionError, DimSize, dims, nn, typed
from dimtyped.testing import broken_calls, calls
from tests.nn.scope_cases import ones

SLOTS, NAMES = st.sampled_from(["first", "second", "third"]), st.sampled_from(["a", "b"])


KINDS = ["dim", "layer", "list", "plain", "append", "delete", "in place", "deepcopy", "pickle"]


UNTOLD = ["torch's list", "insert", "remove", "take out", "put in"]
"""Changes of torch's own containers, and of `_modules`, which nobody tells."""


CHANGE = st.tuples(st.sampled_from(KINDS), SLOTS, NAMES, st.integers(1, 3))


ANY_CHANGE = st.tuples(st.sampled_from(KINDS + UNTOLD), SLOTS, NAMES, st.integers(1, 3))


SIZES = st.tuples(st.integers(1, 3), st.integers(1, 3))


class Typed(nn.Module):
    def forward(self, x: Float[Tensor, "a"], y: Float[Tensor, "b"]):
        return x, y


class Lazy(torch.nn.Module):
    @typed
    def forward(self, x: Float[Tensor, "a"], y: Float[Tensor, "b"]):
        return x, y


def changed(module, kind, slot, name, size):
    """The module, or a copy of it, after one change."""
    layer = nn.Linear(Dim(name, size), 7)
    values = {
        "dim": Dim(name, size),
        "layer": layer,
        "list": nn.ModuleList([layer]),
        "torch's list": torch.nn.ModuleList([layer]),
        "plain": nn.Linear(size, 7),
    }
    held = getattr(module, slot, None)
    if kind in values:
        if not isinstance(values[kind], torch.nn.Module) and slot in module._modules:
            delattr(module, slot)
        setattr(module, slot, values[kind])
    elif kind == "append" and isinstance(getattr(module, slot, None), nn.ModuleList):
        getattr(module, slot).append(layer)
    elif kind == "delete" and hasattr(module, slot):
        delattr(module, slot)
    elif kind == "in place" and isinstance(getattr(module, slot, None), nn.Linear):
        getattr(module, slot).in_features = size  # as what resizes an embedding does
    elif kind == "insert" and isinstance(held, torch.nn.ModuleList):
        held.insert(0, layer)
    elif kind == "remove" and isinstance(held, torch.nn.ModuleList) and len(held):
        del held[0]
    elif kind == "take out" and isinstance(held, torch.nn.ModuleList) and len(held):
        held[0] = nn.Linear(size, 7)
    elif kind == "put in" and isinstance(held, torch.nn.Module) and isinstance(module, torch.nn.ModuleList | Lazy):
        module._modules[slot] = layer
    elif kind == "deepcopy":
        return copy.deepcopy(module)
    elif kind == "pickle":
        return pickle.loads(pickle.dumps(module))
    return module


class Declared:
    """What a module declares after some changes, by the rules and nothing else.

    A slot holds a kind and the claims of it. A new owner of a name that has another size is refused; what takes an
    owner's place is not. Layers decide, stored sizes count where no layer has the name.
    """

    def __init__(self):
        self.slots: dict[str, tuple[str, list[tuple[str, int]]]] = {}

    def refuses(self, kind, slot, name, size) -> bool:
        """Whether the change is an error, and the slot is left as it was, or emptied where a Dim takes a layer's place."""
        held_kind, held = self.slots.get(slot, ("", []))
        before = [] if kind == "dim" and held_kind != "dim" else held
        claims = {"dim": [(name, size)], "layer": [(name, size)], "list": [(name, size)]}.get(kind, [])
        if kind == "append" and held_kind == "list":
            claims = [*held, (name, size)]
        if len([1 for each, _ in claims if each == name]) <= len([1 for each, _ in before if each == name]):
            return False
        others = [claim for key, (_, found) in self.slots.items() if key != slot for claim in found]
        return any(each == name and other != size for each, other in [*others, *claims])

    def change(self, kind, slot, name, size):
        held_kind, held = self.slots.get(slot, ("", []))
        if kind in ("dim", "layer", "list"):
            self.slots[slot] = (kind, [(name, size)])
        elif kind == "plain":
            heirs = [(each, size) for each, _ in held] if held_kind == "layer" else []
            self.slots[slot] = ("layer", heirs)
        elif kind == "append" and held_kind == "list":
            held.append((name, size))
        elif kind == "delete":
            self.slots.pop(slot, None)
        elif kind == "in place" and held_kind == "layer":
            self.slots[slot] = ("layer", [(each, size) for each, _ in held])

    def verdicts(self, sizes) -> list[str]:
        known = {}
        for name in "ab":
            for kinds in (("layer", "list"), ("dim",)):
                found = {s for kind, claims in self.slots.values() if kind in kinds for n, s in claims if n == name}
                known.setdefault(name, found)
                known[name] = known[name] or found
        two = [f"{name} is two" for name in "ab" if len(known[name]) > 1]
        wrong = [f"{name} is not {size}" for name, size in zip("ab", sizes, strict=True) if known[name] - {size}]
        return two or wrong or ["fits"]


def verdict(module, a: int, b: int) -> str:
    try:
        module(ones(a), ones(b))
    except DimensionError as error:
        return f"{error.dim} is not {error.actual}"
    except DeclarationError as error:
        return f"{error.dim} is two"
    return "fits"


@pytest.mark.filterwarnings("ignore::dimtyped.DimensionWarning")
@given(changes=st.lists(CHANGE, max_size=12), sizes=st.lists(SIZES, min_size=12, max_size=12), calls=st.booleans())
@example(
    changes=[
        ("dim", "first", "b", 1),
        ("layer", "second", "b", 1),
        ("dim", "second", "a", 1),
        ("layer", "second", "b", 2),
    ],
    sizes=12 * [(1, 1)],
    calls=False,
)
@example(
    changes=[("layer", "first", "a", 1), ("layer", "second", "a", 1), ("layer", "first", "a", 2)],
    sizes=12 * [(1, 1)],
    calls=True,
)
def test_after_any_history_a_module_declares_what_it_holds(changes, sizes, calls):
    module, expected = Typed(), Declared()
    for change, drawn in zip(changes, sizes, strict=False):
        if expected.refuses(*change):
            had_layer = change[1] in module._modules
            with pytest.raises(DeclarationError, match="two sizes"):
                changed(module, *change)
            if change[0] == "dim" and had_layer:
                expected.change("delete", *change[1:])
        else:
            module = changed(module, *change)
            expected.change(*change)
        if calls:
            assert verdict(module, *drawn) in expected.verdicts(drawn)
    assert verdict(module, *sizes[0]) in expected.verdicts(sizes[0])


@pytest.mark.filterwarnings("ignore::dimtyped.DimensionWarning")
@given(changes=st.lists(CHANGE, max_size=12), sizes=SIZES)
@example(changes=[("dim", "first", "a", 1), ("dim", "first", "b", 1)], sizes=(2, 1))
def test_after_any_history_a_plain_module_declares_what_it_holds(changes, sizes):
    module, history = Lazy(), Declared()
    for change in changes:
        module = changed(module, *change)
        history.change(*change)
        said = verdict(module, *sizes)
        known = {n: {s for _, found in history.slots.values() for name, s in found if name == n} for n in "ab"}
        wrong = [f"{name} is not {size}" for name, size in zip("ab", sizes, strict=True) if known[name] - {size}]
        two = [f"{name} is two" for name in "ab" if len(known[name]) > 1]
        assert said in (two or wrong or ["fits"])


class Outer(Typed):
    """A parent of the modules that change: it knows their names by inheritance alone."""

    def __init__(self, kind):
        super().__init__()
        self.children_ = nn.ModuleList([kind(), kind()])


class OuterOfTorch(Lazy):
    """The same of torch's own classes, which tell of no change."""

    def __init__(self, kind):
        super().__init__()
        self.children_ = torch.nn.ModuleList([kind(), kind()])


@pytest.mark.filterwarnings("ignore::dimtyped.DimensionWarning")
@given(
    outer=st.sampled_from([Outer, OuterOfTorch]),
    kind=st.sampled_from([Typed, Lazy]),
    changes=st.lists(st.tuples(st.integers(0, 1), ANY_CHANGE), max_size=12),
    sizes=st.lists(SIZES, min_size=13, max_size=13),
)
@example(Outer, Typed, [(0, ("layer", "first", "a", 1)), (0, ("in place", "first", "a", 2))], 13 * [(1, 1)])
@example(Outer, Lazy, [(0, ("layer", "first", "a", 1)), (0, ("plain", "first", "a", 2))], 13 * [(1, 1)])
@example(OuterOfTorch, Typed, [(0, ("torch's list", "first", "a", 1)), (0, ("insert", "first", "a", 2))], 13 * [(1, 1)])
@example(
    OuterOfTorch, Lazy, [(0, ("torch's list", "first", "a", 1)), (0, ("take out", "first", "a", 2))], 13 * [(1, 1)]
)
def test_the_verdict_of_a_call_does_not_depend_on_the_calls_before_it(outer, kind, changes, sizes):
    called, quiet = outer(kind), outer(kind)
    for (child, change), drawn in zip(changes, sizes, strict=False):
        for model in (called, quiet):
            try:
                model.children_[child] = changed(model.children_[child], *change)
            except DeclarationError:
                assert change[0] in ("dim", "layer", "list", "torch's list", "append", "insert")
        verdict(called, *drawn)
        verdict(called.children_[child], *drawn)
    assert verdict(called, *sizes[-1]) == verdict(quiet, *sizes[-1])
    for mine, other in zip(called.children_, quiet.children_, strict=True):
        assert verdict(mine, *sizes[-1]) == verdict(other, *sizes[-1])


class Decoder(nn.Module):
    """The design's first page."""

    def __init__(self, vocab: DimSize, embed: DimSize, hidden: DimSize):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.gru = nn.GRU(embed, hidden, batch_first=True)
        self.out = nn.TiedDecoder(self.embedding, hidden, project=True)

    def forward(
        self, tokens: Int[Tensor, "batch seq"], state: Float[Tensor, "layers batch hidden"]
    ) -> tuple[Float[Tensor, "batch seq vocab"], Float[Tensor, "layers batch hidden"]]:
        output, state = self.gru(self.embedding(tokens), state)
        return self.out(output), state


sizes = st.integers(1, 5)


class TestTheDesignsDecoder:
    @given(st.data(), sizes, sizes, sizes)
    def test_takes_what_fits(self, data, vocab, embed, hidden):
        decoder = Decoder(vocab, embed, hidden)
        (tokens, before), _ = data.draw(calls(decoder, sizes={"layers": 1}))
        logits, state = decoder(tokens, before)
        assert before.shape == (1, len(tokens), hidden)
        assert (logits.shape, state.shape) == ((*tokens.shape, vocab), before.shape)
        output, _ = decoder.gru(decoder.embedding(tokens), before)
        assert torch.equal(logits, decoder.out(output))

    @given(st.data(), sizes, sizes, sizes)
    def test_names_what_does_not(self, data, vocab, embed, hidden):
        decoder = Decoder(vocab, embed, hidden)
        broken = data.draw(broken_calls(decoder, sizes={"layers": 1}).filter(lambda broken: broken.kind != "missing"))
        with pytest.raises(DimensionError) as caught:
            decoder(*broken.args, **broken.kwargs)
        error = caught.value
        assert (error.where, error.argument) == ("Decoder.forward", broken.argument)
        if broken.kind == "size":
            tokens, state = broken.args
            right, wrong = {"hidden": (hidden, state.shape[2]), "batch": (len(tokens), state.shape[1])}[broken.dim]
            assert (error.argument, error.dim, error.expected, error.actual) == ("state", broken.dim, right, wrong)
            assert error.bindings["hidden"] == hidden

    def test_dims_made_outside_declare_too(self):
        with pytest.raises(DimensionError, match="hidden is 5, must be 4"):
            Decoder(*dims(vocab=9, embed=2, hidden=4))(torch.zeros(2, 3, dtype=torch.int64), ones(1, 2, 5))

    def test_with_other_names_for_its_sizes(self):
        decoder = Decoder(*dims(words=9, width=2, memory=4))
        assert "Embedding(words=9 -> width=2)" in repr(decoder)
        with pytest.raises(DimensionError, match="memory is 5, must be 4|hidden is 5, must be 4"):
            decoder(torch.zeros(2, 3, dtype=torch.int64), ones(1, 2, 5))

    def test_status_of_the_module_is_not_disturbed_by_retype(self):
        decoder = dimtyped.retype(dimtyped.untype(Decoder(9, 2, 4)))
        with pytest.raises(DimensionError, match="hidden is 5, must be 4"):
            decoder(torch.zeros(2, 3, dtype=torch.int64), ones(1, 2, 5))
