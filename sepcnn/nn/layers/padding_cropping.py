"""Layers that add or cut rows and columns at the edges of an image."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import PlainValidator, WithJsonSchema
from torch import nn
from torch.nn import functional

from sepcnn.language.messages import invalid, quote
from sepcnn.nn.layers.base import LeafLayer, Shape, ShapeError, image_shape


def _both(value: object) -> tuple[int, int] | None:
    """The margins before and after one axis; one number means both."""
    pair = (value, value) if isinstance(value, int) else value
    if isinstance(pair, list | tuple) and len(pair) == 2:
        before, after = pair
        if type(before) is type(after) is int and min(before, after) >= 0:
            return (before, after)
    return None


def _margins(value: object) -> tuple[tuple[int, int], tuple[int, int]]:
    axes = value if isinstance(value, list | tuple) else (value, value)
    if len(axes) == 2:
        rows, columns = map(_both, axes)
        if rows and columns:
            return rows, columns
    hint = "for one row at the bottom and one column at the right write [[0, 1], [0, 1]]"
    message = (
        "expected a whole number, [height, width] or [[top, bottom], [left, right]], "
        f"found {quote(value)}"
    )
    raise invalid(message, hint)


_WHOLE = {"type": "integer", "minimum": 0}
_PAIR = {"type": "array", "items": _WHOLE, "minItems": 2, "maxItems": 2}
_AXES = {"type": "array", "items": {"anyOf": [_WHOLE, _PAIR]}, "minItems": 2, "maxItems": 2}
Margins = Annotated[
    tuple[tuple[int, int], tuple[int, int]],
    PlainValidator(_margins),
    WithJsonSchema({"anyOf": [_WHOLE, _AXES]}),
]
"""((top, bottom), (left, right)); one number is all four, [height, width] is both of each axis"""


class ZeroPadding2D(LeafLayer):
    """Rows and columns of zeros around the image.

    Height × width × C in, (top + height + bottom) × (left + width + right) × C out. With
    ``[[0, 1], [0, 1]]`` and a strided convolution of ``padding: valid`` below, the window starts
    where TensorFlow's ``same`` has it on an image of even size.
    """

    padding: Margins = ((1, 1), (1, 1))
    """pixels for all sides, [height, width], or [[top, bottom], [left, right]]"""

    def output_shape(self, *inputs: Shape) -> Shape:
        height, width, channels = image_shape(inputs[0])
        return (height + sum(self.padding[0]), width + sum(self.padding[1]), channels)

    def build(self, *inputs: Shape) -> nn.Module:
        return ZeroPaddingModule(self.padding)


class ZeroPaddingModule(nn.Module):
    """Takes N×C×H×W."""

    def __init__(self, padding: Margins) -> None:
        super().__init__()
        (top, bottom), (left, right) = padding
        self.padding = (left, right, top, bottom)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.pad(x, self.padding)


class Cropping2D(LeafLayer):
    """The image without some rows and columns at its edges.

    Height × width × C in, (height − top − bottom) × (width − left − right) × C out.
    """

    cropping: Margins = ((0, 0), (0, 0))
    """pixels for all sides, [height, width], or [[top, bottom], [left, right]]"""

    def output_shape(self, *inputs: Shape) -> Shape:
        height, width, channels = image_shape(inputs[0])
        (top, bottom), (left, right) = self.cropping
        if top + bottom >= height or left + right >= width:
            message = (
                f"cutting {top} + {bottom} rows and {left} + {right} columns "
                f"leaves nothing of this layer's {height}×{width} input"
            )
            raise ShapeError(message, "crop less, or move it further up")
        return (height - top - bottom, width - left - right, channels)

    def build(self, *inputs: Shape) -> nn.Module:
        (top, _), (left, _) = self.cropping
        height, width, _ = self.output_shape(*inputs)
        return CropModule(top, left, height, width)


class CropModule(nn.Module):
    """Takes N×C×H×W, gives a view of it."""

    def __init__(self, top: int, left: int, height: int, width: int) -> None:
        super().__init__()
        self.rows, self.columns = slice(top, top + height), slice(left, left + width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, self.rows, self.columns]
