"""The explanation of one exception: from its frames to the report."""

from __future__ import annotations

from dimtyped.diagnosis.torch_errors import causes, distribution, messages
from dimtyped.diagnosis.torch_errors.clashes.table import clash_of
from dimtyped.diagnosis.torch_errors.failure import Clash, Failure
from dimtyped.diagnosis.torch_errors.operands import failure_at, known_operands, may_be_torchs
from dimtyped.diagnosis.torch_errors.report import TorchErrorReport
from dimtyped.diagnosis.torch_errors.scene import Scene, scene_of
from dimtyped.diagnosis.torch_errors.stand_ins import World, nothing_follows
from dimtyped.diagnosis.torch_errors.trials import Trials
from dimtyped.diagnosis.torch_errors.writing import written

_NO_MEMORY = Clash("there is not enough memory")


def explain_error(error: BaseException) -> TorchErrorReport | None:
    """What is known of an exception that is being handled; None where it is none of torch's, or nothing is known."""
    scene = scene_of(error)
    if scene is None:
        return None
    with nothing_follows():
        return _explained(scene)


def _explained(scene: Scene) -> TorchErrorReport | None:
    world = World()
    failure = failure_at(scene, world)
    if failure is None:
        return _from_message(scene)
    trials = Trials(scene, failure, world)
    kind, clash = _cause(scene, failure, trials)
    if kind == "shape" and (isinstance(scene.error, TypeError) or not messages.is_of_shapes(failure.message)):
        return None
    if clash is None:
        clash = messages.clash_in(failure.message, scene.names)
        if clash is None and not failure.is_layers and not trials.depends_on_sizes():
            return None
    fix = trials.fix(kind) if kind != "placement" else ""
    return written(scene, kind, failure.name, failure.operands, clash, fix)


def _cause(scene: Scene, failure: Failure, trials: Trials) -> tuple[str, Clash | None]:
    """The kind of the cause, and what does not fit."""
    if causes.is_memory(scene.error):
        return "memory", causes.memory(*trials.result())
    placement = distribution.clash_in(failure.message, failure.operands)
    if placement is not None:
        return "placement", placement
    for kind, find in (("device", causes.devices), ("dtype", causes.dtypes)):
        found = find(failure)
        if found is not None:
            return kind, found
    if any(operand.placement is not None for operand in failure.operands) and trials.passes():
        split = distribution.clash_of_dtensors(scene, failure.operands, fits=True)
        if split is not None:
            return "placement", split
    return "shape", clash_of(failure)


def _from_message(scene: Scene) -> TorchErrorReport | None:
    """The report if an operand is unknown: the known operands, and names for the sizes in torch's message."""
    if not may_be_torchs(scene):
        return None
    operands = known_operands(scene)
    split = distribution.clash_in(scene.reason, operands) or distribution.clash_of_dtensors(scene, operands, fits=False)
    if causes.is_memory(scene.error):
        kind, clash = "memory", _NO_MEMORY
    elif split is not None:
        kind, clash = "placement", split
    else:
        kind, clash = "shape", messages.clash_in(scene.reason, scene.names)
    if clash is None:
        return None
    return written(scene, kind, messages.operator_in(scene.root), operands, clash, "")
