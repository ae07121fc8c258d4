"""Proposes jaxtyping annotations for functions, from what runs of them took and returned."""

from dimtyped.flow.annotating.inputs import ShapedInput as ShapedInput
from dimtyped.flow.annotating.observing import Observer as Observer
from dimtyped.flow.annotating.proposals import Proposal as Proposal
