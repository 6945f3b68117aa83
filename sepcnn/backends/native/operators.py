"""The kernels as functions of tensors, with their gradients; `convolution.py` has the largest.

Images are N×C×H×W, channels_last in memory, float32 or bfloat16. Each operation reads its input
through a `View`, so that normalization and rectifier cost no pass of their own; see `Seen` of
`sepcnn.backends.fused`.
"""

from __future__ import annotations

from ctypes import c_float, c_int, c_long
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from sepcnn.backends.native import library
from sepcnn.backends.native.arguments import (
    DTYPES,
    Limits,
    Moments,
    View,
    Window,
    call,
    moment_gradients,
    new_image,
    room,
    rows,
    shape,
)

POOL_SIZES = ((2, 2), (3, 3))


def serve(dtype: torch.dtype) -> bool:
    """Whether this machine has the kernels for a type."""
    return dtype in DTYPES and library.load_kernels(DTYPES[dtype]) is not None


def _pixels(x: torch.Tensor) -> tuple[c_long, int]:
    """How many, and their channels."""
    return c_long(x.numel() // x.shape[1]), x.shape[1]


class _MaxPoolFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, scale: torch.Tensor | None, window: Window
    ) -> torch.Tensor:
        y = new_image((*x.shape[:2], *window.output), x)
        places = torch.empty_like(y, dtype=torch.uint8)
        geometry = (c_int(window.size[0]), window.argument())
        call("max_pool", x.dtype, x, shape(x), scale, *geometry, y, places)
        ctx.save_for_backward(places)
        ctx.shape, ctx.geometry = x.shape, geometry
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        (places,) = ctx.saved_tensors
        gradient = rows(gradient)
        to = new_image(ctx.shape, gradient)
        call("max_pool_backward", to.dtype, gradient, places, shape(to), *ctx.geometry, to)
        return to, None, None


class _SeeFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor, limits: Limits
    ) -> torch.Tensor:
        y = torch.empty_like(x)
        call("see", x.dtype, x, *_pixels(x), View(scale, offset, limits).argument(), y)
        ctx.save_for_backward(x, scale, offset)
        ctx.limits = limits
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        x, scale, offset = ctx.saved_tensors
        return (*_see_backward(rows(gradient), x, View(scale, offset, ctx.limits)), None)


def _see_backward(
    gradient: torch.Tensor, x: torch.Tensor, view: View
) -> tuple[torch.Tensor | None, ...]:
    """The gradients of x, scale and offset."""
    scale, offset, _ = view
    if scale is None or offset is None:
        return gradient, None, None
    to = (torch.empty_like(x), torch.empty_like(scale), torch.empty_like(offset))
    call("see_backward", x.dtype, gradient, x, *_pixels(x), view.argument(), *to)
    return to


class _AddFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        scale: torch.Tensor | None,
        offset: torch.Tensor | None,
        other: torch.Tensor,
        other_scale: torch.Tensor | None,
        other_offset: torch.Tensor | None,
        *limits: Limits,
    ) -> torch.Tensor:
        y = torch.empty_like(x)
        views = View(scale, offset, limits[0]), View(other_scale, other_offset, limits[1])
        call("add", x.dtype, x, other, *_pixels(x), *(view.argument() for view in views), y)
        ctx.save_for_backward(x, scale, offset, other, other_scale, other_offset)
        ctx.limits = limits
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        gradient = rows(gradient)
        x, scale, offset, other, other_scale, other_offset = ctx.saved_tensors
        return (
            *_see_backward(gradient, x, View(scale, offset, ctx.limits[0])),
            *_see_backward(gradient, other, View(other_scale, other_offset, ctx.limits[1])),
            *(None for _ in ctx.limits),
        )


class _MomentsFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        moments = Moments.empty(x.shape[1])
        call("moments", x.dtype, x, *_pixels(x), moments.argument())
        ctx.save_for_backward(x, moments.mean)
        return x.view_as(x), *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor, *of_moments: torch.Tensor) -> Any:
        x, mean = ctx.saved_tensors
        results = (rows(gradient), x, mean, moment_gradients(mean, of_moments))
        to = torch.empty_like(x)
        call("moments_backward", x.dtype, *results, *_pixels(x), to)
        return to


class _AffineFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        mean: torch.Tensor,
        variance: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        epsilon: float,
        dtype: torch.dtype,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        sizes = (c_float(epsilon), len(mean))
        scale, offset = torch.empty_like(mean), torch.empty_like(mean)
        call("affine", dtype, mean, variance, weight, bias, *sizes, scale, offset)
        ctx.save_for_backward(mean, variance, weight)
        ctx.sizes, ctx.dtype = sizes, dtype
        return scale, offset

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale_gradient: torch.Tensor, offset_gradient: torch.Tensor) -> Any:
        mean, variance, weight = ctx.saved_tensors
        given = (scale_gradient.contiguous(), offset_gradient.contiguous())
        to = (torch.empty_like(mean), torch.empty_like(mean), room(True, weight))
        call("affine_backward", ctx.dtype, *given, mean, variance, weight, *ctx.sizes, *to)
        return (*to, offset_gradient if ctx.needs_input_grad[3] else None, None, None)


def max_pool(x: torch.Tensor, scale: torch.Tensor | None, window: Window) -> torch.Tensor:
    """Of each window the value of x that is seen as the largest, with ``scale`` as a factor.

    What is seen of the result is what the largest seen would be. Padding never wins, and the first
    of equals has the gradient.
    """
    y: torch.Tensor = _MaxPoolFunction.apply(x, None if scale is None else scale.detach(), window)
    return y


def see(x: torch.Tensor, view: View) -> torch.Tensor:
    """What is seen of x, written down."""
    if view.scale is None:
        return x
    y: torch.Tensor = _SeeFunction.apply(x, *view)
    return y


def add(x: torch.Tensor, view: View, other: torch.Tensor, other_view: View) -> torch.Tensor:
    """The sum of what is seen of two images of one shape."""
    y: torch.Tensor = _AddFunction.apply(
        x, view.scale, view.offset, other, *other_view[:2], view.limits, other_view.limits
    )
    return y


def moments(x: torch.Tensor) -> tuple[torch.Tensor, Moments]:
    """x itself, and the moments of its channels.

    Whoever goes on with the returned x saves a pass backward: both gradients are added in one.
    """
    x, *found = _MomentsFunction.apply(x)
    return x, Moments(*found)


def affine(
    dtype: torch.dtype,
    mean: torch.Tensor,
    variance: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    epsilon: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and offset [C] that normalize an image of type ``dtype``; one step for autograd.

    ``weight / √(variance + epsilon)`` and ``bias − mean · scale``; all are float32 [C].
    """
    scale, offset = _AffineFunction.apply(mean, variance, weight, bias, epsilon, dtype)
    return scale, offset
