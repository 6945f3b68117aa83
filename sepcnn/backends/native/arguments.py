"""What the kernels take besides images: structures that C++ reads, buffers, and the call itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from ctypes import Structure, c_float, c_int, c_void_p
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from sepcnn.backends.native import library
from sepcnn.language.values import Pair
from sepcnn.nn.layers.sliding_window import Padding, output_length, same_padding

DTYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


class _CStruct(Structure):
    """A structure of C++ by fields; it keeps the tensors alive to which it points."""

    @classmethod
    def of(cls, *values: Any) -> Structure:
        struct = cls(*(v.data_ptr() if isinstance(v, torch.Tensor) else v for v in values))
        struct.values = values
        return struct


class _ClampedAffine(_CStruct):
    _fields_ = [("scale", c_void_p), ("offset", c_void_p), ("low", c_float), ("high", c_float)]


class _Shape(_CStruct):
    _fields_ = [(name, c_int) for name in ("images", "height", "width", "channels")]


class _Moments(_CStruct):
    _fields_ = [("mean", c_void_p), ("variance", c_void_p)]


class _Geometry(_CStruct):
    _fields_ = [
        *((name, c_int) for name in ("stride_down", "stride_across")),
        *((name, c_int) for name in ("padding_top", "padding_left")),
        *((name, c_int) for name in ("height", "width")),
    ]


class _Input(_CStruct):
    _fields_ = [("x", c_void_p), ("shape", _Shape), ("read_as", _ClampedAffine)]


class _OutputGradients(_CStruct):
    _fields_ = [
        *((name, c_void_p) for name in ("gradient", "y", "mean")),
        ("of_moments", _Moments),
    ]


class _ConvolutionWeights(_CStruct):
    _fields_ = [
        *((name, c_void_p) for name in ("depthwise", "pointwise", "dense")),
        ("filters", c_int),
    ]


class _ConvolutionGradients(_CStruct):
    _fields_ = [
        (name, c_void_p) for name in ("x", "scale", "offset", "depthwise", "pointwise", "dense")
    ]


@dataclass(frozen=True, slots=True)
class Limits:
    """The interval of a clamp."""

    low: float = -math.inf
    high: float = math.inf


class ClampedAffine(NamedTuple):
    """The function ``clamp(scale · x + offset, low, high)`` of each channel.

    A kernel applies it to the values of an image while it reads them.
    """

    scale: torch.Tensor | None = None
    """float32 [C], and so is ``offset``; both are None for the identity, which has no limits"""
    offset: torch.Tensor | None = None
    limits: Limits = Limits()

    def c_struct(self) -> Structure:
        return _ClampedAffine.of(self.scale, self.offset, self.limits.low, self.limits.high)


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where a convolution or a pooling reads its input: height or rows first, then width."""

    kernel_size: Pair
    strides: Pair
    padding: Pair
    """rows above and columns left of the image that are read as padding"""
    output_size: Pair

    @classmethod
    def of(
        cls, image_size: Sequence[int], kernel_size: Pair, strides: Pair, padding: Padding
    ) -> Geometry:
        """The geometry over images of a size, with TensorFlow's padding."""
        axes = list(zip(image_size, kernel_size, strides, strict=True))
        top, left = (same_padding(*axis)[0] if padding == "same" else 0 for axis in axes)
        height, width = (output_length(*axis, padding) for axis in axes)
        return cls(kernel_size, strides, (top, left), (height, width))

    def c_struct(self) -> Structure:
        return _Geometry.of(*self.strides, *self.padding, *self.output_size)


class Moments(NamedTuple):
    """Mean and biased variance of each channel of an image, float32 [C]."""

    mean: torch.Tensor
    variance: torch.Tensor

    @classmethod
    def empty(cls, channels: int) -> Moments:
        return cls(torch.empty(channels), torch.empty(channels))

    def c_struct(self) -> Structure:
        return _Moments.of(*self)


class ConvolutionWeights(NamedTuple):
    """The weights of a depthwise, pointwise, separable (both) or dense convolution.

    They are float32 and contiguous.
    """

    depthwise: torch.Tensor | None = None
    """C×1×3×3"""
    pointwise: torch.Tensor | None = None
    """F×C×1×1; it follows the depthwise step if there is one"""
    dense: torch.Tensor | None = None
    """F×C×3×3, channels_last; without the other two"""

    def filters(self, channels: int) -> int:
        """The number of channels of the output."""
        last = self.dense if self.pointwise is None else self.pointwise
        return channels if last is None else len(last)

    def c_struct(self, channels: int) -> Structure:
        assert all(weight is None or weight.dtype == torch.float32 for weight in self)
        return _ConvolutionWeights.of(*self, self.filters(channels))


def c_input(x: torch.Tensor, read_as: ClampedAffine) -> Structure:
    return _Input.of(x, c_shape(x), read_as.c_struct())


def c_output_gradients(
    gradient: torch.Tensor,
    y: torch.Tensor,
    mean: torch.Tensor,
    of_moments: tuple[torch.Tensor | None, ...],
) -> Structure:
    """The gradients of an output y, and of its mean and variance.

    A gradient of a moment that is None is 0; if both are None, y is not read.
    """
    if any(g is not None for g in of_moments):
        of_moments = tuple(
            torch.zeros_like(mean) if g is None else g.contiguous() for g in of_moments
        )
    return _OutputGradients.of(gradient, y, mean, _Moments.of(*of_moments))


def c_convolution_gradients(*buffers: torch.Tensor | None) -> Structure:
    """Where to write the gradients of x, scale, offset and the three weights; None for no one."""
    return _ConvolutionGradients.of(*buffers)


def c_shape(x: torch.Tensor) -> Structure:
    images, channels, height, width = x.shape
    return _Shape.of(images, height, width, channels)


def empty_image(size: tuple[int, int, int, int], like: torch.Tensor) -> torch.Tensor:
    return torch.empty(size, dtype=like.dtype, memory_format=torch.channels_last)


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """The image in the memory format of the kernels; copied only if it has another."""
    return x.contiguous(memory_format=torch.channels_last)


def gradient_buffer(needed: bool, of: torch.Tensor | None) -> torch.Tensor | None:
    """An uninitialised tensor for the gradient of another one, or None if it is not needed."""
    return torch.empty_like(of) if needed and of is not None else None


def run_kernel(name: str, dtype: torch.dtype, *arguments: Any) -> None:
    """Run the kernel of an element type on as many threads as torch uses."""
    compiled = library.load_kernels(DTYPES[dtype])
    assert compiled is not None
    function = getattr(compiled, f"sepcnn_{name}")
    function.restype = None
    function(*map(_pointer, arguments), torch.get_num_threads())


def _pointer(value: Any) -> Any:
    """A tensor's address; anything else unchanged."""
    return c_void_p(value.data_ptr()) if isinstance(value, torch.Tensor) else value
