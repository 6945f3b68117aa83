"""ZeroPadding2D and Cropping2D: add or remove rows and columns at the edges of an image."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import PlainValidator, WithJsonSchema
from torch import nn
from torch.nn import functional

from sepcnn.language.messages import invalid, quote
from sepcnn.nn.layers.base import LeafLayer, Shape, ShapeError, image_shape


def _both(value: object) -> tuple[int, int] | None:
    """Read the margins before and after one axis; one number means both."""
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
    hint = "[[0, 1], [0, 1]] is one row at the bottom and one column at the right"
    message = (
        "expected a whole number, [top/bottom, left/right] or [[top, bottom], [left, right]], "
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
"""((top, bottom), (left, right)); one number means all sides, [height, width] both sides of each"""


class ZeroPadding2D(LeafLayer):
    """Adds rows and columns of zeros around the image.

    Height × width × C → (top + height + bottom) × (left + width + right) × C. On an
    image of even size, ``[[0, 1], [0, 1]]`` before a convolution with kernel_size 3, strides 2 and
    ``padding: valid`` equals ``padding: same``.
    """

    padding: Margins = ((1, 1), (1, 1))
    """pixels per side: one number, [top/bottom, left/right] or [[top, bottom], [left, right]]"""

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
    """Removes rows and columns at the edges of the image.

    Height × width × C → (height − top − bottom) × (width − left − right) × C.
    """

    cropping: Margins = ((0, 0), (0, 0))
    """pixels per side: one number, [top/bottom, left/right] or [[top, bottom], [left, right]]"""

    def output_shape(self, *inputs: Shape) -> Shape:
        height, width, channels = image_shape(inputs[0])
        (top, bottom), (left, right) = self.cropping
        if top + bottom >= height or left + right >= width:
            message = (
                f"cropping {top} + {bottom} rows and {left} + {right} columns "
                f"leaves nothing of the {height}×{width} input"
            )
            raise ShapeError(message, "crop less, or move the layer to where the image is larger")
        return (height - top - bottom, width - left - right, channels)

    def build(self, *inputs: Shape) -> nn.Module:
        (top, _), (left, _) = self.cropping
        height, width, _ = self.output_shape(*inputs)
        return CropModule(top, left, height, width)


class CropModule(nn.Module):
    """Takes N×C×H×W, returns a view."""

    def __init__(self, top: int, left: int, height: int, width: int) -> None:
        super().__init__()
        self.rows, self.columns = slice(top, top + height), slice(left, left + width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, self.rows, self.columns]
