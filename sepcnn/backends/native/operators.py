"""The other kernels as differentiable functions of tensors: pooling, addition, moments.

Images are N×C×H×W, channels_last in memory, float32 or bfloat16. Operations that read an image
``x`` through a `ClampedAffine` f compute with f(x), so that a normalization and its rectifier need
no pass over memory of their own; see `LazyImage` in `sepcnn.backends.fused`.
"""

from __future__ import annotations

from ctypes import c_float, c_int, c_long
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from sepcnn.backends.native import library
from sepcnn.backends.native.arguments import (
    DTYPES,
    ClampedAffine,
    Geometry,
    Limits,
    Moments,
    c_output_gradients,
    c_shape,
    channels_last,
    empty_image,
    gradient_buffer,
    run_kernel,
)

POOL_KERNEL_SIZES = ((2, 2), (3, 3))


def has_kernels(dtype: torch.dtype) -> bool:
    """Whether this machine has kernels for an element type."""
    return dtype in DTYPES and library.load_kernels(DTYPES[dtype]) is not None


def _c_pixels(x: torch.Tensor) -> tuple[c_long, int]:
    """The number of pixels of all images, and of channels."""
    return c_long(x.numel() // x.shape[1]), x.shape[1]


class _MaxPoolFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, scale: torch.Tensor | None, geometry: Geometry
    ) -> torch.Tensor:
        y = empty_image((*x.shape[:2], *geometry.output_size), x)
        places = torch.empty_like(y, dtype=torch.uint8)
        settings = (c_int(geometry.kernel_size[0]), geometry.c_struct())
        run_kernel("max_pool", x.dtype, x, c_shape(x), scale, *settings, y, places)
        ctx.save_for_backward(places)
        ctx.shape, ctx.settings = x.shape, settings
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        (places,) = ctx.saved_tensors
        gradient = channels_last(gradient)
        to = empty_image(ctx.shape, gradient)
        arguments = (gradient, places, c_shape(to), *ctx.settings, to)
        run_kernel("max_pool_backward", to.dtype, *arguments)
        return to, None, None


class _ClampedAffineFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor, limits: Limits
    ) -> torch.Tensor:
        y = torch.empty_like(x)
        affine = ClampedAffine(scale, offset, limits).c_struct()
        run_kernel("clamped_affine", x.dtype, x, *_c_pixels(x), affine, y)
        ctx.save_for_backward(x, scale, offset)
        ctx.limits = limits
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        x, scale, offset = ctx.saved_tensors
        affine = ClampedAffine(scale, offset, ctx.limits)
        return (*_clamped_affine_backward(channels_last(gradient), x, affine), None)


def _clamped_affine_backward(
    gradient: torch.Tensor, x: torch.Tensor, affine: ClampedAffine
) -> tuple[torch.Tensor | None, ...]:
    """The gradients of x, scale and offset."""
    scale, offset, _ = affine
    if scale is None or offset is None:
        return gradient, None, None
    to = (torch.empty_like(x), torch.empty_like(scale), torch.empty_like(offset))
    arguments = (gradient, x, *_c_pixels(x), affine.c_struct(), *to)
    run_kernel("clamped_affine_backward", x.dtype, *arguments)
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
        affine = ClampedAffine(scale, offset, limits[0]).c_struct()
        other_affine = ClampedAffine(other_scale, other_offset, limits[1]).c_struct()
        run_kernel("add", x.dtype, x, other, *_c_pixels(x), affine, other_affine, y)
        ctx.save_for_backward(x, scale, offset, other, other_scale, other_offset)
        ctx.limits = limits
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        gradient = channels_last(gradient)
        x, scale, offset, other, other_scale, other_offset = ctx.saved_tensors
        affine = ClampedAffine(scale, offset, ctx.limits[0])
        other_affine = ClampedAffine(other_scale, other_offset, ctx.limits[1])
        return (
            *_clamped_affine_backward(gradient, x, affine),
            *_clamped_affine_backward(gradient, other, other_affine),
            *(None for _ in ctx.limits),
        )


class _MomentsFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        moments = Moments.empty(x.shape[1])
        run_kernel("moments", x.dtype, x, *_c_pixels(x), moments.c_struct())
        ctx.save_for_backward(x, moments.mean)
        return x.view_as(x), *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor, *moment_gradients: torch.Tensor) -> Any:
        x, mean = ctx.saved_tensors
        output = c_output_gradients(channels_last(gradient), x, mean, moment_gradients)
        to = torch.empty_like(x)
        run_kernel("moments_backward", x.dtype, output, *_c_pixels(x), to)
        return to


class _NormalizationCoefficientsFunction(torch.autograd.Function):
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
        settings = (c_float(epsilon), len(mean))
        given = (mean, variance, weight, bias)
        scale, offset = torch.empty_like(mean), torch.empty_like(mean)
        run_kernel("normalization_coefficients", dtype, *given, *settings, scale, offset)
        ctx.save_for_backward(mean, variance, weight)
        ctx.settings, ctx.dtype = settings, dtype
        return scale, offset

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale_gradient: torch.Tensor, offset_gradient: torch.Tensor) -> Any:
        mean, variance, weight = ctx.saved_tensors
        given = (scale_gradient.contiguous(), offset_gradient.contiguous())
        to = (torch.empty_like(mean), torch.empty_like(mean), gradient_buffer(True, weight))
        arguments = (*given, mean, variance, weight, *ctx.settings, *to)
        run_kernel("normalization_coefficients_backward", ctx.dtype, *arguments)
        return (*to, offset_gradient if ctx.needs_input_grad[3] else None, None, None)


def max_pool(x: torch.Tensor, scale: torch.Tensor | None, geometry: Geometry) -> torch.Tensor:
    """The value of x in each window for which ``scale · x`` is largest.

    A `ClampedAffine` with that scale, applied to the result, gives the pooling of what it makes of
    x: it never decreases with ``scale · x``. Padding is never chosen. Of equal values the first is
    chosen and gets the gradient.
    """
    scale = None if scale is None else scale.detach()
    y: torch.Tensor = _MaxPoolFunction.apply(x, scale, geometry)
    return y


def apply_clamped_affine(x: torch.Tensor, affine: ClampedAffine) -> torch.Tensor:
    """``clamp(scale · x + offset, low, high)`` as a tensor; x itself for the identity."""
    if affine.scale is None:
        return x
    y: torch.Tensor = _ClampedAffineFunction.apply(x, *affine)
    return y


def add(
    x: torch.Tensor, affine: ClampedAffine, other: torch.Tensor, other_affine: ClampedAffine
) -> torch.Tensor:
    """``affine(x) + other_affine(other)`` of two images of one shape and type."""
    y: torch.Tensor = _AddFunction.apply(
        x, affine.scale, affine.offset, other, *other_affine[:2], affine.limits, other_affine.limits
    )
    return y


def moments(x: torch.Tensor) -> tuple[torch.Tensor, Moments]:
    """x itself, and the moments of each of its channels.

    Use the returned x afterwards: the backward pass then adds its gradient and the gradient of the
    moments in one pass over memory.
    """
    x, *values = _MomentsFunction.apply(x)
    return x, Moments(*values)


def normalization_coefficients(
    dtype: torch.dtype,
    mean: torch.Tensor,
    variance: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    epsilon: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and offset that normalize an image of type ``dtype``; one step for autograd.

    scale = ``weight / √(variance + epsilon)``, offset = ``bias − mean · scale``. All are
    float32 [C]. A missing weight is 1, a missing bias 0.
    """
    scale, offset = _NormalizationCoefficientsFunction.apply(
        mean, variance, weight, bias, epsilon, dtype
    )
    return scale, offset
