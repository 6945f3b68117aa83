"""Constraints by Keras' names: what a weight is held to after every training step.

Norms are over the axes of Keras' layout: of a Dense kernel, inputs × outputs, axis 0 leaves one
norm an output; of a Conv2D kernel, height × width × inputs × outputs, [0, 1, 2] does.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar, Self

import torch
from pydantic import PlainValidator, WithJsonSchema, model_validator

from sepcnn.language.messages import invalid, quote
from sepcnn.language.mismatch import Mismatch
from sepcnn.language.spec import Table
from sepcnn.language.values import NonNegativeNumber, UnitNumber
from sepcnn.nn.weight_rule import WeightRule, for_axes

EPSILON = 1e-7
"""Keras' guard against a norm of 0"""


class Constraint(WeightRule):
    """What a weight is held to."""

    table: ClassVar[Table] = Table("constraint")

    @abstractmethod
    def project(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight (Keras' layout) as it should be."""


VectorConstraint = Annotated[Constraint | None, for_axes(1)]
"""of one value a channel: biases and scales"""
MatrixConstraint = Annotated[Constraint | None, for_axes(2)]
"""of the kernel of a dense layer, inputs × outputs"""
KernelConstraint = Annotated[Constraint | None, for_axes(4)]
"""of the kernel of a convolution, height × width × inputs × outputs"""


def _weight_axes(value: object) -> tuple[int, ...]:
    axes = value if isinstance(value, list | tuple) else [value]
    if axes and all(type(axis) is int for axis in axes) and len(set(axes)) == len(axes):
        return tuple(axes)
    hint = "0 for Dense; [0, 1, 2] for the kernel of Conv2D"
    raise invalid(f"expected an axis of the weight, or a list of axes, found {quote(value)}", hint)


WeightAxes = Annotated[
    tuple[int, ...],
    PlainValidator(_weight_axes),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer"},
                {"type": "array", "items": {"type": "integer"}, "minItems": 1},
            ]
        }
    ),
]


class NonNeg(Constraint):
    """No value below 0: what is becomes 0."""

    def project(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.clamp(min=0)


class NormConstraint(Constraint):
    """A constraint of norms (the root of a sum of squares) over some axes."""

    axis: WeightAxes = (0,)
    """axis or axes of Keras' layout to sum over: [0, 1, 2] is one norm a filter of Conv2D"""

    @classmethod
    def own_fields(cls) -> list[str]:
        return [*(name for name in cls.model_fields if name != "axis"), "axis"]

    def norms(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.square().sum(self.axis, keepdim=True).sqrt()

    def mismatch(self, axes: int) -> Mismatch | None:
        if beyond := [axis for axis in self.axis if not -axes <= axis < axes]:
            counted = "one axis" if axes == 1 else f"{axes} axes"
            message = f"there is no axis {beyond[0]}: this weight has {counted}"
            return Mismatch(message, f"axes are counted from 0: name only those below {axes}")
        if len({axis % axes for axis in self.axis}) < len(self.axis):
            return Mismatch(
                f"axis names one axis twice, found {quote(list(self.axis))}",
                "name each once",
            )
        return None


class MaxNorm(NormConstraint):
    """A norm above ``max_value`` is scaled down to it (Srivastava et al. 2014).

    Hinton's companion of dropout, JMLR 15: large learning rates without weights running away.
    """

    max_value: NonNegativeNumber = 2.0
    """the largest norm"""

    def project(self, weight: torch.Tensor) -> torch.Tensor:
        norms = self.norms(weight)
        return weight * (norms.clamp(max=self.max_value) / (EPSILON + norms))


class MinMaxNorm(NormConstraint):
    """Norms are brought towards the range from ``min_value`` to ``max_value``."""

    min_value: NonNegativeNumber = 0.0
    """the smallest norm"""
    max_value: NonNegativeNumber = 1.0
    """the largest norm"""
    rate: UnitNumber = 1.0
    """share of the way that a step goes: 1 is all of it"""

    @model_validator(mode="after")
    def _right_way_up(self) -> Self:
        if self.min_value > self.max_value:
            message = f"min_value ({self.min_value:g}) is above max_value ({self.max_value:g})"
            raise invalid(message, "a norm lies between min_value and max_value")
        return self

    def project(self, weight: torch.Tensor) -> torch.Tensor:
        norms = self.norms(weight)
        inside = norms.clamp(self.min_value, self.max_value)
        wanted = self.rate * inside + (1 - self.rate) * norms
        return weight * (wanted / (EPSILON + norms))


class UnitNorm(NormConstraint):
    """Every norm is 1."""

    def project(self, weight: torch.Tensor) -> torch.Tensor:
        return weight / (EPSILON + self.norms(weight))


CONSTRAINTS = Constraint.table
CONSTRAINTS.fill(
    {
        "max_norm": MaxNorm,
        "min_max_norm": MinMaxNorm,
        "non_neg": NonNeg,
        "unit_norm": UnitNorm,
    }
)
