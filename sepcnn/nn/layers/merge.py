"""Merge layers, which join several inputs into one."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import nn

from sepcnn.nn.layers.axes import Axis, resolve_axes, torch_axes
from sepcnn.nn.layers.base import LeafLayer, Shape, ShapeError, format_shape


class Merge(LeafLayer):
    """A layer with two or more inputs, given by name: ``Add: [a, b]``."""

    max_inputs: ClassVar[Literal[1, 2] | None] = None

    @classmethod
    def shorthand(cls, name: str) -> str:
        """The value in ``Add: [a, b]`` is the names of the inputs."""
        return "inputs"


class ElementwiseMerge(Merge):
    """Joins its inputs element by element; axes of size 1 are broadcast."""

    verb: ClassVar[str]
    """verb for messages, as in ``cannot add inputs``"""

    def output_shape(self, *inputs: Shape) -> Shape:
        try:
            if len({len(shape) for shape in inputs}) > 1:
                raise ValueError
            return np.broadcast_shapes(*inputs)  # torch.broadcast_shapes imports sympy
        except ValueError:
            shapes = " and ".join(format_shape(shape) for shape in inputs)
            hint = "padding: same keeps height and width, and a 1×1 Conv2D changes the channels"
            message = f"cannot {self.verb} inputs with shapes {shapes}"
            raise ShapeError(message, hint) from None


class Add(ElementwiseMerge):
    """Adds its inputs element by element. Axes of size 1 are broadcast."""

    verb = "add"

    def build(self, *inputs: Shape) -> nn.Module:
        return FoldModule(torch.add)


class Subtract(ElementwiseMerge):
    """Subtracts the second input from the first. Axes of size 1 are broadcast."""

    max_inputs = 2
    verb = "subtract"

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(inputs) > 2:
            message = f"Subtract takes two inputs, found {len(inputs)}"
            raise ShapeError(message, "name two layers; the second is subtracted from the first")
        return super().output_shape(*inputs)

    def build(self, *inputs: Shape) -> nn.Module:
        return FoldModule(torch.sub)


class Multiply(ElementwiseMerge):
    """Multiplies its inputs element by element. Axes of size 1 are broadcast.

    ``Multiply: [features, gate]`` with a gate of 1 × 1 × C is squeeze and excitation (Hu et al.
    2017, arXiv:1709.01507).
    """

    verb = "multiply"

    def build(self, *inputs: Shape) -> nn.Module:
        return FoldModule(torch.mul)


class Average(ElementwiseMerge):
    """Takes the mean of its inputs element by element. Axes of size 1 are broadcast."""

    verb = "average"

    def build(self, *inputs: Shape) -> nn.Module:
        return AverageModule(torch.add)


class Maximum(ElementwiseMerge):
    """Takes the maximum of its inputs element by element. Axes of size 1 are broadcast.

    If inputs are equal, the first gets the gradient, as in TensorFlow (torch splits it equally).
    """

    verb = "compare"

    def build(self, *inputs: Shape) -> nn.Module:
        return FoldModule(larger)


class Minimum(ElementwiseMerge):
    """Takes the minimum of its inputs element by element. Axes of size 1 are broadcast.

    If inputs are equal, the first gets the gradient, as in TensorFlow (torch splits it equally).
    """

    verb = "compare"

    def build(self, *inputs: Shape) -> nn.Module:
        return FoldModule(smaller)


def larger(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The larger of two, the first if they are equal; NaN if either is NaN."""
    return torch.where((x >= y) | x.isnan(), x, y)


def smaller(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The smaller of two, the first if they are equal; NaN if either is NaN."""
    return torch.where((x <= y) | x.isnan(), x, y)


class FoldModule(nn.Module):
    """Joins the first two inputs, then the result with the third, and so on; shapes broadcast."""

    def __init__(self, join: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.join = join

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return reduce(self.join, inputs)


class AverageModule(FoldModule):
    """The sum of the inputs divided by their number."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return super().forward(*inputs) / len(inputs)


class Concatenate(Merge):
    """Concatenates its inputs along the channels; height and width must be equal.

    With another ``axis``, the sizes of all other axes must be equal.
    """

    axis: Axis = -1
    """axis to concatenate along; by default the channels"""

    def output_shape(self, *inputs: Shape) -> Shape:
        (axis,) = resolve_axes((self.axis,), inputs[0])
        if len({(*shape[: axis - 1], None, *shape[axis:]) for shape in inputs}) > 1:
            shapes = " and ".join(format_shape(shape) for shape in inputs)
            hint = f"the sizes of all axes except axis {axis} must be equal"
            if axis == len(inputs[0]):
                hint = "height and width must be equal: use padding: same, or equal strides"
            raise ShapeError(f"cannot concatenate inputs with shapes {shapes}", hint)
        size = sum(shape[axis - 1] for shape in inputs)
        return (*inputs[0][: axis - 1], size, *inputs[0][axis:])

    def build(self, *inputs: Shape) -> nn.Module:
        return ConcatenateModule(*torch_axes((self.axis,), inputs[0]))


class ConcatenateModule(nn.Module):
    """Takes N×C×H×W or N×F tensors."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat(inputs, dim=self.dim)
