"""Where an exception came from: the user's frame, its expression, and the names around it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from dimtyped.diagnosis.torch_errors.expression import Expression, expression_at
from dimtyped.diagnosis.torch_errors.frames import Frame, frames_of
from dimtyped.diagnosis.torch_errors.naming import Names, names_around
from dimtyped.diagnosis.torch_errors.operand_edits import Root


@dataclass
class Scene:
    """Where an exception came from.

    Args:
        error: The exception.
        frame: The deepest frame of the user's.
        expression: The expression that failed there.
        names: The names of the typed calls around it.
        inner: The frames below it, innermost first: torch's own.
    """

    error: BaseException
    frame: Frame
    expression: Expression
    names: Names
    inner: list[Frame]

    @property
    def message(self) -> str:
        """Torch's message; of an error of a trace, that of the operator's error in it."""
        return message_of(self.error)

    @property
    def reason(self) -> str:
        """The message without the description of all operands that DTensor adds."""
        return self.message.partition("\n\nSharding propagation failed")[0]

    @property
    def root(self) -> Root:
        """The syntax of the expression."""
        return self.expression.node


def scene_of(error: BaseException) -> Scene | None:
    """Where an exception that is being handled came from; None if the user raised it, or the code is not known."""
    frames = frames_of(error)
    place = next((i for i, frame in enumerate(frames) if frame.is_users), None)
    if place is None or (place == 0 and frames[0].raises):
        return None
    expression = expression_at(frames[place])
    if expression is None:
        return None
    return Scene(error, frames[place], expression, names_around(frames), frames[:place])


def message_of(error: BaseException) -> str:
    """Torch's message; of an error of a trace, that of the operator's error in it."""
    text = str(error)
    found = re.search(r"got \w+\((['\"].*['\"])\)$", text, re.MULTILINE) if is_of_trace(error) else None
    if found is None:
        return text
    try:
        return str(ast.literal_eval(found[1]))
    except (ValueError, SyntaxError):
        return text


def is_of_trace(error: BaseException) -> bool:
    """True for an error in which TorchDynamo tells of an operator's."""
    return type(error).__module__ == "torch._dynamo.exc" and (
        type(error).__name__ in ("TorchRuntimeError", "FakeTensorObservedException")
        or "Observed exception" in str(error)
    )
