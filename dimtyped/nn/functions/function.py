"""A checked function of `torch.nn.functional`: the forms of its calls, which are those of its layer, around torch's own.

What torch itself refuses is checked once torch has raised, so that a call that fits pays nothing. Where torch would
broadcast in silence, the check comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, SimpleNamespace
from typing import Any

import torch.nn.functional as torch_functional

from dimtyped import diagnosis
from dimtyped.annotations import Signature
from dimtyped.engine import ALWAYS, CallForms, Declaration, Form, Raised, wrap
from dimtyped.errors import DimensionError
from dimtyped.nn.contract import TORCH_ERRORS, Layer, LayerRules, Rule, SizeViolation, as_mismatch, deferral
from dimtyped.nn.functions.torchscript import stands_for
from dimtyped.runtime import internal_frame, mode

Violations = Callable[..., Iterator[SizeViolation]]
"""Finds the wrong sizes in a call for which torch has raised; takes the arguments of the function by name."""
HOME = "dimtyped.nn.functional"


@dataclass(frozen=True)
class Function:
    """A function and its contract.

    Args:
        function: Torch's, or one that calls torch's, where that one has no signature.
        calls: The forms of a call.
        weights: The parameters that a layer would hold, such as `weight`: an error blames the others first.
        checks_first: True if torch takes calls that do not fit, so that the check comes before the call.
        error: The exception to raise; a kind of DimensionError.
        rank_error: The exception for too few or too many axes. Default: `error`.
        violations: Finds the wrong sizes that no annotation can state.
        translate: Converts torch's exception, in place of `violations`.
    """

    function: Callable[..., Any]
    calls: tuple[Form, ...]
    weights: tuple[str, ...] = ()
    checks_first: bool = False
    error: type[DimensionError] = DimensionError
    rank_error: type[DimensionError] | None = None
    violations: Violations | None = None
    translate: Callable[[Raised], Exception] | None = None

    @property
    def name(self) -> str:
        """Its name in `torch.nn.functional`."""
        return self.function.__name__

    def checked(self) -> Callable[..., Any]:
        """The function with its check, for the mode in force."""
        if isinstance(self.function, FunctionType) and self.function.__module__ != torch_functional.__name__:
            internal_frame(self.function)
        rules = _Rules(
            annotations=next(form.inputs for form in self.calls if form.when is None),
            weights=self.weights,
            violations=self.violations,
            forms=CallForms(self.calls, None if self.checks_first else deferral(ALWAYS)),
            translated=TORCH_ERRORS,
            translate_error=self._translated,
            error=self.error,
            rank_error=self.rank_error,
        )
        wrapper = wrap(Declaration(self.function, by_reference=mode() == "reference", rules=rules))
        wrapper.__module__ = HOME
        stands_for(wrapper, getattr(torch_functional, self.name))
        return wrapper

    def _translated(self, raised: Raised) -> Exception:
        """The DimensionError for torch's error, where a violation is found; else torch's error."""
        if isinstance(raised.error, DimensionError):
            return raised.error
        if self.translate is not None:
            return self.translate(raised)
        parameters = raised.form.parameters
        given = {p.name: value for p, value in zip(parameters, raised.values, strict=True)}
        violations = list(self.violations(**given)) if self.violations is not None else []
        if not violations:
            return raised.error
        shown = {name: diagnosis.snapshot(value) for name, value in given.items()}
        findings = diagnosis.find_mismatches(raised.form, {}, shown, None, given, None)
        hints = {parameter.name: parameter.hint for parameter in parameters}
        findings.mismatches[:] = [as_mismatch(each, hints[each.argument], shown[each.argument]) for each in violations]
        return diagnosis.build_error(
            findings, raised.rules.where(raised.signature, None), {}, diagnosis.kind_of(raised.error)
        )


class _Rules(LayerRules):
    """The rules of a function: it has no owner, so that no size is declared before the call."""

    def where(self, signature: Signature, owner: Any) -> str:  # noqa: ARG002  # a layer has a path
        """The name of the function in errors."""
        return f"functional.{signature.function.__name__}"

    def labels(self, owner: Any) -> Mapping[str, str]:  # noqa: ARG002  # as above
        """No words of the user's."""
        return {}

    def extra_globals(self, function: Callable[..., Any]) -> Mapping[str, Any]:
        """Those of torch's module, for `torch.jit.script` of the function itself, which torch takes if it has a source."""
        return super().extra_globals(function) if function.__module__ == torch_functional.__name__ else {}

    def declared(self, signature: Signature, owner: Any) -> dict[str, diagnosis.Binding]:  # noqa: ARG002  # as above
        """No size."""
        return {}


def by_rule(rule: Rule, *inputs: str, **others: Any) -> Violations:
    """A layer's rule for a function, which takes as arguments what is an attribute of the layer.

    `inputs` are the parameters of the layer's `forward`; `others` are attributes that the function does not take.
    """

    def violations(**given: Any) -> Iterator[SizeViolation]:
        yield from rule(SimpleNamespace(**{**others, **given}), *(given[name] for name in inputs or ("input",)))

    return violations


def of_layer(layer: type[Layer], *functions: Callable[..., Any], **options: Any) -> tuple[Function, ...]:
    """Functions with the forms of a layer's calls, which have the same parameters."""
    contract = layer.contract
    given: dict[str, Any] = {"error": contract.error, "rank_error": contract.rank_error, **options}
    return tuple(Function(function, contract.calls, **given) for function in functions)
