"""Constraints by their names in Keras, applied to a weight after every training step.

Norms are along axes of the Keras layout. For one norm per output, use axis 0 with a Dense kernel
(inputs × outputs), and [0, 1, 2] with a Conv2D kernel (height × width × inputs × outputs).
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
"""added to norms, so that they are never 0, as in Keras"""


class Constraint(WeightRule):
    """A constraint of one weight."""

    table: ClassVar[Table] = Table("constraint")

    @abstractmethod
    def project(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the weight (Keras layout) that satisfies the constraint."""


VectorConstraint = Annotated[Constraint | None, for_axes(1)]
"""for weights with one axis: biases and factors of normalizations"""
MatrixConstraint = Annotated[Constraint | None, for_axes(2)]
"""for kernels of Dense, inputs × outputs"""
KernelConstraint = Annotated[Constraint | None, for_axes(4)]
"""for kernels of convolutions, height × width × inputs × outputs"""


def _weight_axes(value: object) -> tuple[int, ...]:
    axes = value if isinstance(value, list | tuple) else [value]
    if axes and all(type(axis) is int for axis in axes) and len(set(axes)) == len(axes):
        return tuple(axes)
    hint = "use 0 for the kernel of Dense, [0, 1, 2] for the kernel of Conv2D"
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
    """Sets negative values to 0."""

    def project(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.clamp(min=0)


class NormConstraint(Constraint):
    """A constraint of the L2 norms along some axes."""

    axis: WeightAxes = (0,)
    """axes (Keras layout) that each norm is computed over; [0, 1, 2]: one norm per Conv2D filter"""

    @classmethod
    def own_fields(cls) -> list[str]:
        return [*(name for name in cls.model_fields if name != "axis"), "axis"]

    def norms(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.square().sum(self.axis, keepdim=True).sqrt()

    def mismatch(self, axes: int) -> Mismatch | None:
        if beyond := [axis for axis in self.axis if not -axes <= axis < axes]:
            count = "one axis" if axes == 1 else f"{axes} axes"
            message = f"there is no axis {beyond[0]}: this weight has {count}"
            return Mismatch(message, f"axes are numbered from 0: use axes below {axes}")
        if len({axis % axes for axis in self.axis}) < len(self.axis):
            return Mismatch(
                f"axis has the same axis twice, found {quote(list(self.axis))}",
                "give each axis once",
            )
        return None


class MaxNorm(NormConstraint):
    """Scales down weights whose norm is above ``max_value``. Srivastava et al. 2014, JMLR 15.

    The paper combines it with dropout: weights cannot grow without limit, so large learning rates
    are possible.
    """

    max_value: NonNegativeNumber = 2.0
    """largest norm"""

    def project(self, weight: torch.Tensor) -> torch.Tensor:
        norms = self.norms(weight)
        return weight * (norms.clamp(max=self.max_value) / (EPSILON + norms))


class MinMaxNorm(NormConstraint):
    """Scales weights whose norm is outside ``min_value`` to ``max_value`` towards that range."""

    min_value: NonNegativeNumber = 0.0
    """smallest norm"""
    max_value: NonNegativeNumber = 1.0
    """largest norm"""
    rate: UnitNumber = 1.0
    """fraction of the way to the range that each step moves the norm; 1 enforces the range"""

    @model_validator(mode="after")
    def _min_below_max(self) -> Self:
        if self.min_value > self.max_value:
            message = f"min_value ({self.min_value:g}) is above max_value ({self.max_value:g})"
            raise invalid(message, "min_value must be at most max_value")
        return self

    def project(self, weight: torch.Tensor) -> torch.Tensor:
        norms = self.norms(weight)
        inside = norms.clamp(self.min_value, self.max_value)
        target = self.rate * inside + (1 - self.rate) * norms
        return weight * (target / (EPSILON + norms))


class UnitNorm(NormConstraint):
    """Scales weights so that every norm is 1."""

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
CONSTRAINTS.accept(CONSTRAINTS.class_names())
