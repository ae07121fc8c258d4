"""The shape of each variable that a run of a model assigns, by the line of the user's source."""

from dimtyped.flow.shapes.margin import Margin as Margin, commented as commented, margins_of as margins_of
from dimtyped.flow.shapes.running import Shapes as Shapes, shapes_of as shapes_of
