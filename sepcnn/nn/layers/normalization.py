"""Batch normalization, with batch renormalization, as Keras and the papers define it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Self

import torch
from torch import nn

from sepcnn.language.values import PositiveNumber, UnitNumber
from sepcnn.nn.constraints import VectorConstraint
from sepcnn.nn.initializers import Initializer, Ones, VectorInitializer, Zeros
from sepcnn.nn.layers.axes import Axis, check_channel_axis
from sepcnn.nn.layers.base import LeafLayer, Shape
from sepcnn.nn.layers.module import LayerModule, StepDependentModule, WeightRules
from sepcnn.nn.layers.renorm_clipping import RenormClipping
from sepcnn.nn.regularizers import VectorRegularizer
from sepcnn.nn.schedules import Progress


class BatchNormalization(LeafLayer):
    """Normalizes each channel by the batch's mean and variance (Ioffe & Szegedy 2015).

    ``y = scale · (x − mean) / √(variance + epsilon) + center``; in inference with the moving
    statistics. The variance is the biased one, in the moving statistic too (torch keeps the
    unbiased). ``moving = moving · momentum + batch · (1 − momentum)``: torch's momentum is 1 −
    ours.

    ``renorm: true`` is batch renormalization (Ioffe 2017, arXiv:1702.03275, algorithm 1) with
    Keras' limits: ``x̂ = (x − mean)/σ · r + d`` with r = σ/σ_moving and d = (mean −
    mean_moving)/σ_moving, both clipped and without gradient. ``rmin: paper`` clips r to
    [1/rmax, rmax], as the paper does. ``trainable: false`` is inference mode, as in Keras.
    """

    axis: Axis = -1
    """the axis of the channels: the last"""
    momentum: UnitNumber = 0.99
    """share of the old value kept by the moving statistics in each step"""
    epsilon: PositiveNumber = 1e-3
    """added to the variance"""
    center: bool = True
    """add a learned offset (beta; here ``bias``)"""
    scale: bool = True
    """multiply by a learned factor (gamma; here ``weight``)"""
    beta_initializer: VectorInitializer = Zeros()
    """first values of the offset"""
    gamma_initializer: VectorInitializer = Ones()
    """first values of the factor"""
    moving_mean_initializer: VectorInitializer = Zeros()
    """first values of the moving mean"""
    moving_variance_initializer: VectorInitializer = Ones()
    """first values of the moving variance"""
    beta_regularizer: VectorRegularizer = None
    """what the offset adds to the loss"""
    beta_constraint: VectorConstraint = None
    """what the offset is held to"""
    gamma_regularizer: VectorRegularizer = None
    """what the factor adds to the loss"""
    gamma_constraint: VectorConstraint = None
    """what the factor is held to"""
    renorm: bool = False
    """use batch renormalization: better for small batches"""
    renorm_clipping: RenormClipping = RenormClipping()
    """limits of the correction"""
    renorm_momentum: UnitNumber = 0.99
    """momentum of the statistics that the correction uses"""

    def output_shape(self, *inputs: Shape) -> Shape:
        check_channel_axis(self.axis, inputs[0])
        return inputs[0]

    def build(self, *inputs: Shape) -> nn.Module:
        channels = inputs[0][-1]
        if self.renorm:
            return BatchRenormalizationModule(self, channels)
        return BatchNormalizationModule(self, channels)


def batch_count(x: torch.Tensor) -> int:
    """How many values each channel has in a batch."""
    return x.numel() // x.shape[1]


Affine = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None, float],
    tuple[torch.Tensor, torch.Tensor],
]


def affine(
    mean: torch.Tensor,
    variance: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    epsilon: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and offset [C]: ``weight · (x − mean)/σ + bias`` is ``scale · x + offset``."""
    scale = torch.rsqrt(variance + epsilon)
    scale = scale if weight is None else scale * weight
    return scale, -mean * scale if bias is None else bias - mean * scale


class BatchNormalizationModule(LayerModule):
    """Takes N×C×H×W or N×C. Statistics and arithmetic are float32 also for bfloat16 inputs."""

    weight: torch.Tensor | None
    bias: torch.Tensor | None
    moving_mean: torch.Tensor
    moving_variance: torch.Tensor

    def __init__(self, spec: BatchNormalization, channels: int) -> None:
        super().__init__()
        self.epsilon = spec.epsilon
        self.frozen = not spec.trainable
        self.update = 1 - spec.momentum  # Keras' momentum keeps, torch's replaces
        shape = (channels,)
        if spec.scale:
            self.add_weight("weight", spec.weight_rules("gamma"), shape)
        else:
            self.register_parameter("weight", None)
        self.add_bias(spec.weight_rules("beta") if spec.center else None, channels)
        mean, variance = spec.moving_mean_initializer, spec.moving_variance_initializer
        self.add_weight("moving_mean", WeightRules(mean), shape, trainable=False)
        self.add_weight("moving_variance", WeightRules(variance), shape, trainable=False)

    def train(self, mode: bool = True) -> Self:
        """Frozen, it stays in inference mode, as in Keras since 2.0."""
        return super().train(mode and not self.frozen)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            statistics = (self.moving_mean, self.moving_variance)
            return torch.batch_norm(
                x, self.weight, self.bias, *statistics, False, 0.0, self.epsilon, True
            )
        # With momentum 1 torch writes the batch's own statistics into the buffers it is given.
        mean, variance = torch.zeros_like(self.moving_mean), torch.zeros_like(self.moving_mean)
        y = torch.batch_norm(
            x, self.weight, self.bias, mean, variance, True, 1.0, self.epsilon, True
        )
        count = batch_count(x)
        # torch gives the unbiased variance, which a single value does not have.
        biased = variance * ((count - 1) / count) if count > 1 else torch.zeros_like(variance)
        self.move(mean, biased)
        return y

    def move(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Take a batch's statistics into the moving ones."""
        with torch.no_grad():
            self.moving_mean.lerp_(mean, self.update)
            self.moving_variance.lerp_(variance, self.update)

    def coefficients(
        self, mean: torch.Tensor, variance: torch.Tensor, by: Affine = affine
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale and offset [C] that normalize a batch of these statistics, which are taken in.

        ``by`` is another way to compute `affine`.
        """
        self.move(mean, variance)
        return by(mean, variance, self.weight, self.bias, self.epsilon)

    def inference_coefficients(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale and offset [C] of the moving statistics."""
        statistics = (self.moving_mean, self.moving_variance)
        return affine(*statistics, self.weight, self.bias, self.epsilon)


class BatchRenormalizationModule(BatchNormalizationModule, StepDependentModule):
    """Seven values a channel: Keras' statistics for training beside those for inference."""

    renorm_mean: torch.Tensor
    renorm_stddev: torch.Tensor
    moving_stddev: torch.Tensor
    rmax: torch.Tensor
    rmin: torch.Tensor
    dmax: torch.Tensor

    def __init__(self, spec: BatchNormalization, channels: int) -> None:
        super().__init__(spec, channels)
        self.clipping = spec.renorm_clipping
        self.renorm_update = 1 - spec.renorm_momentum
        shape = (channels,)
        mean = WeightRules(spec.moving_mean_initializer)
        stddev = WeightRules(SquareRoot(of=spec.moving_variance_initializer))
        self.add_weight("moving_stddev", stddev, shape, trainable=False)
        self.add_weight("renorm_mean", mean, shape, trainable=False)
        self.add_weight("renorm_stddev", stddev, shape, trainable=False)
        for name, limit in self.clipping.first().items():
            self.register_buffer(name, torch.tensor(limit), persistent=False)

    @torch.no_grad()
    def begin_step(self, seed: int, progress: Progress, name: str) -> None:
        """Write the limits of this step."""
        for limit, value in self.clipping.at(progress).items():
            getattr(self, limit).fill_(value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)
        axes = [axis for axis in range(x.dim()) if axis != 1]
        with torch.no_grad():
            values = x.to(self.moving_mean.dtype)
            variance, mean = torch.var_mean(values, dim=axes, correction=0)
        scale, offset = self.corrected(mean, variance)
        y = torch.batch_norm(x, scale, offset, None, None, True, 0.0, self.epsilon, True)
        self.move(mean, variance)
        return y

    @torch.no_grad()
    def correction(
        self, mean: torch.Tensor, variance: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """r and d of the paper."""
        floor = self.renorm_stddev.clamp(min=math.sqrt(self.epsilon))
        r = (torch.sqrt(variance + self.epsilon) / floor).clamp(self.rmin, self.rmax)
        return r, ((mean - self.renorm_mean) / floor).clamp(-self.dmax, self.dmax)

    def corrected(
        self, mean: torch.Tensor, variance: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """gamma · ((x − mean)/σ · r + d) + beta is a plain normalization with other parameters."""
        r, d = self.correction(mean, variance)
        scale = r if self.weight is None else r * self.weight
        offset = d if self.weight is None else d * self.weight
        return scale, offset if self.bias is None else offset + self.bias

    def coefficients(
        self, mean: torch.Tensor, variance: torch.Tensor, by: Affine = affine
    ) -> tuple[torch.Tensor, torch.Tensor]:
        scale, offset = self.corrected(mean, variance)
        self.move(mean, variance)
        return by(mean, variance, scale, offset, self.epsilon)

    @torch.no_grad()
    def move(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        stddev = torch.sqrt(variance + self.epsilon)
        self.renorm_mean.lerp_(mean, self.renorm_update)
        self.renorm_stddev.lerp_(stddev, self.renorm_update)
        self.moving_mean.lerp_(mean, self.update)
        self.moving_stddev.lerp_(stddev, self.update)
        self.moving_variance.copy_((self.moving_stddev**2 - self.epsilon).clamp(min=0))


class SquareRoot(Initializer):
    """The square root of another initializer's values: Keras' first standard deviations."""

    of: Initializer
    """initializer of the variance"""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return self.of.draw(shape, generator).sqrt()
