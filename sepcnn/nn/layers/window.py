"""Windows that slide over an image, with TensorFlow's padding: sizes before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sepcnn.language.values import Pair
from sepcnn.nn.layers.base import Shape, ShapeError, image

Padding = Literal["valid", "same"]


def effective_size(kernel: int, dilation: int) -> int:
    """Pixels that a dilated window spans."""
    return (kernel - 1) * dilation + 1


def output_size(size: int, window: int, stride: int, padding: Padding) -> int:
    """Pixels along one axis after a window slid over ``size`` pixels; below 1 if none fits."""
    return -(-size // stride) if padding == "same" else (size - window) // stride + 1


def same_padding(size: int, window: int, stride: int) -> tuple[int, int]:
    """TensorFlow's padding before and after: where it is odd, the extra pixel goes after."""
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def window_size(
    size: Sequence[int], window: Pair, strides: Pair, padding: Padding
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows above and columns to the left that windows reach out of an image, and output's size."""
    each = list(zip(size, window, strides, strict=True))
    before = [same_padding(*axis)[0] if padding == "same" else 0 for axis in each]
    after = [output_size(*axis, padding) for axis in each]
    return (before[0], before[1]), (after[0], after[1])


def window_output(
    shape: Shape, kernel: Pair, strides: Pair, dilation: Pair, padding: Padding
) -> tuple[int, int]:
    """Height and width after a window slid over an image. Errors: `ShapeError`."""
    height, width, _ = image(shape)
    spans = [effective_size(k, d) for k, d in zip(kernel, dilation, strict=True)]
    sizes = [
        output_size(size, span, stride, padding)
        for size, span, stride in zip((height, width), spans, strides, strict=True)
    ]
    if min(sizes) < 1:
        dilated = f", dilated to {spans[0]}×{spans[1]}," if dilation != (1, 1) else ""
        message = (
            f"a {kernel[0]}×{kernel[1]} window{dilated} does not fit "
            f"this layer's {height}×{width} input"
        )
        raise ShapeError(message, "use padding: same, or one MaxPooling2D fewer above")
    return sizes[0], sizes[1]
