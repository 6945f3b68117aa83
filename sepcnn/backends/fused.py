"""The fast form of a net on a CPU: the same modules and weights, with fewer passes over memory.

A normalization or a rectifier computes nothing by itself: what it would do is remembered as a
scale and an offset of each channel and a clamp, and done by the layer that reads it (`Seen`). The
statistics of a normalization are summed up by the layer that writes its input. Whatever has no fast
form is called as it is, on a tensor that is written down for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any

import torch
from torch import nn

from sepcnn.backends.native import operators, processor
from sepcnn.backends.native.arguments import Kernels, Limits, Moments, View, Window
from sepcnn.backends.native.convolution import KERNEL_SIZE, MOST_STEM_TAPS, convolve
from sepcnn.nn.activations import ActivationFunction, Linear, Relu, Relu6
from sepcnn.nn.layers.activation import ActivationModule
from sepcnn.nn.layers.convolution import Convolution, SeparableConv2DModule
from sepcnn.nn.layers.merge import FoldModule
from sepcnn.nn.layers.normalization import BatchNormalizationModule, BatchRenormalizationModule
from sepcnn.nn.layers.pooling import MaxPoolingModule
from sepcnn.nn.layers.scaling import RescalingModule
from sepcnn.nn.layers.window import window_size
from sepcnn.nn.model import PLAIN, Form

ALL = Limits()
AS_IS = View()


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen of an image, not computed yet."""

    x: torch.Tensor
    """N×C×H×W, channels_last"""
    view: View = AS_IS
    moments: Moments | None = None
    """of x, where they are known"""

    def tensor(self) -> torch.Tensor:
        return operators.see(self.x, self.view)

    def written(self) -> Seen:
        """The same with nothing left to do."""
        return self if self.view.scale is None else Seen(self.tensor())

    def mapped(self, scale: torch.Tensor, offset: torch.Tensor) -> Seen:
        """``scale · self + offset``."""
        seen = self.view
        if seen.limits != ALL:
            return Seen(self.tensor()).mapped(scale, offset)
        if seen.scale is not None and seen.offset is not None:
            scale, offset = seen.scale * scale, seen.offset * scale + offset
        return replace(self, view=View(scale, offset))

    def clamped(self, limits: Limits) -> Seen:
        if limits == ALL:
            return self
        scale, offset, before = self.view
        if scale is None or offset is None:
            channels = self.x.shape[1]
            scale, offset = torch.ones(channels), torch.zeros(channels)
        low, high = max(before.low, limits.low), min(before.high, limits.high)
        return replace(self, view=View(scale, offset, Limits(low, high)))

    def wants_gradient(self) -> bool:
        """Whether anything above the layer that reads this is trained."""
        return any(part is not None and part.requires_grad for part in (self.x, *self.view[:2]))


def limits_of(activation: ActivationFunction | None) -> Limits | None:
    """The clamp that an activation is; None where it is none."""
    if activation is None or isinstance(activation, Linear):
        return ALL
    if isinstance(activation, Relu6):
        return Limits(0.0, 6.0)
    if isinstance(activation, Relu) and not activation.threshold and not activation.negative_slope:
        high = math.inf if activation.max_value is None else activation.max_value
        return Limits(0.0, high)
    return None


def separable(module: SeparableConv2DModule, seen: Seen) -> Seen | None:
    first, last = module.depthwise, module.pointwise
    if not has_depthwise_kernel(first):
        return None
    return convolved(first, Kernels(depthwise=first.weight, pointwise=last.weight), last, seen)


def convolution(module: Convolution, seen: Seen) -> Seen | None:
    weight, size = module.weight, module.weight.shape[2:]
    if has_depthwise_kernel(module):
        kernels = Kernels(depthwise=weight)
    elif module.groups > 1:
        return None
    elif size == (1, 1) and seen.x.shape[2:] != (1, 1):  # of one pixel it is a product of matrices
        kernels = Kernels(pointwise=weight)
    elif size == KERNEL_SIZE and is_stem(weight, seen):
        kernels = Kernels(dense=weight)
    else:
        return None
    return convolved(module, kernels, module, seen)


def is_stem(weight: torch.Tensor, seen: Seen) -> bool:
    """The first convolution of a net: few channels, whose gradient nobody wants."""
    return weight[0].numel() <= MOST_STEM_TAPS and not seen.wants_gradient()


def has_depthwise_kernel(module: Convolution) -> bool:
    """One that the kernels know: as many channels come out as go in."""
    one_a_channel = len(module.weight) == module.groups
    return one_a_channel and module.weight.shape[1:] == (1, *KERNEL_SIZE)


def convolved(window: Convolution, kernels: Kernels, last: Convolution, seen: Seen) -> Seen | None:
    """With the window of one step, and bias and activation of the last."""
    limits = limits_of(last.activation)
    if window.dilation != (1, 1) or limits is None:
        return None
    size, strides = window.window, window.strides
    grid = Window(size, strides, *window_size(seen.x.shape[2:], size, strides, window.padding))
    y, moments = convolve(seen.x, seen.view, kernels, grid)
    result = Seen(y, moments=moments)
    if last.bias is not None:
        result = result.mapped(torch.ones_like(last.bias), last.bias)
    return result.clamped(limits)


def normalized(module: BatchNormalizationModule, seen: Seen) -> Seen:
    if not module.training:
        return seen.mapped(*module.inference_coefficients())
    if seen.view.limits != ALL:
        seen = seen.written()
    x, moments = (seen.x, seen.moments) if seen.moments else operators.moments(seen.x)
    mean, variance = moments
    scale, offset, _ = seen.view
    if scale is not None and offset is not None:
        mean, variance = scale * mean + offset, scale.square() * variance
    by = partial(operators.affine, x.dtype)
    seen = replace(seen, x=x, moments=moments)
    return seen.mapped(*module.coefficients(mean, variance, by))


def activated(module: ActivationModule, seen: Seen) -> Seen | None:
    limits = limits_of(module.activation)
    return None if limits is None else seen.clamped(limits)


def rescaled(module: RescalingModule, seen: Seen) -> Seen:
    channels = seen.x.shape[1]
    scale, offset = (
        torch.as_tensor(value, dtype=torch.float32).flatten().expand(channels).contiguous()
        for value in (module.scale, module.offset)
    )
    return seen.mapped(scale, offset)


def pooled(module: MaxPoolingModule, seen: Seen) -> Seen | None:
    size, strides = module.size, module.strides
    if size not in operators.POOL_SIZES:
        return None
    window = Window(size, strides, *window_size(seen.x.shape[2:], size, strides, module.padding))
    return replace(seen, x=operators.max_pool(seen.x, seen.view.scale, window), moments=None)


def added(module: FoldModule, *several: Seen) -> Seen | None:
    if module.join is not torch.add or len({(seen.x.shape, seen.x.dtype) for seen in several}) > 1:
        return None
    return reduce(lambda a, b: Seen(operators.add(a.x, a.view, b.x, b.view)), several)


FAST: dict[type[nn.Module], Callable[..., Seen | None]] = {
    Convolution: convolution,
    SeparableConv2DModule: separable,
    ActivationModule: activated,
    RescalingModule: rescaled,
    MaxPoolingModule: pooled,
    BatchNormalizationModule: normalized,
    BatchRenormalizationModule: normalized,
    FoldModule: added,
}


def called(module: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
    """The result of a module that has no kernels.

    Where torch would multiply bfloat16 by way of float32, many times slower, it is float32.
    """
    if not torch.is_autocast_enabled("cpu") or processor.multiplies_bfloat16():
        return PLAIN.call(module, *inputs)
    exact = (x.float() if x.dtype == torch.bfloat16 else x for x in inputs)
    with torch.autocast("cpu", enabled=False):
        return PLAIN.call(module, *exact)


class Fused:
    """The fast form of a net: modules are called with what they see."""

    def begin(self, x: torch.Tensor) -> Any:
        """Images go on as `Seen`, under autocast in its type, which holds pixels of 8 bits exactly.

        All else goes on as it is.
        """
        if x.dim() != 4:
            return x
        if torch.is_autocast_enabled("cpu"):
            x = x.to(torch.get_autocast_dtype("cpu"))
        if not operators.serve(x.dtype):
            return x
        return Seen(x.contiguous(memory_format=torch.channels_last))

    def call(self, module: nn.Module, *inputs: Any) -> Any:
        fast = FAST.get(type(module))
        if fast and all(isinstance(value, Seen) for value in inputs):
            result = fast(module, *inputs)
            if result is not None:
                return result
        return self.begin(called(module, *map(self.end, inputs)))

    def end(self, value: Any) -> torch.Tensor:
        return value.tensor() if isinstance(value, Seen) else value


FORMS: dict[str, Form] = {"plain": PLAIN, "fused": Fused()}
"""by the names of `sepcnn.backends.machine`"""
