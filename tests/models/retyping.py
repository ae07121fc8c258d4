"""What a model that others wrote must show once it is retyped: the same numbers, nothing unseen, and a way back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

import dimtyped
from dimtyped import retype, untype
from dimtyped.nn.contract import Layer

# The torch classes that have a typed one.
TYPED = tuple(
    dimtyped.nn.contract.layer.torch_class_of(cls) or cls for cls in dimtyped.nn.contract.layer.layer_classes()
)
FOREIGN = "forward is not annotated"


def of_another(kind: str) -> str:
    """What `status` says of a subclass."""
    return f"a subclass of {kind}, whose contract is not known"


def normalized(kind: str) -> str:
    """What `status` says of a layer under `torch.nn.utils.parametrizations.weight_norm`."""
    return f"a {kind} whose parameters are computed; dimtyped.retype(model) types it before that"


@dataclass(frozen=True)
class Model:
    """A model to retype.

    Args:
        name: What pytest calls it.
        make: Makes it.
        inputs: Makes the arguments of a call.
        left_alone: The torch layers, and subclasses of them, that stay unchecked: the class, and why.
        compiled: A smaller one to compile, where it is quick enough.
    """

    name: str
    make: Callable[[], torch.nn.Module]
    inputs: Callable[[], Mapping[str, Any]]
    left_alone: Mapping[str, str] = field(default_factory=dict[str, str])
    compiled: Callable[[], torch.nn.Module] | None = None

    def __str__(self) -> str:
        return self.name

    def twins(self) -> tuple[torch.nn.Module, torch.nn.Module]:
        """The model as it is, and retyped."""
        torch.manual_seed(0)
        plain = self.make()
        return plain, retype(copy.deepcopy(plain))


def training_step(model: torch.nn.Module, inputs: Mapping[str, Any]) -> dict[str, Tensor | None]:
    """One step of training and a call afterwards: the outputs of both, and each gradient."""
    torch.manual_seed(1)
    model.train()
    outputs = tensors_in(model(**inputs))
    loss = next(iter(outputs.values())) if outputs["0"].dim() == 0 else squares(outputs)
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    optimizer.step()
    model.eval()
    with torch.no_grad():
        after = tensors_in(model(**inputs))
    return {
        **{f"output {key}": value.detach() for key, value in outputs.items()},
        **{f"gradient of {key}": value for key, value in gradients.items()},
        **{f"output {key} after the step": value for key, value in after.items()},
        **{f"{key} after the step": value for key, value in model.state_dict().items()},
    }


def tensors_in(outputs: Any) -> dict[str, Tensor]:
    """The tensors of what a model gives."""
    leaves = [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)]
    return {str(number): leaf for number, leaf in enumerate(leaves)}


def squares(outputs: Mapping[str, Tensor]) -> Tensor:
    """A loss that every output has a part in."""
    trained = [output for output in outputs.values() if output.requires_grad]
    return torch.stack([output.square().mean() for output in trained]).sum()


def differences(ours: Mapping[str, Tensor | None], theirs: Mapping[str, Tensor | None]) -> list[str]:
    """What is not the same in both, bit for bit."""
    assert ours.keys() == theirs.keys()
    return [key for key, value in theirs.items() if not is_same(ours[key], value)]


def is_same(ours: Tensor | None, theirs: Tensor | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    both_nan = ours.is_floating_point() and bool((ours.isnan() == theirs.isnan()).all())
    same = ours.nan_to_num() if both_nan else ours
    return ours.dtype == theirs.dtype and torch.equal(same, theirs.nan_to_num() if both_nan else theirs)


def told(model: torch.nn.Module) -> list[dimtyped.nn.status.Row]:
    """What `status` says of each module."""
    return list(dimtyped.status(model).rows)


class Graphs:
    """A backend that compiles nothing and counts."""

    def __init__(self) -> None:
        self.ops: list[str] = []
        self.count = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: Any) -> Any:
        self.count += 1
        self.ops += [str(node.target) for node in graph.graph.nodes if node.op.startswith("call")]
        return graph.forward


def traced(model: torch.nn.Module, inputs: Mapping[str, Any]) -> Graphs:
    """What TorchDynamo makes of a call."""
    torch._dynamo.reset()
    graphs = Graphs()
    with torch._dynamo.config.patch(allow_rnn=True), torch.no_grad():
        torch.compile(model.eval(), backend=graphs)(**inputs)
    torch._dynamo.reset()
    return graphs


def without_loss(model: torch.nn.Module, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call that computes no loss, which would double the time of a trace."""
    kept = {name: value for name, value in inputs.items() if name != "labels"}
    needs_target = "labels" in inputs and getattr(model, "config").is_encoder_decoder  # noqa: B009  # transformers'
    return {**kept, "decoder_input_ids": inputs["labels"]} if needs_target else kept


class RetypedModels:
    """The proofs; a test file gives them its models."""

    def test_a_training_step_is_the_same_bit_for_bit(self, model: Model) -> None:
        plain, typed = model.twins()
        inputs = model.inputs()
        theirs = training_step(plain, inputs)
        assert differences(training_step(typed, inputs), theirs) == []
        assert any(value is not None and bool(value.any()) for key, value in theirs.items() if "gradient" in key)

    def test_every_module_is_checked_or_says_why_not(self, model: Model) -> None:
        _, typed = model.twins()
        rows = told(typed)
        modules = dict(typed.named_modules())
        assert [row.path for row in rows] == [path or "(model)" for path in modules]
        unchecked: dict[str, str] = {}
        for row, module in zip(rows, modules.values(), strict=True):
            assert row.state == "checked" or row.why
            if isinstance(module, TYPED) and row.state == "skipped":
                unchecked[type(module).__name__] = row.why
            elif row.state == "checked":
                assert isinstance(module, Layer)
            elif row.state == "skipped":
                assert row.why == FOREIGN
        assert unchecked == model.left_alone

    def test_untype_gives_every_class_back(self, model: Model) -> None:
        plain, typed = model.twins()
        assert any(isinstance(module, Layer) for module in typed.modules())
        untype(typed)
        for (path, theirs), (_, ours) in zip(plain.named_modules(), typed.named_modules(), strict=True):
            assert type(ours) is type(theirs), path
            assert vars(ours).keys() == vars(theirs).keys(), path


class CompiledModels:
    """The proof for those that are quick to trace."""

    def test_the_graphs_are_the_same(self, model: Model) -> None:
        assert model.compiled is not None
        torch.manual_seed(0)
        plain = model.compiled()
        typed = retype(copy.deepcopy(plain))
        inputs = without_loss(plain, model.inputs())
        theirs, ours = traced(plain, inputs), traced(typed, inputs)
        assert (ours.count, ours.ops) == (theirs.count, theirs.ops)
        assert theirs.ops
