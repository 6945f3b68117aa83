"""Output sizes and padding of windows that slide over an image, as in TensorFlow."""

from __future__ import annotations

from typing import Literal

from sepcnn.language.values import Pair
from sepcnn.nn.layers.base import Shape, ShapeError, image_shape

Padding = Literal["valid", "same"]


def effective_size(kernel_size: int, dilation: int) -> int:
    """Return the pixels along one axis that a dilated kernel covers."""
    return (kernel_size - 1) * dilation + 1


def output_length(size: int, kernel_size: int, stride: int, padding: Padding) -> int:
    """Return the output size along one axis; below 1 if no window fits."""
    return -(-size // stride) if padding == "same" else (size - kernel_size) // stride + 1


def same_padding(size: int, kernel_size: int, stride: int) -> tuple[int, int]:
    """Return the padding before and after, as in TensorFlow: an odd extra pixel goes after."""
    total = max((-(-size // stride) - 1) * stride + kernel_size - size, 0)
    return total // 2, total - total // 2


def output_height_width(
    shape: Shape, kernel_size: Pair, strides: Pair, dilation: Pair, padding: Padding
) -> tuple[int, int]:
    """Return the output height and width. Errors: `ShapeError` if no window fits."""
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
            f"the {height}×{width} input of this layer"
        )
        hint = "use padding: same, a smaller window, or less pooling before this layer"
        if dilated:
            hint = "use padding: same, or a smaller dilation_rate"
        raise ShapeError(message, hint)
    return sizes[0], sizes[1]
