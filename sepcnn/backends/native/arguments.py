"""How the kernels are called: what they take beside tensors, and the call."""

from __future__ import annotations

import math
from ctypes import Structure, c_float, c_int, c_void_p
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from sepcnn.backends.native import library

DTYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


class _Argument(Structure):
    """Pointers into tensors, which live as long as it does."""

    @classmethod
    def of(cls, *values: Any) -> Structure:
        made = cls(*(v.data_ptr() if isinstance(v, torch.Tensor) else v for v in values))
        made.values = values
        return made


class _View(_Argument):
    _fields_ = [("scale", c_void_p), ("offset", c_void_p), ("low", c_float), ("high", c_float)]


class _Shape(Structure):
    _fields_ = [(name, c_int) for name in ("images", "height", "width", "channels")]


class _Moments(_Argument):
    _fields_ = [("mean", c_void_p), ("variance", c_void_p)]


class _Grid(Structure):
    _fields_ = [(name, c_int) for name in ("down", "across", "top", "left", "height", "width")]


class _Kernels(_Argument):
    _fields_ = [
        *((name, c_void_p) for name in ("depthwise", "pointwise", "dense")),
        ("filters", c_int),
    ]


class _Gradients(_Argument):
    _fields_ = [
        (name, c_void_p) for name in ("x", "scale", "offset", "depthwise", "pointwise", "dense")
    ]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a clamp lets through."""

    low: float = -math.inf
    high: float = math.inf


class View(NamedTuple):
    """How an operation sees an image x: ``clamp(scale · x + offset, low, high)``."""

    scale: torch.Tensor | None = None
    """float32 [C], with an offset; None: as it is, without limits"""
    offset: torch.Tensor | None = None
    limits: Limits = Limits()

    def argument(self) -> Structure:
        return _View.of(self.scale, self.offset, self.limits.low, self.limits.high)


@dataclass(frozen=True, slots=True)
class Window:
    """A window's geometry: rows then columns."""

    size: tuple[int, int]
    strides: tuple[int, int]
    margin: tuple[int, int]
    """rows above and columns to the left that lie outside of the image"""
    output: tuple[int, int]

    def argument(self) -> Structure:
        return _Grid(*self.strides, *self.margin, *self.output)


class Moments(NamedTuple):
    """Mean and variance (biased) of each channel of an image, float32 [C]."""

    mean: torch.Tensor
    variance: torch.Tensor

    @classmethod
    def empty(cls, channels: int) -> Moments:
        return cls(torch.empty(channels), torch.empty(channels))

    def argument(self) -> Structure:
        return _Moments.of(*self)


class Kernels(NamedTuple):
    """Those of a convolution, float32 and contiguous."""

    depthwise: torch.Tensor | None = None
    """C×1×3×3: a window on each channel"""
    pointwise: torch.Tensor | None = None
    """F×C×1×1: a product over the channels, after the depthwise step if there is one"""
    dense: torch.Tensor | None = None
    """F×C×3×3, channels_last: alone"""

    def filters(self, channels: int) -> int:
        """Channels of the result."""
        last = self.dense if self.pointwise is None else self.pointwise
        return channels if last is None else len(last)

    def argument(self, channels: int) -> Structure:
        assert all(kernel is None or kernel.dtype == torch.float32 for kernel in self)
        return _Kernels.of(*self, self.filters(channels))


def moment_gradients(like: torch.Tensor, given: tuple[torch.Tensor | None, ...]) -> Structure:
    """Those of mean and variance: both, or none."""
    if any(gradient is not None for gradient in given):
        given = tuple(torch.zeros_like(like) if g is None else g.contiguous() for g in given)
    return _Moments.of(*given)


def gradients(*to: torch.Tensor | None) -> Structure:
    """Where those of x, scale, offset and the three kernels go; None where nobody wants them."""
    return _Gradients.of(*to)


def new_image(size: tuple[int, int, int, int], like: torch.Tensor) -> torch.Tensor:
    return torch.empty(size, dtype=like.dtype, memory_format=torch.channels_last)


def rows(x: torch.Tensor) -> torch.Tensor:
    """An image as the kernels read it."""
    return x.contiguous(memory_format=torch.channels_last)


def room(wanted: bool, like: torch.Tensor | None) -> torch.Tensor | None:
    """For a gradient, if somebody wants it."""
    return torch.empty_like(like) if wanted and like is not None else None


def shape(x: torch.Tensor) -> Structure:
    images, channels, height, width = x.shape
    return _Shape(images, height, width, channels)


def call(name: str, dtype: torch.dtype, *arguments: Any) -> None:
    """Run a kernel for a type, on as many threads as torch uses."""
    precision = DTYPES[dtype]
    kernels = library.load_kernels(precision)
    assert kernels is not None
    function = getattr(kernels, f"{name}_{precision}")
    function.restype = None
    function(*map(_argument, arguments), torch.get_num_threads())


def _argument(value: Any) -> Any:
    return c_void_p(value.data_ptr()) if isinstance(value, torch.Tensor) else value
