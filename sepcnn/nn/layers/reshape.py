"""Flatten, Reshape and Permute."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import PlainValidator, ValidationInfo, WithJsonSchema
from torch import nn

from sepcnn.language.data_format import read_axis, read_image
from sepcnn.language.messages import invalid, quote
from sepcnn.language.spec import Context
from sepcnn.nn.layers.base import LeafLayer, Shape, ShapeError, format_shape


class Flatten(LeafLayer):
    """Flattens an image to a vector, in the order height, width, channel, as in Keras."""

    def output_shape(self, *inputs: Shape) -> Shape:
        return (math.prod(inputs[0]),)

    def build(self, *inputs: Shape) -> nn.Module:
        return FlattenModule()

    def receptive_field(self, *inputs: Shape) -> None:
        return None


class FlattenModule(nn.Module):
    """Takes N×C×H×W or N×F, returns N×F."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.movedim(1, -1).flatten(1)


def _whole_numbers(value: object) -> tuple[int, ...]:
    """Read a list of whole numbers; return an empty tuple for anything else."""
    found = isinstance(value, list | tuple) and all(type(number) is int for number in value)
    return tuple(value) if found else ()  # type: ignore[arg-type]


def _target_shape(value: object, info: ValidationInfo) -> tuple[int, ...]:
    sizes = _whole_numbers(value)
    if sizes and all(size > 0 or size == -1 for size in sizes) and sizes.count(-1) <= 1:
        return read_image(sizes, info)
    hint = "[8, 8, 16] is an image, [256] features; -1 is computed from the other sizes"
    message = (
        f"expected a list of whole numbers above 0, at most one of them -1, found {quote(value)}"
    )
    raise invalid(message, hint)


TargetShape = Annotated[
    tuple[int, ...],
    PlainValidator(_target_shape),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "integer", "minimum": -1, "not": {"const": 0}},
            "minItems": 1,
        }
    ),
]


class Reshape(LeafLayer):
    """Reshapes its input, reading elements in the order height, width, channel, as in Keras.

    The new shape must have the same number of elements. Layers for images need height × width ×
    channels. To shuffle the 64 channels of an 8 × 8 image in 4 groups, use
    ``Reshape: [8, 8, 4, 16]``, ``Permute: [1, 2, 4, 3]`` and ``Reshape: [8, 8, 64]``.
    """

    target_shape: TargetShape
    """new shape without the batch; one size may be -1, which is computed from the others"""

    def output_shape(self, *inputs: Shape) -> Shape:
        elements = math.prod(inputs[0])
        known = math.prod(size for size in self.target_shape if size != -1)
        found = tuple(elements // known if size == -1 else size for size in self.target_shape)
        if math.prod(found) != elements:
            target = "×".join(map(str, self.target_shape))
            message = f"cannot reshape {format_shape(inputs[0])} ({elements} elements) to {target}"
            hint = f"use sizes whose product is {elements}, or -1 for one of them"
            raise ShapeError(message, hint)
        return found

    def build(self, *inputs: Shape) -> nn.Module:
        return ReshapeModule(self.output_shape(*inputs))

    def receptive_field(self, *inputs: Shape) -> None:
        return None


class ReshapeModule(nn.Module):
    """Takes and returns tensors with channels, the last axis of the shape, as axis 1."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.movedim(1, -1).reshape(-1, *self.shape).movedim(-1, 1)


def _dims(value: object, info: ValidationInfo) -> tuple[int, ...]:
    dims = _whole_numbers(value)
    if dims and sorted(dims) == list(range(1, len(dims) + 1)):
        if len(dims) == 3:
            return tuple(read_axis(axis, info) % 4 for axis in read_image(dims, info))
        return dims
    message = f"expected a permutation of the axes from 1, found {quote(value)}"
    swap = "[1, 3, 2]" if Context.of(info).channels_first else "[2, 1, 3]"
    raise invalid(message, f"{swap} swaps height and width of an image")


Dims = Annotated[
    tuple[int, ...],
    PlainValidator(_dims),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "integer", "minimum": 1},
            "minItems": 1,
            "uniqueItems": True,
        }
    ),
]


class Permute(LeafLayer):
    """Permutes the axes. As in Keras, height, width and channel are axes 1, 2 and 3.

    ``output_shape[i] = input_shape[dims[i] − 1]``
    """

    dims: Dims
    """for each output axis, the input axis that moves there; 1 is the first after the batch"""

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(self.dims) != len(inputs[0]):
            message = f"dims has {len(self.dims)} axes, but the input is {format_shape(inputs[0])}"
            raise ShapeError(message, "give each axis once, from 1, without the batch")
        return tuple(inputs[0][axis - 1] for axis in self.dims)

    def build(self, *inputs: Shape) -> nn.Module:
        return PermuteModule(self.dims)

    def receptive_field(self, *inputs: Shape) -> None:
        return None


class PermuteModule(nn.Module):
    """Takes and returns tensors with channels, the last axis of the shape, as axis 1."""

    def __init__(self, dims: tuple[int, ...]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.movedim(1, -1).permute(0, *self.dims).movedim(-1, 1)
