"""Windows that slide over an image, with TensorFlow's padding: sizes before and after."""

from __future__ import annotations

from typing import Literal

from sepcnn.language.values import Pair
from sepcnn.nn.layers.base import Shape, ShapeError, image_shape

Padding = Literal["valid", "same"]


def effective_size(kernel_size: int, dilation: int) -> int:
    """Pixels that a dilated window effective."""
    return (kernel_size - 1) * dilation + 1


def output_length(size: int, kernel_size: int, stride: int, padding: Padding) -> int:
    """Pixels along one axis after a window slid over ``size`` pixels; below 1 if none fits."""
    return -(-size // stride) if padding == "same" else (size - kernel_size) // stride + 1


def same_padding(size: int, kernel_size: int, stride: int) -> tuple[int, int]:
    """TensorFlow's padding before and after: where it is odd, the extra pixel goes after."""
    total = max((-(-size // stride) - 1) * stride + kernel_size - size, 0)
    return total // 2, total - total // 2


def output_height_width(
    shape: Shape, kernel_size: Pair, strides: Pair, dilation: Pair, padding: Padding
) -> tuple[int, int]:
    """Height and width after a window slid over an image. Errors: `ShapeError`."""
    height, width, _ = image_shape(shape)
    effective = [effective_size(k, d) for k, d in zip(kernel_size, dilation, strict=True)]
    sizes = [
        output_length(size, extent, stride, padding)
        for size, extent, stride in zip((height, width), effective, strides, strict=True)
    ]
    if min(sizes) < 1:
        dilated = f", dilated to {effective[0]}×{effective[1]}," if dilation != (1, 1) else ""
        message = (
            f"a {kernel_size[0]}×{kernel_size[1]} window{dilated} does not fit "
            f"this layer's {height}×{width} input"
        )
        raise ShapeError(message, "use padding: same, or one MaxPooling2D fewer above")
    return sizes[0], sizes[1]
