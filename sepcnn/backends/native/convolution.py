"""Convolutions as functions of tensors, with their gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from sepcnn.backends.native.arguments import (
    Kernels,
    Limits,
    Moments,
    View,
    Window,
    call,
    gradients,
    moment_gradients,
    new_image,
    room,
    rows,
    shape,
)

KERNEL_SIZE = (3, 3)
"""of depthwise and dense convolutions"""
MOST_STEM_TAPS = 64
"""channels times taps of a dense convolution"""


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
        window: Window,
    ) -> tuple[torch.Tensor, ...]:
        kernels, channels = Kernels(depthwise, pointwise, dense), x.shape[1]
        filters = kernels.filters(channels)
        y, moments = new_image((len(x), filters, *window.output), x), Moments.empty(filters)
        view = View(scale, offset, limits)
        geometry = (shape(x), view.argument(), window.argument(), kernels.argument(channels))
        call("convolution", x.dtype, x, *geometry, y, moments.argument())
        ctx.save_for_backward(x, scale, offset, *kernels, y, moments.mean)
        ctx.geometry = geometry
        ctx.set_materialize_grads(False)
        return y, *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor | None, *of_moments: torch.Tensor | None) -> Any:
        x, scale, offset, *kernels, y, mean = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        viewed = wanted[1] or wanted[2]
        to = (
            room(wanted[0], x),
            room(viewed, scale),
            room(viewed, offset),
            *(room(True, kernel) for kernel in kernels),
        )
        gradient = torch.zeros_like(y) if gradient is None else rows(gradient)
        results = (gradient, y, mean, moment_gradients(mean, of_moments))
        call("convolution_backward", x.dtype, *results, x, *ctx.geometry, gradients(*to))
        return (*to, None, None)


def convolve(
    x: torch.Tensor, view: View, kernels: Kernels, window: Window
) -> tuple[torch.Tensor, Moments]:
    """A convolution, and the moments of its channels.

    The result is N×F×H×W of x's type, its moments float32 [F]. In bfloat16, where the
    processor multiplies it, kernels are rounded where they are multiplied over the channels, and so
    is what lies between depthwise and pointwise step, as autocast does. The moments are those of
    the unrounded result.

    A dense kernel is for images: it has at most `MOST_STEM_TAPS` channels times taps, and neither x
    nor its view may want a gradient.
    """
    dense = kernels.dense
    if dense is not None:
        assert len(dense[0]) * dense[0, 0].numel() <= MOST_STEM_TAPS
        kernels = kernels._replace(dense=rows(dense))
    y, *moments = _ConvolutionFunction.apply(
        x, view.scale, view.offset, *kernels, view.limits, window
    )
    return y, Moments(*moments)
