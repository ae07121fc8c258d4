"""`unchecked` switches the checks of one model, block, method or function off, and on again."""

import asyncio
import copy
import os
import pickle
import subprocess
import sys
import textwrap
import threading

import pytest
import torch
import torch._dynamo.testing
from jaxtyping import Float, Int
from torch import Tensor

import dimtyped
from dimtyped import DeclarationError, DimensionError, DimSize, assert_dims, nn, typed, unchecked


class Base(nn.Module):
    def forward(
        self, ids: Int[Tensor, "batch seq"], scale: Float[Tensor, ""] | None = None
    ) -> Float[Tensor, "batch vocab"]:
        x = ids if ids.is_floating_point() else self.embedding(ids)
        return self.out(assert_dims(x, Float[Tensor, "batch seq hidden"])).mean(1)


class Net(Base):
    def __init__(self, vocab: DimSize, hidden: DimSize) -> None:
        super().__init__()
        self.embedding, self.out = nn.Embedding(vocab, hidden), nn.Linear(hidden, vocab)

    def forward(self, ids: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch vocab"]:
        return super().forward(ids)

    def encode(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch hidden"]:
        return x

    def items(self, x: Float[Tensor, "batch hidden"]):
        yield x

    async def later(self, x: Float[Tensor, "batch hidden"]):
        return x

    @property
    def bias(self) -> Float[Tensor, "hidden"]:
        return self.out.bias

    @staticmethod
    def still(x: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
        return x

    @classmethod
    def made(cls, x: Float[Tensor, "n n"]):
        return x


@typed
def square(x: Float[Tensor, "n n"], y: Float[Tensor, "n"] | None = None) -> Float[Tensor, "n n"]:
    return assert_dims(x, Float[Tensor, "n n"])


EMBEDDED = torch.ones(2, 3, 4)  # floats, where ids are annotated
WRONG = torch.ones(3)


def net() -> Net:
    return Net(vocab=11, hidden=4)


def is_checked(call, *args) -> bool:
    """True if the call is refused: its arguments do not fit."""
    try:
        call(*args)
    except DimensionError:
        return True
    return False


def printed_by(code: str, **environment: str) -> str:
    """What a process of its own prints."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True).stdout


class TestWhatIsOff:
    def test_a_model_with_all_that_it_has(self):
        model = net()
        with unchecked(model):
            assert model(EMBEDDED).shape == (2, 11)
            assert model.encode(WRONG) is WRONG
            assert list(model.items(WRONG)) == [WRONG]
            assert asyncio.run(model.later(WRONG)) is WRONG
            assert model.bias.shape == (11,)
            with pytest.raises(RuntimeError, match="scalar types") as caught:
                model.embedding(WRONG)
            assert not isinstance(caught.value, DimensionError)
        for call in (model, model.encode, model.embedding, lambda _: model.bias, lambda x: list(model.items(x))):
            assert is_checked(call, EMBEDDED)

    def test_another_model_of_the_class_is_checked(self):
        model, other = net(), net()
        with unchecked(model):
            assert is_checked(other, EMBEDDED)
            assert is_checked(other.embedding, WRONG)
            assert not is_checked(model, EMBEDDED)

    def test_one_block(self):
        class Outer(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.first, self.second = net(), net()

        model = Outer()
        with unchecked(model.first):
            assert not is_checked(model.first, EMBEDDED)
            assert is_checked(model.second, EMBEDDED)
        with unchecked(model):
            assert not is_checked(model.second, EMBEDDED)

    def test_one_method_of_one_model(self):
        model, other = net(), net()
        with unchecked(model.encode):
            assert not is_checked(model.encode, WRONG)
            assert is_checked(model, EMBEDDED)
            assert is_checked(other.encode, WRONG)

    @pytest.mark.parametrize(
        "method", [Net.encode, Net.still, Net.made, Net.bias], ids=["plain", "static", "class", "property"]
    )
    def test_one_method_of_every_model(self, method):
        models = net(), net()

        def call(model: Net) -> None:
            model.bias if isinstance(method, property) else getattr(model, method.__name__)(WRONG)

        with unchecked(method):
            assert not any(is_checked(call, model) for model in models)
            assert all(is_checked(model, EMBEDDED) for model in models)
        assert all(is_checked(call, model) for model in models)

    def test_static_and_class_methods_belong_to_the_class(self):
        model = net()
        with unchecked(model):
            assert is_checked(model.still, WRONG)
            assert is_checked(model.made, WRONG)

    def test_a_function(self):
        with unchecked(square):
            assert square(WRONG) is WRONG
            assert square(WRONG, WRONG[:2]) is WRONG
        assert is_checked(square, WRONG)
        assert is_checked(square, torch.ones(2, 2), WRONG)

    def test_an_equal_function_is_checked(self):
        def make():
            @typed
            def function(x: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
                return x

            return function

        with unchecked(first := make()):
            first(WRONG)
        assert is_checked(make(), WRONG)
        with unchecked(second := make()):
            assert not is_checked(second, WRONG)

    def test_a_module_of_another_class(self):
        @typed
        class Other(torch.nn.Module):
            def __init__(self, hidden: DimSize) -> None:
                super().__init__()
                self.hidden = hidden

            def forward(self, x: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch hidden"]:
                return x

        model = Other(4)
        with unchecked(model):
            assert not is_checked(model, WRONG)
        assert is_checked(model, WRONG)

    def test_a_layer_that_a_subclass_calls(self):
        class Halved(nn.LayerNorm):
            @typed
            def forward(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
                return super().forward(x.expand(2, 4))[0]

        layer = Halved(4)
        with unchecked(layer):
            assert layer(torch.ones(4)).shape == (4,)
        assert is_checked(layer, torch.ones(4))

    @pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU])
    def test_recurrent_layers_check_again_as_torch_does(self, make):
        layer, twin = make(4, 4), getattr(torch.nn, make.__name__)(4, 4)
        with unchecked(layer), pytest.raises(RuntimeError) as caught:
            layer(torch.ones(2, 3, 5))
        with pytest.raises(RuntimeError) as expected:
            twin(torch.ones(2, 3, 5))
        assert str(caught.value) == str(expected.value)
        assert is_checked(layer, torch.ones(2, 3, 5))


class TestWhen:
    def test_for_good_and_on_again(self):
        model = net()
        unchecked(model)
        assert not is_checked(model, EMBEDDED)
        unchecked(model.encode, False)
        assert is_checked(model.encode, WRONG)
        assert not is_checked(model, EMBEDDED)
        unchecked(model, False)
        assert is_checked(model, EMBEDDED)

    def test_on_again_inside_a_block_that_is_off(self):
        model = net()
        with unchecked(model):
            with unchecked(model, False):
                assert is_checked(model, EMBEDDED)
            assert not is_checked(model, EMBEDDED)

    def test_a_block_gives_back_what_was_before(self):
        model = net()
        unchecked(model.encode)
        with unchecked(model.encode, False):
            assert is_checked(model.encode, WRONG)
        assert not is_checked(model.encode, WRONG)
        with unchecked(model), unchecked(model):
            pass
        assert not is_checked(model.encode, WRONG)
        assert is_checked(model, EMBEDDED)

    def test_an_error_ends_the_block(self):
        model = net()
        with pytest.raises(KeyError), unchecked(model), unchecked(square):
            raise KeyError
        assert is_checked(model, EMBEDDED)
        assert is_checked(square, WRONG)

    def test_blocks_of_several_threads_end_in_any_order(self):
        model, checked = net(), []

        def run() -> None:
            for _ in range(50):
                with unchecked(model):
                    checked.append(is_checked(model.encode, WRONG))

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not any(checked)
        assert is_checked(model.encode, WRONG)

    def test_a_changed_layer_leaves_it_off(self):
        model = net()
        with unchecked(model):
            model.out = nn.Linear(4, 11)
            assert not is_checked(model.encode, WRONG)
        assert is_checked(model.encode, WRONG)


COPIES = {"deepcopy": copy.deepcopy, "copy": copy.copy, "pickle": lambda model: pickle.loads(pickle.dumps(model))}


class TestCopies:
    @pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
    def test_what_lasts_is_copied(self, copied):
        model = net()
        unchecked(model)
        other = copied(model)
        assert not is_checked(other, EMBEDDED)
        unchecked(other, False)
        assert is_checked(other.encode, EMBEDDED)
        assert not is_checked(model.encode, EMBEDDED)

    @pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
    def test_what_ends_with_a_block_is_not(self, copied):
        model = net()
        with unchecked(model):
            other = copied(model)
        assert is_checked(other, EMBEDDED)
        assert is_checked(model, EMBEDDED)

    def test_a_layer_that_another_process_reads(self, tmp_path):
        layer = nn.GRU(4, 4)
        unchecked(layer)
        (tmp_path / "layer.pickle").write_bytes(pickle.dumps(layer))
        printed = printed_by(f"""
            import pathlib, pickle, torch, dimtyped
            layer = pickle.loads(pathlib.Path({str(tmp_path / "layer.pickle")!r}).read_bytes())
            try:
                layer(torch.ones(2, 3, 5))
            except RuntimeError as error:
                print(type(error).__name__)
        """)
        assert printed == "RuntimeError\n"


class TestTraces:
    def test_a_compiled_model_follows(self):
        model, counter = net(), torch._dynamo.testing.CompileCounter()
        compiled = torch.compile(model, backend=counter, fullgraph=True)
        ids = torch.zeros(2, 3, dtype=torch.long)

        def refused() -> bool:
            try:
                compiled(EMBEDDED)
            except Exception as error:  # noqa: BLE001  # TorchDynamo's own kind, with the text inside
                return "dtype is float32" in str(error)
            return False

        compiled(ids)
        assert counter.frame_count == 1
        assert refused()
        with unchecked(model):
            compiled(ids)
            assert not refused()
        compiled(ids)
        assert refused()
        before = counter.frame_count
        with unchecked(model):
            compiled(ids)
            assert not refused()
        compiled(ids)
        assert counter.frame_count == before

    def test_a_compiled_function_follows(self):
        compiled = torch.compile(typed(_doubled), backend="eager")
        assert is_checked(compiled, WRONG)
        with unchecked(compiled.__wrapped__):
            assert not is_checked(compiled, WRONG)
        assert is_checked(compiled, WRONG)

    def test_the_first_call_of_all_may_be_traced(self):
        class Fresh(Net):
            pass

        model = Fresh(11, 4)
        unchecked(model)
        assert torch.compile(model, backend="eager", fullgraph=True)(EMBEDDED).shape == (2, 11)

    def test_export(self):
        model = net()
        with unchecked(model):
            exported = torch.export.export(model, (EMBEDDED,))
        assert exported.module()(EMBEDDED).shape == (2, 11)


def _doubled(x: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    return 2 * x


class TestStatus:
    def test_what_is_off(self, capsys):
        model = net()
        with unchecked(model):
            found = dimtyped.status(model)
            assert found.totals == {"checked": 1, "off": 2}  # the model has static methods
            assert found.rows[0].text == (
                "checked: still, made; not checked: forward (unchecked), encode (unchecked), items (unchecked), "
                "later (unchecked), bias (unchecked)"
            )
            assert found.rows[1].text == "off: unchecked"
        assert dimtyped.status(model).totals == {"checked": 3}

    def test_one_method(self, capsys):
        model = net()
        with unchecked(Net.encode):
            assert "not checked: encode (unchecked)" in dimtyped.status(model).rows[0].text


class TestBadInput:
    @pytest.mark.parametrize("target", [3, "model", len, Net], ids=["number", "text", "builtin", "class"])
    def test_what_it_does_not_take(self, target):
        with pytest.raises(DeclarationError, match="takes a module, a method or a function, not .* of type"):
            unchecked(target)

    @pytest.mark.parametrize(
        "target", [_doubled, net().parameters, net().out.extra_repr], ids=["function", "method", "layer"]
    )
    def test_what_nothing_checks(self, target):
        with pytest.raises(DeclarationError, match=f"nothing checks '.*{target.__name__}'"):
            unchecked(target)


@pytest.mark.any_engine
def test_with_checks_off_it_changes_nothing():
    printed = printed_by(
        """
        import torch, dimtyped
        from dimtyped import nn, typed, unchecked
        def f(x): return x
        with unchecked(nn.Linear(2, 3)), unchecked(typed(f)):
            print(nn.Linear.forward is torch.nn.Linear.forward)
        """,
        DIMTYPED="off",
    )
    assert printed == "True\n"
