"""Transposed convolution: Conv2DTranspose."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Self

import torch
from pydantic import PlainValidator, WithJsonSchema, model_validator
from torch import nn
from torch.nn import functional

from sepcnn.language.messages import invalid, quote
from sepcnn.language.values import Pair
from sepcnn.nn.constraints import KernelConstraint
from sepcnn.nn.initializers import GlorotUniform, KernelInitializer
from sepcnn.nn.layers.base import ReceptiveField, Shape, ShapeError, format_shape, image_shape
from sepcnn.nn.layers.convolution import FilterConvolution
from sepcnn.nn.layers.module import LayerModule, activate
from sepcnn.nn.layers.sliding_window import Padding
from sepcnn.nn.regularizers import KernelRegularizer


def _output_padding(value: object) -> tuple[int, int] | None:
    if value is None:
        return None
    pair = value if isinstance(value, list | tuple) else (value, value)
    if len(pair) == 2 and all(type(size) is int and size >= 0 for size in pair):
        return (pair[0], pair[1])
    raise invalid(f"expected a whole number or [height, width], found {quote(value)}")


_WHOLE = {"type": "integer", "minimum": 0}
OutputPadding = Annotated[
    tuple[int, int] | None,
    PlainValidator(_output_padding),
    WithJsonSchema(
        {
            "anyOf": [
                _WHOLE,
                {"type": "array", "items": _WHOLE, "minItems": 2, "maxItems": 2},
                {"type": "null"},
            ]
        }
    ),
]


def transposed_size(
    size: int, kernel_size: int, stride: int, padding: Padding, output_padding: int | None
) -> int:
    """Return the output size along one axis of a transposed convolution, as in Keras."""
    if padding == "valid":
        extra = max(stride - kernel_size, 0) if output_padding is None else output_padding
        return (size - 1) * stride + kernel_size + extra
    if output_padding is None:
        return size * stride
    return (size - 1) * stride + kernel_size % 2 + output_padding


class Conv2DTranspose(FilterConvolution):
    """Transposed convolution, which enlarges images: the gradient of Conv2D with respect to its
    input.

    ``y[i·s + a, j·s + b, o] += x[i, j, c] · kernel[a, b, o, c]``, then bias and activation.

    Along each axis, n input pixels, a kernel of size k and strides s give an output of
    ``(n − 1)·s + max(k, s)`` pixels with ``padding: valid``, and of ``n·s`` with ``same``. With
    ``output_padding``, it is ``(n − 1)·s + k + output_padding`` (valid) or
    ``(n − 1)·s + (k mod 2) + output_padding`` (same).

    Excess pixels are cropped evenly on both sides, an extra one at the bottom or right, as in
    TensorFlow. As in Keras, the kernel is height × width × filters × inputs, so its fan_in is
    computed from the filters.
    """

    strides: Pair = (1, 1)
    """approximate factor by which height and width grow; one number means both"""
    padding: Padding = "valid"
    """valid keeps the whole output; same crops it to the input size × strides"""
    output_padding: OutputPadding = None
    """pixels added to the output, fewer than strides; null: the default output size of Keras"""
    kernel_initializer: KernelInitializer = GlorotUniform()
    """initial values of the kernel"""
    kernel_regularizer: KernelRegularizer = None
    """penalty on the kernel, added to the loss"""
    kernel_constraint: KernelConstraint = None
    """constraint applied to the kernel after each step"""

    @model_validator(mode="after")
    def _output_padding_below_strides(self) -> Self:
        for extra, stride in zip(self.output_padding or (), self.strides, strict=False):
            if extra >= stride:
                message = f"output_padding ({extra}) must be less than the stride ({stride})"
                raise invalid(message, "leave it out, or use larger strides")
        return self

    def output_shape(self, *inputs: Shape) -> Shape:
        kernel_size = self.effective_kernel_size()
        extra = self.output_padding or (None, None)
        height, width = (
            transposed_size(
                inputs_size, kernel_size[axis], self.strides[axis], self.padding, extra[axis]
            )
            for axis, inputs_size in enumerate(image_shape(inputs[0])[:2])
        )
        if min(height, width) < 1:
            message = f"the output would be {height}×{width}, from {format_shape(inputs[0])}"
            raise ShapeError(message, "leave out output_padding, or make it larger")
        return (height, width, self.filters)

    def build(self, *inputs: Shape) -> nn.Module:
        return TransposedModule(self, image_shape(inputs[0])[2])

    def macs(self, inputs: tuple[Shape, ...], output: Shape) -> int:
        height, width, channels = image_shape(inputs[0])
        return height * width * channels * self.filters * self.kernel_size[0] * self.kernel_size[1]

    def receptive_field(self, *inputs: Shape) -> ReceptiveField:
        (height, width), (down, across) = self.effective_kernel_size(), self.strides
        strides = (Fraction(1, down), Fraction(1, across))
        return ReceptiveField((-(-height // down), -(-width // across)), strides)


class TransposedModule(LayerModule):
    """Takes N×C×H×W of any height and width. ``weight`` is inputs × filters × height × width."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, spec: Conv2DTranspose, channels: int) -> None:
        super().__init__()
        keras_shape = (*spec.kernel_size, spec.filters, channels)
        self.add_weight("weight", spec.weight_rules("kernel"), keras_shape, (3, 2, 0, 1))
        self.add_bias(spec.bias_rules(), spec.filters)
        self.spec = spec

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spec, kernel_size = self.spec, self.spec.effective_kernel_size()
        size = spec.output_shape((x.shape[2], x.shape[3], x.shape[1]))[:2]
        touched = [(x.shape[2 + i] - 1) * spec.strides[i] + kernel_size[i] for i in (0, 1)]
        cut = [max(touched[i] - size[i], 0) // 2 for i in (0, 1)]
        added = [max(size[i] - touched[i], 0) for i in (0, 1)]
        geometry = (spec.strides, cut, added, 1, spec.dilation_rate)
        x = convolve_transposed(x, self.weight, self.bias, *geometry)
        # torch crops evenly: of an odd number of excess pixels, one is left.
        return activate(x[:, :, : size[0], : size[1]], spec.activation)


def convolve_transposed(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, *geometry: Any
) -> torch.Tensor:
    """Call ``conv_transpose2d``; on a CPU with contiguous tensors and never in bfloat16.

    For channels_last tensors, torch 2.14 writes outside its result. Without AVX-512, it rounds
    bfloat16 sums after each kernel tap.
    """
    if x.device.type != "cpu":
        return functional.conv_transpose2d(x, weight, bias, *geometry)
    x = x.float() if x.dtype == torch.bfloat16 else x
    with torch.autocast("cpu", enabled=False):
        x, weight = without_channels_last(x), without_channels_last(weight)
        return functional.conv_transpose2d(x, weight, bias, *geometry)


def without_channels_last(x: torch.Tensor) -> torch.Tensor:
    """Return a contiguous tensor that torch cannot take for channels_last.

    With one channel or 1×1 pixels both formats have the same order in memory, so ``contiguous``
    keeps the strides of channels_last. torch looks at the strides.
    """
    return x.contiguous().flatten().view(x.shape)
