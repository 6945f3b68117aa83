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
from typing import Any

import torch
from torch import nn

from sepcnn.activations import ActivationFunction, Linear, Relu, Relu6
from sepcnn.layers.activation import ActivationModule
from sepcnn.layers.convolution import SeparableConv2DModule
from sepcnn.layers.normalization import BatchNormalizationModule, BatchRenormalizationModule
from sepcnn.layers.pooling import MaxPoolingModule
from sepcnn.layers.scaling import RescalingModule
from sepcnn.layers.window import window_size
from sepcnn.model import PLAIN, Form
from sepcnn.native import operators
from sepcnn.native.operators import Limits, Window

ALL = Limits()


@dataclass(frozen=True, slots=True)
class Seen:
    """``clamp(scale · x + offset, low, high)`` of an image x, not computed yet."""

    x: torch.Tensor
    """N×C×H×W, channels_last"""
    scale: torch.Tensor | None = None
    """float32 [C], with an offset; None: as it is"""
    offset: torch.Tensor | None = None
    limits: Limits = ALL
    moments: torch.Tensor | None = None
    """sums of x and of its squares, float32 [2, C], where they are known"""

    def tensor(self) -> torch.Tensor:
        if self.scale is None or self.offset is None:
            return self.x
        return operators.see(self.x, self.scale, self.offset, self.limits)

    def written(self) -> Seen:
        """The same with nothing left to do."""
        return self if self.scale is None else Seen(self.tensor())

    def mapped(self, scale: torch.Tensor, offset: torch.Tensor) -> Seen:
        """``scale · self + offset``."""
        if self.limits != ALL:
            return Seen(self.tensor()).mapped(scale, offset)
        if self.scale is None or self.offset is None:
            return replace(self, scale=scale, offset=offset)
        return replace(self, scale=self.scale * scale, offset=self.offset * scale + offset)

    def clamped(self, limits: Limits) -> Seen:
        if limits == ALL:
            return self
        scale, offset = self.scale, self.offset
        if scale is None or offset is None:
            channels = self.x.shape[1]
            scale, offset = torch.ones(channels), torch.zeros(channels)
        low, high = max(self.limits.low, limits.low), min(self.limits.high, limits.high)
        return replace(self, scale=scale, offset=offset, limits=Limits(low, high))


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
    depthwise, pointwise = module.depthwise, module.pointwise
    limits = limits_of(pointwise.activation)
    fits = (
        depthwise.strides == depthwise.dilation == (1, 1)
        and len(depthwise.weight) == depthwise.groups
        and depthwise.weight.shape[2:] == operators.KERNEL_SIZE
    )
    if not fits or limits is None:
        return None
    size, strides = operators.KERNEL_SIZE, (1, 1)
    window = Window(size, strides, *window_size(seen.x.shape[2:], size, strides, depthwise.padding))
    y, moments = operators.separable(
        seen.x, seen.scale, seen.offset, seen.limits, depthwise.weight, pointwise.weight, window
    )
    result = Seen(y, moments=moments)
    if pointwise.bias is not None:
        result = result.mapped(torch.ones_like(pointwise.bias), pointwise.bias)
    return result.clamped(limits)


def normalized(module: BatchNormalizationModule, seen: Seen) -> Seen:
    if not module.training:
        return seen.mapped(*module.inference_coefficients())
    if seen.limits != ALL:
        seen = seen.written()
    if seen.moments is None:
        x, moments = operators.moments(seen.x)
        seen = replace(seen, x=x, moments=moments)
    assert seen.moments is not None
    count = seen.x.numel() // seen.x.shape[1]
    mean, square = (seen.moments / count).unbind()
    variance = (square - mean.square()).clamp(min=0)
    if seen.scale is not None and seen.offset is not None:
        mean, variance = seen.scale * mean + seen.offset, seen.scale.square() * variance
    return seen.mapped(*module.coefficients(mean, variance))


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
    return replace(seen, x=operators.max_pool(seen.x, seen.scale, window), moments=None)


FAST: dict[type[nn.Module], Callable[..., Seen | None]] = {
    SeparableConv2DModule: separable,
    ActivationModule: activated,
    RescalingModule: rescaled,
    MaxPoolingModule: pooled,
    BatchNormalizationModule: normalized,
    BatchRenormalizationModule: normalized,
}


def seen(value: torch.Tensor) -> Any:
    """Images go on as `Seen`, all else as it is."""
    if value.dim() == 4 and operators.serve(value.dtype):
        return Seen(value.contiguous(memory_format=torch.channels_last))
    return value


class Fused:
    """The fast form of a net: modules are called with what they see."""

    def begin(self, x: torch.Tensor) -> Any:
        """The input of a net; under autocast in its type, which holds pixels of 8 bits exactly."""
        if torch.is_autocast_enabled("cpu"):
            x = x.to(torch.get_autocast_dtype("cpu"))
        return seen(x)

    def call(self, module: nn.Module, *inputs: Any) -> Any:
        fast = FAST.get(type(module))
        if fast and len(inputs) == 1 and isinstance(inputs[0], Seen):
            result = fast(module, *inputs)
            if result is not None:
                return result
        return seen(module(*map(self.end, inputs)))

    def end(self, value: Any) -> torch.Tensor:
        return value.tensor() if isinstance(value, Seen) else value


FORMS: dict[str, Form] = {"plain": PLAIN, "fused": Fused()}
"""by the names of `sepcnn.machine`"""
