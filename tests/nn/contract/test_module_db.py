"""The drop-in proof: torch's own table of modules, run through the typed layers in place of torch's.

`torch.testing._internal.common_modules.module_db` is in torch's wheel: for each module, constructor arguments and
calls that must work, and some that must be refused. Each typed layer must be torch's in every bit of it.
"""

import copy
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils.rnn import PackedSequence
from torch.utils import _pytree as pytree

from dimtyped import DeclarationError, nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what torch's own test modules warn of when they are imported
    from torch.testing._internal.common_modules import ModuleErrorEnum, ModuleInfo, module_db

REPLACED = [
    info
    for info in module_db
    if getattr(torch.nn, info.module_cls.__name__, None) is info.module_cls
    and getattr(nn, info.module_cls.__name__) is not info.module_cls
]
# The modules of the table that stay torch's own, and why.
PASSED_THROUGH = {
    "keeps the shape of its input": (
        "CELU ELU GELU Hardshrink Hardswish Hardtanh LeakyReLU LogSigmoid Mish PReLU ReLU ReLU6 SELU SiLU Sigmoid Softplus "
        "Softshrink Softsign Tanh Tanhshrink Threshold LocalResponseNorm Softmax Softmax2d Softmin LogSoftmax"
    ),
    "halves an axis that its caller chooses; there is no size to name": "GLU",
    "widens any tensor by what its constructor was told; there is no size to name": (
        "CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d ReflectionPad2d "
        "ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d ZeroPad1d ZeroPad2d ZeroPad3d"
    ),
}
# The typed layers that torch's table lacks, by the file that compares them with torch's.
NOT_IN_THE_TABLE = {
    "test_norm.py": "SyncBatchNorm",
    "test_transformer.py": "TransformerDecoder",
    "test_loss.py": "AdaptiveLogSoftmaxWithLoss TripletMarginLoss TripletMarginWithDistanceLoss",
    "test_pooling.py": "MaxUnpool1d MaxUnpool2d MaxUnpool3d",
    "test_shape.py": (
        "ChannelShuffle Flatten Fold PixelShuffle PixelUnshuffle Unflatten Unfold Upsample UpsamplingBilinear2d UpsamplingNearest2d"
    ),
    "test_embedding_bag.py": "EmbeddingBag",
}

# Torch samples every combination of that loss's options, 857 of 20 ms: one in so many, others for each dtype and mode.
ONE_IN = {"LinearCrossEntropyLoss": 13}

DTYPES = (torch.float32, torch.float64)
by_name = lambda info: info.module_cls.__name__  # noqa: E731  # an id for pytest
each_replaced = pytest.mark.parametrize("info", REPLACED, ids=by_name)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
each_mode = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


@dataclass(frozen=True)
class Sample:
    """One row of the table: how to make the module, and how to call it."""

    info: ModuleInfo
    row: Any
    dtype: torch.dtype
    training: bool

    def make(self, cls: type[torch.nn.Module]) -> torch.nn.Module:
        torch.manual_seed(0)
        arguments = self.row.constructor_input
        module = cls(*fresh(arguments.args), **fresh(arguments.kwargs))
        return module.to(self.dtype).train(self.training)

    def plain(self) -> torch.nn.Module:
        return self.make(self.info.module_cls)

    def typed(self) -> torch.nn.Module:
        return self.make(getattr(nn, self.info.module_cls.__name__))

    def run(self, module: torch.nn.Module) -> dict[str, Any]:
        """All that a call gives: the result, and the gradients of the inputs, the parameters and the buffers' values."""
        torch.manual_seed(1)
        inputs = self.row.forward_input
        args, kwargs = fresh(inputs.args), fresh(inputs.kwargs)
        result = module(*args, **kwargs)
        backwards(result)
        given = [leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        return {
            "result": detached(result),
            "gradients of the inputs": [leaf.grad for leaf in given],
            "gradients of the parameters": [parameter.grad for parameter in module.parameters()],
            "state": detached(module.state_dict()),
        }


def samples(info: ModuleInfo, dtype: torch.dtype, training: bool) -> list[Sample]:
    torch.manual_seed(7)
    rows = info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True, training=training)
    found = [Sample(info, row, dtype, training) for row in rows if row.forward_input is not None]
    return found[2 * DTYPES.index(dtype) + training :: ONE_IN[by_name(info)]] if by_name(info) in ONE_IN else found


def made_differently(of_a_class: list[Sample]) -> list[Sample]:
    """One sample for each way to make the module: what it holds does not depend on what it is called with."""
    made = [(sample.row.constructor_input, sample) for sample in of_a_class]
    return list({repr((how.args, how.kwargs)): sample for how, sample in made}.values())


def leaves(tree: Any) -> list[Any]:
    return pytree.tree_leaves(tree, is_leaf=lambda value: isinstance(value, PackedSequence))


def fresh(tree: Any) -> Any:
    """A copy that shares no tensor with the original."""
    return pytree.tree_map(_copied, tree, is_leaf=lambda value: isinstance(value, PackedSequence))


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, PackedSequence | torch.nn.Module):
        return copy.deepcopy(value)
    return value


def detached(tree: Any) -> Any:
    return pytree.tree_map(lambda value: value.detach().clone() if isinstance(value, torch.Tensor) else value, tree)


def backwards(result: Any) -> None:
    outputs = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor) and leaf.requires_grad]
    if outputs:
        torch.stack([output.double().sum() for output in outputs]).sum().backward()


def assert_same(ours: Any, theirs: Any, where: str) -> None:
    """Bit for bit, in any structure of tensors."""
    our_leaves, our_spec = pytree.tree_flatten(ours)
    their_leaves, their_spec = pytree.tree_flatten(theirs)
    assert our_spec == their_spec, where
    for our, their in zip(our_leaves, their_leaves, strict=True):
        assert type(our) is type(their), where
        if isinstance(their, torch.Tensor):
            assert (our.dtype, our.shape, our.stride()) == (their.dtype, their.shape, their.stride()), where
            assert torch.equal(torch.view_as_real(our) if our.is_complex() else our, their) or (
                torch.equal(our.isnan(), their.isnan()) and torch.equal(our.nan_to_num(), their.nan_to_num())
            ), where
        else:
            assert our == their, where


quiet = pytest.mark.filterwarnings("ignore")  # torch's own warnings about its own samples are the same for both


@quiet
@each_replaced
@each_dtype
@each_mode
class TestEverySample:
    @pytest.mark.any_engine  # no call's check has a part in it
    def test_construction_and_state(self, info, dtype, training):
        for sample in made_differently(samples(info, dtype, training)):
            ours, theirs = sample.typed(), sample.plain()
            assert type(ours) is getattr(nn, info.module_cls.__name__)
            assert repr(ours) == repr(theirs)
            if info.is_lazy:  # its parameters have a shape once it was called
                sample.run(ours)
                sample.run(theirs)
                assert type(ours) is getattr(nn, type(theirs).__name__)
            assert_same(ours.state_dict(), theirs.state_dict(), "state_dict")
            for parameter in (*ours.parameters(), *theirs.parameters()):
                parameter.data.add_(1)
            sample.plain().load_state_dict(ours.state_dict())
            loaded = sample.typed()
            loaded.load_state_dict(theirs.state_dict())
            assert_same(loaded.state_dict(), theirs.state_dict(), "loaded")

    def test_calls_and_gradients(self, info, dtype, training):
        for sample in samples(info, dtype, training):
            ours, theirs = sample.run(sample.typed()), sample.run(sample.plain())
            for what, expected in theirs.items():
                assert_same(ours[what], expected, what)

    @pytest.mark.any_engine  # what a copy holds; that calls are equal is the test above
    def test_copies(self, info, dtype, training):
        for sample in made_differently(samples(info, dtype, training)):
            ours, theirs = sample.typed(), sample.plain()
            for copied in (copy.deepcopy, pickled):
                if copied is pickled and forgets_its_dtype(theirs):
                    sample.run(ours)
                    sample.run(theirs)
                copy_of_ours = copied(ours)
                assert type(copy_of_ours) is type(ours)
                assert_same(sample.run(copy_of_ours), sample.run(copied(theirs)), "copy")


def pickled(module: torch.nn.Module) -> torch.nn.Module:
    return pickle.loads(pickle.dumps(module))


def forgets_its_dtype(module: torch.nn.Module) -> bool:
    """Whether torch's own pickle is of no use before the first call: of an uninitialized parameter it keeps no dtype."""
    return any(isinstance(p, UninitializedParameter) and p.dtype is not torch.float32 for p in module.parameters())


@quiet
@pytest.mark.parametrize("info", [info for info in REPLACED if info.module_error_inputs_func], ids=by_name)
@each_dtype
def test_every_error_is_caught_by_what_caught_torchs(info, dtype):
    torch.manual_seed(7)
    for error in info.module_error_inputs_func(info, device="cpu", dtype=dtype, requires_grad=False, training=True):
        made, given = error.module_error_input.constructor_input, error.module_error_input.forward_input
        typed = getattr(nn, info.module_cls.__name__)
        if error.error_on is ModuleErrorEnum.CONSTRUCTION_ERROR:
            refused = raised_by(lambda: info.module_cls(*made.args, **made.kwargs))  # noqa: B023
            assert isinstance(raised_by(lambda: typed(*made.args, **made.kwargs)), (type(refused), DeclarationError))  # noqa: B023
        else:
            theirs, ours = (cls(*fresh(made.args), **fresh(made.kwargs)) for cls in (info.module_cls, typed))
            refused = raised_by(lambda: theirs(*given.args, **given.kwargs))  # noqa: B023
            assert isinstance(raised_by(lambda: ours(*given.args, **given.kwargs)), type(refused))  # noqa: B023


def raised_by(call: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as raised:  # noqa: PT011  # which one is what the callers ask
        call()
    return raised.value


def test_every_module_of_the_table_is_typed_or_has_no_rule():
    free = {name for names in PASSED_THROUGH.values() for name in names.split()}
    other = {info.module_cls.__name__ for info in module_db} - {info.module_cls.__name__ for info in REPLACED}
    assert other == free.intersection(info.module_cls.__name__ for info in module_db)


def test_every_typed_layer_is_in_the_table_or_compared_elsewhere():
    from dimtyped.nn.contract import layer_classes, torch_class_of

    typed = {cls.__name__ for cls in layer_classes() if torch_class_of(cls) is not None}
    elsewhere = {name for names in NOT_IN_THE_TABLE.values() for name in names.split()}
    assert typed - {info.module_cls.__name__ for info in REPLACED} == elsewhere
