"""Convolutions as differentiable functions of tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from sepcnn.backends.native.arguments import (
    ClampedAffine,
    ConvolutionWeights,
    Geometry,
    Limits,
    Moments,
    c_convolution_gradients,
    c_input,
    c_output_gradients,
    channels_last,
    empty_image,
    gradient_buffer,
    run_kernel,
)

KERNEL_SIZE = (3, 3)
"""the only size of depthwise and dense kernels: ``K`` in C++ is a template argument"""
MOST_STEM_TAPS = 64
"""most taps × channels of a dense convolution. Its kernel is made for images: three channels have
27. Four vectors of 16 lanes hold 64, as `MOST_TAPS` in stem.h."""


class _ConvolutionFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        scale: torch.Tensor | None,
        offset: torch.Tensor | None,
        depthwise: torch.Tensor | None,
        pointwise: torch.Tensor | None,
        dense: torch.Tensor | None,
        limits: Limits,
        geometry: Geometry,
    ) -> tuple[torch.Tensor, ...]:
        weights, channels = ConvolutionWeights(depthwise, pointwise, dense), x.shape[1]
        filters = weights.filters(channels)
        y = empty_image((len(x), filters, *geometry.output_size), x)
        moments = Moments.empty(filters)
        read = c_input(x, ClampedAffine(scale, offset, limits))
        settings = (geometry.c_struct(), weights.c_struct(channels))
        run_kernel("convolution", x.dtype, read, *settings, y, moments.c_struct())
        ctx.save_for_backward(x, scale, offset, *weights, y, moments.mean)
        ctx.limits, ctx.settings = limits, settings
        ctx.set_materialize_grads(False)
        return y, *moments

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, gradient: torch.Tensor | None, *moment_gradients: torch.Tensor | None
    ) -> Any:
        x, scale, offset, *weights, y, mean = ctx.saved_tensors
        needed = ctx.needs_input_grad
        needs_affine = needed[1] or needed[2]
        buffers = (
            gradient_buffer(needed[0], x),
            gradient_buffer(needs_affine, scale),
            gradient_buffer(needs_affine, offset),
            *(gradient_buffer(True, weight) for weight in weights),
        )
        gradient = torch.zeros_like(y) if gradient is None else channels_last(gradient)
        output = c_output_gradients(gradient, y, mean, moment_gradients)
        read = c_input(x, ClampedAffine(scale, offset, ctx.limits))
        to = c_convolution_gradients(*buffers)
        run_kernel("convolution_backward", x.dtype, output, read, *ctx.settings, to)
        return (*buffers, None, None)


def convolve(
    x: torch.Tensor, read_as: ClampedAffine, weights: ConvolutionWeights, geometry: Geometry
) -> tuple[torch.Tensor, Moments]:
    """The convolution of ``read_as(x)``, and the moments of each of its channels.

    The output is N×F×H×W of x's type, its moments are float32 [F]. They are the moments of the
    unrounded output. In bfloat16, if the processor multiplies it, pointwise and dense weights and
    the output of the depthwise step are rounded to bfloat16, as autocast does.

    A dense convolution is for the images themselves: it has at most `MOST_STEM_TAPS` taps times
    channels, and gives no gradient of x, scale and offset.
    """
    dense = weights.dense
    if dense is not None:
        assert len(dense[0]) * dense[0, 0].numel() <= MOST_STEM_TAPS
        weights = weights._replace(dense=channels_last(dense))
    y, *moments = _ConvolutionFunction.apply(
        x, read_as.scale, read_as.offset, *weights, read_as.limits, geometry
    )
    return y, Moments(*moments)
