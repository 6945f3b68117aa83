"""The fast form of a model on a CPU: the same modules and weights, fewer passes over memory.

A normalization or a rectifier computes nothing when it is called. It becomes a scale and an offset
per channel and a clamp, which the next layer applies while it reads (`LazyImage`). The layer that
writes the input of a normalization sums up its statistics. A layer without a fast form is called
with a tensor, to which pending work is applied first.
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
from sepcnn.backends.native.arguments import (
    ClampedAffine,
    ConvolutionWeights,
    Geometry,
    Limits,
    Moments,
)
from sepcnn.backends.native.convolution import KERNEL_SIZE, MOST_STEM_TAPS, convolve
from sepcnn.nn.activations import ActivationFunction, Linear, Relu, Relu6
from sepcnn.nn.layers.activation import ActivationModule
from sepcnn.nn.layers.convolution import Convolution, SeparableConv2DModule
from sepcnn.nn.layers.merge import FoldModule
from sepcnn.nn.layers.normalization import BatchNormalizationModule, BatchRenormalizationModule
from sepcnn.nn.layers.pooling import MaxPoolingModule
from sepcnn.nn.layers.scaling import RescalingModule
from sepcnn.nn.model import PLAIN, Executor

UNLIMITED = Limits()
IDENTITY = ClampedAffine()


@dataclass(frozen=True, slots=True)
class LazyImage:
    """The image ``pending(x)``, which is not computed before a layer reads it."""

    x: torch.Tensor
    """N×C×H×W, channels_last"""
    pending: ClampedAffine = IDENTITY
    moments: Moments | None = None
    """mean and variance of x, if they are known"""

    def tensor(self) -> torch.Tensor:
        return operators.apply_clamped_affine(self.x, self.pending)

    def materialize(self) -> LazyImage:
        """The same image with nothing pending. Costs a pass over memory if something is."""
        return self if self.pending.scale is None else LazyImage(self.tensor())

    def apply_affine(self, scale: torch.Tensor, offset: torch.Tensor) -> LazyImage:
        """``scale · image + offset``; lazy unless a clamp is pending."""
        before = self.pending
        if before.limits != UNLIMITED:
            return self.materialize().apply_affine(scale, offset)
        if before.scale is not None and before.offset is not None:
            scale, offset = before.scale * scale, before.offset * scale + offset
        return replace(self, pending=ClampedAffine(scale, offset))

    def apply_clamp(self, limits: Limits) -> LazyImage:
        """The image limited to an interval; always lazy."""
        if limits == UNLIMITED:
            return self
        scale, offset, before = self.pending
        if scale is None or offset is None:
            channels = self.x.shape[1]
            scale, offset = torch.ones(channels), torch.zeros(channels)
        low, high = max(before.low, limits.low), min(before.high, limits.high)
        return replace(self, pending=ClampedAffine(scale, offset, Limits(low, high)))

    def requires_grad(self) -> bool:
        """Whether the backward pass continues above the layer that reads this image."""
        return any(part is not None and part.requires_grad for part in (self.x, *self.pending[:2]))


def limits_of(activation: ActivationFunction | None) -> Limits | None:
    """The clamp that equals an activation, or None if there is none."""
    if activation is None or isinstance(activation, Linear):
        return UNLIMITED
    if isinstance(activation, Relu6):
        return Limits(0.0, 6.0)
    if isinstance(activation, Relu) and not activation.threshold and not activation.negative_slope:
        high = math.inf if activation.max_value is None else activation.max_value
        return Limits(0.0, high)
    return None


def call_separable(module: SeparableConv2DModule, image: LazyImage) -> LazyImage | None:
    first, last = module.depthwise, module.pointwise
    if not has_depthwise_kernel(first):
        return None
    weights = ConvolutionWeights(depthwise=first.weight, pointwise=last.weight)
    return call_kernel(first, weights, last, image)


def call_convolution(module: Convolution, image: LazyImage) -> LazyImage | None:
    weight, one_pixel = module.weight, image.x.shape[2:] == (1, 1)
    if has_depthwise_kernel(module):
        weights = ConvolutionWeights(depthwise=weight)
    elif module.groups > 1:
        return None
    elif module.kernel_size == (1, 1) and not one_pixel:  # on one pixel it is a matrix product
        weights = ConvolutionWeights(pointwise=weight)
    elif module.kernel_size == KERNEL_SIZE and is_stem(weight, image):
        weights = ConvolutionWeights(dense=weight)
    else:
        return None
    return call_kernel(module, weights, module, image)


def is_stem(weight: torch.Tensor, image: LazyImage) -> bool:
    """Whether this is the first convolution: few channels, no gradient of the image needed."""
    return weight[0].numel() <= MOST_STEM_TAPS and not image.requires_grad()


def has_depthwise_kernel(module: Convolution) -> bool:
    """Whether it is a depthwise convolution with as many outputs as inputs and a native kernel."""
    one_per_channel = len(module.weight) == module.groups
    return one_per_channel and module.weight.shape[1:] == (1, *KERNEL_SIZE)


def call_kernel(
    first: Convolution, weights: ConvolutionWeights, last: Convolution, image: LazyImage
) -> LazyImage | None:
    """Run the native convolution: geometry of the first step, bias and activation of the last."""
    limits = limits_of(last.activation)
    if first.dilation != (1, 1) or limits is None:
        return None
    geometry = Geometry.of(image.x.shape[2:], first.kernel_size, first.strides, first.padding)
    y, moments = convolve(image.x, image.pending, weights, geometry)
    result = LazyImage(y, moments=moments)
    if last.bias is not None:
        result = result.apply_affine(torch.ones_like(last.bias), last.bias)
    return result.apply_clamp(limits)


def call_normalization(module: BatchNormalizationModule, image: LazyImage) -> LazyImage:
    if not module.training:
        return image.apply_affine(*module.inference_coefficients())
    if image.pending.limits != UNLIMITED:
        image = image.materialize()
    x, moments = (image.x, image.moments) if image.moments else operators.moments(image.x)
    mean, variance = moments
    scale, offset, _ = image.pending
    if scale is not None and offset is not None:
        mean, variance = scale * mean + offset, scale.square() * variance
    native = partial(operators.normalization_coefficients, x.dtype)
    image = replace(image, x=x, moments=moments)
    return image.apply_affine(*module.coefficients(mean, variance, native))


def call_activation(module: ActivationModule, image: LazyImage) -> LazyImage | None:
    limits = limits_of(module.activation)
    return None if limits is None else image.apply_clamp(limits)


def call_rescaling(module: RescalingModule, image: LazyImage) -> LazyImage:
    channels = image.x.shape[1]
    scale, offset = (
        torch.as_tensor(value, dtype=torch.float32).flatten().expand(channels).contiguous()
        for value in (module.scale, module.offset)
    )
    return image.apply_affine(scale, offset)


def call_max_pooling(module: MaxPoolingModule, image: LazyImage) -> LazyImage | None:
    kernel_size = module.kernel_size
    if kernel_size not in operators.POOL_KERNEL_SIZES:
        return None
    geometry = Geometry.of(image.x.shape[2:], kernel_size, module.strides, module.padding)
    pooled = operators.max_pool(image.x, image.pending.scale, geometry)
    return replace(image, x=pooled, moments=None)


def call_addition(module: FoldModule, *images: LazyImage) -> LazyImage | None:
    if module.join is not torch.add or len({(i.x.shape, i.x.dtype) for i in images}) > 1:
        return None
    return reduce(lambda a, b: LazyImage(operators.add(a.x, a.pending, b.x, b.pending)), images)


FUSED_CALLS: dict[type[nn.Module], Callable[..., LazyImage | None]] = {
    Convolution: call_convolution,
    SeparableConv2DModule: call_separable,
    ActivationModule: call_activation,
    RescalingModule: call_rescaling,
    MaxPoolingModule: call_max_pooling,
    BatchNormalizationModule: call_normalization,
    BatchRenormalizationModule: call_normalization,
    FoldModule: call_addition,
}
"""how to call a module with lazy images; a call returns None if no kernel does what it needs"""


def call_plain(module: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
    """Call a module without kernels.

    Under autocast it computes in float32 if the processor does not multiply bfloat16, which torch
    would then emulate, many times slower.
    """
    if not torch.is_autocast_enabled("cpu") or processor.multiplies_bfloat16():
        return PLAIN.call(module, *inputs)
    widened = (x.float() if x.dtype == torch.bfloat16 else x for x in inputs)
    with torch.autocast("cpu", enabled=False):
        return PLAIN.call(module, *widened)


class Fused:
    """The fast form: modules exchange `LazyImage` values, and tensors that are not images."""

    def begin(self, x: torch.Tensor) -> Any:
        """Wrap an image in a `LazyImage`; return any other tensor unchanged.

        Under autocast the image is cast to its type; bfloat16 represents 8-bit pixels exactly.
        """
        if x.dim() != 4:
            return x
        if torch.is_autocast_enabled("cpu"):
            x = x.to(torch.get_autocast_dtype("cpu"))
        if not operators.has_kernels(x.dtype):
            return x
        return LazyImage(x.contiguous(memory_format=torch.channels_last))

    def call(self, module: nn.Module, *inputs: Any) -> Any:
        fused_call = FUSED_CALLS.get(type(module))
        if fused_call and all(isinstance(value, LazyImage) for value in inputs):
            result = fused_call(module, *inputs)
            if result is not None:
                return result
        return self.begin(call_plain(module, *map(self.end, inputs)))

    def end(self, value: Any) -> torch.Tensor:
        return value.tensor() if isinstance(value, LazyImage) else value


FORMS: dict[str, Executor] = {"plain": PLAIN, "fused": Fused()}
"""by the names of `sepcnn.backends.machine`"""
