"""The kernels as functions of tensors, with their gradients.

Images are N×C×H×W, channels_last in memory, float32 or bfloat16. Each operation reads its input as
``clamp(scale · x + offset, low, high)`` with one scale and offset a channel, so that normalization
and rectifier cost no pass of their own; see `Seen` of `sepcnn.fuse`.
"""

from __future__ import annotations

import math
from ctypes import Structure, c_float, c_int, c_long, c_void_p
from dataclasses import dataclass
from typing import Any

import torch

from sepcnn.native import library

DTYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
KERNEL_SIZE = (3, 3)
"""of separable convolutions"""
POOL_SIZES = ((2, 2), (3, 3))


def serve(dtype: torch.dtype) -> bool:
    """Whether this machine has the kernels for a type."""
    return dtype in DTYPES and library.load(DTYPES[dtype]) is not None


class _View(Structure):
    _fields_ = [("scale", c_void_p), ("offset", c_void_p), ("low", c_float), ("high", c_float)]


class _Shape(Structure):
    _fields_ = [(name, c_int) for name in ("images", "height", "width", "channels")]


class _Pool(Structure):
    _fields_ = [
        (name, c_int) for name in ("size", "down", "across", "top", "left", "height", "width")
    ]


class _Separable(Structure):
    _fields_ = [
        *((name, c_void_p) for name in ("depthwise", "pointwise")),
        *((name, c_int) for name in ("size", "filters", "top", "left", "height", "width")),
    ]


class _SeparableGradients(Structure):
    _fields_ = [(name, c_void_p) for name in ("x", "scale", "offset", "depthwise", "pointwise")]


@dataclass(frozen=True, slots=True)
class Window:
    """A window's geometry: rows then columns."""

    size: tuple[int, int]
    strides: tuple[int, int]
    margin: tuple[int, int]
    """rows above and columns to the left that lie outside of the image"""
    output: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a clamp lets through."""

    low: float = -math.inf
    high: float = math.inf


def _call(name: str, x: torch.Tensor, *arguments: Any) -> None:
    precision = DTYPES[x.dtype]
    kernels = library.load(precision)
    assert kernels is not None
    function = getattr(kernels, f"{name}_{precision}")
    function.restype = None
    function(*map(_argument, arguments), torch.get_num_threads())


def _argument(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return c_void_p(value.data_ptr())
    return value


def _pointer(tensor: torch.Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _image(shape: tuple[int, int, int, int], like: torch.Tensor) -> torch.Tensor:
    return torch.empty(shape, dtype=like.dtype, memory_format=torch.channels_last)


def _shape(x: torch.Tensor) -> _Shape:
    images, channels, height, width = x.shape
    return _Shape(images, height, width, channels)


def _rows(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _view(scale: torch.Tensor | None, offset: torch.Tensor | None, limits: Limits) -> _View:
    return _View(_pointer(scale), _pointer(offset), limits.low, limits.high)


class _SeparableFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        scale: torch.Tensor | None,
        offset: torch.Tensor | None,
        depthwise: torch.Tensor,
        pointwise: torch.Tensor,
        limits: Limits,
        window: Window,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        filters = len(pointwise)
        y = _image((len(x), filters, *window.output), x)
        moments = torch.empty(2, filters)
        operation = _operation(depthwise, pointwise, window)
        _call("separable", x, x, _shape(x), _view(scale, offset, limits), operation, y, moments)
        ctx.save_for_backward(x, scale, offset, depthwise, pointwise, y)
        ctx.limits, ctx.window = limits, window
        ctx.set_materialize_grads(False)
        return y, moments

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor, moment_gradients: torch.Tensor | None) -> Any:
        x, scale, offset, depthwise, pointwise, y = ctx.saved_tensors
        x_gradient = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        viewed = ctx.needs_input_grad[1] or ctx.needs_input_grad[2]
        scale_gradient = torch.empty_like(scale) if viewed else None
        offset_gradient = torch.empty_like(offset) if viewed else None
        kernels = torch.empty_like(depthwise), torch.empty_like(pointwise)
        gradient = _rows(gradient)
        if moment_gradients is not None:
            moment_gradients = moment_gradients.contiguous()
        to = (x_gradient, scale_gradient, offset_gradient, *kernels)
        _call(
            "separable_backward",
            x,
            gradient,
            y,
            moment_gradients,
            x,
            _shape(x),
            _view(scale, offset, ctx.limits),
            _operation(depthwise, pointwise, ctx.window),
            _SeparableGradients(*map(_pointer, to)),
        )
        return (*to, None, None)


def _operation(depthwise: torch.Tensor, pointwise: torch.Tensor, window: Window) -> _Separable:
    weights = (depthwise.data_ptr(), pointwise.data_ptr())
    return _Separable(*weights, depthwise.shape[-1], len(pointwise), *window.margin, *window.output)


class _MaxPoolFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, scale: torch.Tensor | None, window: Window
    ) -> torch.Tensor:
        y = _image((*x.shape[:2], *window.output), x)
        places = torch.empty_like(y, dtype=torch.uint8)
        _call("max_pool", x, x, _shape(x), scale, _pool(window), y, places)
        ctx.save_for_backward(places)
        ctx.shape, ctx.window = x.shape, window
        return y

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        (places,) = ctx.saved_tensors
        gradient = _rows(gradient)
        to = _image(ctx.shape, gradient)
        _call("max_pool_backward", gradient, gradient, places, _shape(to), _pool(ctx.window), to)
        return to, None, None


def _pool(window: Window) -> _Pool:
    return _Pool(window.size[0], *window.strides, *window.margin, *window.output)


def _view_gradients(
    x: torch.Tensor, scale: torch.Tensor | None, offset: torch.Tensor | None
) -> tuple[torch.Tensor | None, ...]:
    return tuple(None if value is None else torch.empty_like(value) for value in (x, scale, offset))


class _SeeFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        scale: torch.Tensor,
        offset: torch.Tensor,
        limits: Limits,
    ) -> torch.Tensor:
        y = torch.empty_like(x)
        view = _view(scale, offset, limits)
        _call("see", x, x, c_long(_pixels(x)), x.shape[1], view, y)
        ctx.save_for_backward(x, scale, offset)
        ctx.limits = limits
        return y

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        x, scale, offset = ctx.saved_tensors
        to = _view_gradients(x, scale, offset)
        view = _view(scale, offset, ctx.limits)
        gradient = _rows(gradient)
        _call("see_backward", x, gradient, x, c_long(_pixels(x)), x.shape[1], view, *to)
        return (*to, None)


class _MomentsFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        moments = torch.empty(2, x.shape[1])
        _call("moments", x, x, c_long(_pixels(x)), x.shape[1], moments)
        ctx.save_for_backward(x)
        return x.view_as(x), moments

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor, moment_gradients: torch.Tensor) -> Any:
        (x,) = ctx.saved_tensors
        to, gradient, pixels = torch.empty_like(x), _rows(gradient), c_long(_pixels(x))
        moment_gradients = moment_gradients.contiguous()
        _call("moments_backward", x, gradient, x, pixels, x.shape[1], moment_gradients, to)
        return to


def _pixels(x: torch.Tensor) -> int:
    return x.numel() // x.shape[1]


def separable(
    x: torch.Tensor,
    scale: torch.Tensor | None,
    offset: torch.Tensor | None,
    limits: Limits,
    depthwise: torch.Tensor,
    pointwise: torch.Tensor,
    window: Window,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A separable convolution with stride 1, and the sums of its values and of their squares.

    ``depthwise`` is C×1×3×3, ``pointwise`` F×C×1×1, both float32. The result is N×F×H×W of x's
    type, the sums float32 [2, F]. In bfloat16 the depthwise result and both kernels of the
    pointwise product are rounded, as autocast does; the sums are those of the unrounded result.
    """
    result: tuple[torch.Tensor, torch.Tensor] = _SeparableFunction.apply(
        x, scale, offset, depthwise, pointwise, limits, window
    )
    return result


def max_pool(x: torch.Tensor, scale: torch.Tensor | None, window: Window) -> torch.Tensor:
    """Of each window the value of x that is seen as the largest, with ``scale`` as a factor.

    What is seen of the result is what the largest seen would be. Padding never wins, and the first
    of equals has the gradient.
    """
    y: torch.Tensor = _MaxPoolFunction.apply(x, None if scale is None else scale.detach(), window)
    return y


def see(x: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor, limits: Limits) -> torch.Tensor:
    """``clamp(scale · x + offset, low, high)``, written down."""
    y: torch.Tensor = _SeeFunction.apply(x, scale, offset, limits)
    return y


def moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """x itself, and the sums of its values and of their squares, float32 [2, C].

    Whoever goes on with the returned x saves a pass backward: both gradients are added in one.
    """
    result: tuple[torch.Tensor, torch.Tensor] = _MomentsFunction.apply(x)
    return result
