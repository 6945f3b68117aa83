"""Layers that join several inputs into one."""

from __future__ import annotations

import torch
from torch import nn

from sepcnn.layers.base import LeafLayer, Shape, ShapeError, show_shape


class Merge(LeafLayer):
    """A layer of two or more inputs, given by name: ``Add: [a, b]``."""

    max_inputs = None

    @classmethod
    def shorthand(cls, name: str) -> str:
        """``Add: [a, b]`` names the inputs, for a merging layer has little else."""
        return "inputs"


class Add(Merge):
    """The sum of its inputs, element by element; an axis of length 1 is repeated to fit."""

    def output_shape(self, *inputs: Shape) -> Shape:
        try:
            if len({len(shape) for shape in inputs}) > 1:
                raise ValueError
            return tuple(torch.broadcast_shapes(*inputs))
        except (RuntimeError, ValueError):
            shapes = " and ".join(show_shape(shape) for shape in inputs)
            hint = "bring them to one shape, as with Conv2D: {kernel_size: 1, …} or padding: same"
            raise ShapeError(f"cannot add inputs of the shapes {shapes}", hint) from None

    def build(self, *inputs: Shape) -> nn.Module:
        return AddModule()


class AddModule(nn.Module):
    """Takes tensors of one shape, or of shapes that repeat to one."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        total = inputs[0] + inputs[1]
        for x in inputs[2:]:
            total = total + x
        return total


class Concatenate(Merge):
    """Its inputs one after the other along the channels; height and width must agree."""

    def output_shape(self, *inputs: Shape) -> Shape:
        if len({shape[:-1] for shape in inputs}) > 1:
            shapes = " and ".join(show_shape(shape) for shape in inputs)
            hint = "height and width must agree: use padding: same, or the same pooling in each"
            raise ShapeError(f"cannot concatenate inputs of the shapes {shapes}", hint)
        return (*inputs[0][:-1], sum(shape[-1] for shape in inputs))

    def build(self, *inputs: Shape) -> nn.Module:
        return ConcatenateModule()


class ConcatenateModule(nn.Module):
    """Takes N×C×H×W or N×F each."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat(inputs, dim=1)
