"""Layers that join several inputs into one."""

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
    """A layer of two or more inputs, given by name: ``Add: [a, b]``."""

    max_inputs: ClassVar[Literal[1, 2] | None] = None

    @classmethod
    def shorthand(cls, name: str) -> str:
        """``Add: [a, b]`` names the inputs, for a merging layer has little else."""
        return "inputs"


class ElementwiseMerge(Merge):
    """Joins its inputs element by element; an axis of length 1 is repeated to fit."""

    verb: ClassVar[str]
    """what it does to its inputs, for messages"""

    def output_shape(self, *inputs: Shape) -> Shape:
        try:
            if len({len(shape) for shape in inputs}) > 1:
                raise ValueError
            return np.broadcast_shapes(*inputs)  # torch's imports sympy
        except ValueError:
            shapes = " and ".join(format_shape(shape) for shape in inputs)
            hint = "bring them to one shape, as with Conv2D: {kernel_size: 1, …} or padding: same"
            message = f"cannot {self.verb} inputs of the shapes {shapes}"
            raise ShapeError(message, hint) from None


class Add(ElementwiseMerge):
    """The sum of its inputs, element by element; an axis of length 1 is repeated to fit."""

    verb = "add"

    def build(self, *inputs: Shape) -> nn.Module:
        return FoldModule(torch.add)


class Subtract(ElementwiseMerge):
    """The first of two inputs minus the second; an axis of length 1 is repeated to fit."""

    max_inputs = 2
    verb = "subtract"

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(inputs) > 2:
            message = f"Subtract joins two layers, but reads {len(inputs)}"
            raise ShapeError(message, "name the one to subtract from, then the one to subtract")
        return super().output_shape(*inputs)

    def build(self, *inputs: Shape) -> nn.Module:
        return FoldModule(torch.sub)


class Multiply(ElementwiseMerge):
    """The product of its inputs, element by element; an axis of length 1 is repeated to fit.

    ``Multiply: [features, gate]`` with a gate of 1 × 1 × C is squeeze and excitation (Hu et al.
    2017, arXiv:1709.01507).
    """

    verb = "multiply"

    def build(self, *inputs: Shape) -> nn.Module:
        return FoldModule(torch.mul)


class Average(ElementwiseMerge):
    """The mean of its inputs, element by element; an axis of length 1 is repeated to fit."""

    verb = "average"

    def build(self, *inputs: Shape) -> nn.Module:
        return AverageModule(torch.add)


class Maximum(ElementwiseMerge):
    """The largest of its inputs, element by element; an axis of length 1 is repeated to fit.

    Of equal inputs the first takes the gradient, as in TensorFlow (torch divides it).
    """

    verb = "compare"

    def build(self, *inputs: Shape) -> nn.Module:
        return FoldModule(larger)


class Minimum(ElementwiseMerge):
    """The smallest of its inputs, element by element; an axis of length 1 is repeated to fit.

    Of equal inputs the first takes the gradient, as in TensorFlow (torch divides it).
    """

    verb = "compare"

    def build(self, *inputs: Shape) -> nn.Module:
        return FoldModule(smaller)


def larger(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The larger of two, the first where they are equal; NaN wins, so that it is not hidden."""
    return torch.where((x >= y) | x.isnan(), x, y)


def smaller(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The smaller of two, the first where they are equal; NaN wins, so that it is not hidden."""
    return torch.where((x <= y) | x.isnan(), x, y)


class FoldModule(nn.Module):
    """Joins the first two inputs, the result with the third, and so on; shapes may repeat."""

    def __init__(self, join: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.join = join

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return reduce(self.join, inputs)


class AverageModule(FoldModule):
    """The sum over the number of inputs."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return super().forward(*inputs) / len(inputs)


class Concatenate(Merge):
    """Its inputs one after the other along the channels; height and width must agree.

    Along another ``axis``, as 1, the height, all others must agree.
    """

    axis: Axis = -1
    """the axis along which they follow each other: the channels"""

    def output_shape(self, *inputs: Shape) -> Shape:
        (axis,) = resolve_axes((self.axis,), inputs[0])
        if len({(*shape[: axis - 1], None, *shape[axis:]) for shape in inputs}) > 1:
            shapes = " and ".join(format_shape(shape) for shape in inputs)
            hint = f"all axes but axis {axis} must agree"
            if axis == len(inputs[0]):
                hint = "height and width must agree: use padding: same, or the same pooling in each"
            raise ShapeError(f"cannot concatenate inputs of the shapes {shapes}", hint)
        size = sum(shape[axis - 1] for shape in inputs)
        return (*inputs[0][: axis - 1], size, *inputs[0][axis:])

    def build(self, *inputs: Shape) -> nn.Module:
        return ConcatenateModule(*torch_axes((self.axis,), inputs[0]))


class ConcatenateModule(nn.Module):
    """Takes N×C×H×W or N×F each."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat(inputs, dim=self.dim)
