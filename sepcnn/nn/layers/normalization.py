"""BatchNormalization, with batch renormalization."""

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
    """Normalizes each channel by the mean and variance of the batch. Ioffe & Szegedy 2015.

    ``y = gamma · (x − mean) / √(variance + epsilon) + beta``; inference uses the moving
    statistics. The variance is the biased one, also in the moving statistics (torch keeps the
    unbiased one). ``moving = moving · momentum + batch · (1 − momentum)``; in torch,
    ``momentum`` means 1 − momentum. ``trainable: false`` is inference mode, as in Keras.

    ``renorm: true`` is batch renormalization (Ioffe 2017, arXiv:1702.03275, algorithm 1) with the
    limits of Keras: ``x̂ = (x − mean)/σ · r + d`` with r = σ/σ_moving and d = (mean −
    mean_moving)/σ_moving, both clipped, and treated as constants in the backward pass.
    ``rmin: paper`` clips r to [1/rmax, rmax], as in the paper.
    """

    axis: Axis = -1
    """axis to normalize; must be the channel axis"""
    momentum: UnitNumber = 0.99
    """fraction of the moving statistics that is kept in each step"""
    epsilon: PositiveNumber = 1e-3
    """added to the variance, to avoid division by 0"""
    center: bool = True
    """add a learned offset, beta (the parameter ``bias``)"""
    scale: bool = True
    """multiply by a learned factor, gamma (the parameter ``weight``)"""
    beta_initializer: VectorInitializer = Zeros()
    """initial values of the offset"""
    gamma_initializer: VectorInitializer = Ones()
    """initial values of the factor"""
    moving_mean_initializer: VectorInitializer = Zeros()
    """initial values of the moving mean"""
    moving_variance_initializer: VectorInitializer = Ones()
    """initial values of the moving variance"""
    beta_regularizer: VectorRegularizer = None
    """penalty on the offset, added to the loss"""
    beta_constraint: VectorConstraint = None
    """constraint applied to the offset after each step"""
    gamma_regularizer: VectorRegularizer = None
    """penalty on the factor, added to the loss"""
    gamma_constraint: VectorConstraint = None
    """constraint applied to the factor after each step"""
    renorm: bool = False
    """use batch renormalization, which is better for small batches"""
    renorm_clipping: RenormClipping = RenormClipping()
    """limits of the corrections r and d in batch renormalization"""
    renorm_momentum: UnitNumber = 0.99
    """momentum of the separate moving statistics for r and d"""

    def output_shape(self, *inputs: Shape) -> Shape:
        check_channel_axis(self.axis, inputs[0])
        return inputs[0]

    def build(self, *inputs: Shape) -> nn.Module:
        channels = inputs[0][-1]
        if self.renorm:
            return BatchRenormalizationModule(self, channels)
        return BatchNormalizationModule(self, channels)


def batch_count(x: torch.Tensor) -> int:
    """Return the number of values per channel in a batch."""
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
    """Return scale and offset [C] with ``weight · (x − mean)/σ + bias = scale · x + offset``."""
    scale = torch.rsqrt(variance + epsilon)
    scale = scale if weight is None else scale * weight
    return scale, -mean * scale if bias is None else bias - mean * scale


class BatchNormalizationModule(LayerModule):
    """Takes N×C×H×W or N×C. Statistics and arithmetic are float32 for bfloat16 inputs, too."""

    weight: torch.Tensor | None
    bias: torch.Tensor | None
    moving_mean: torch.Tensor
    moving_variance: torch.Tensor

    def __init__(self, spec: BatchNormalization, channels: int) -> None:
        super().__init__()
        self.epsilon = spec.epsilon
        self.frozen = not spec.trainable
        self.update = 1 - spec.momentum  # the momentum of torch
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
        """A frozen layer stays in inference mode, as in Keras since 2.0."""
        return super().train(mode and not self.frozen)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            statistics = (self.moving_mean, self.moving_variance)
            return torch.batch_norm(
                x, self.weight, self.bias, *statistics, False, 0.0, self.epsilon, True
            )
        # With momentum 1 torch writes the statistics of the batch into the buffers.
        mean, variance = torch.zeros_like(self.moving_mean), torch.zeros_like(self.moving_mean)
        y = torch.batch_norm(
            x, self.weight, self.bias, mean, variance, True, 1.0, self.epsilon, True
        )
        count = batch_count(x)
        # torch returns the unbiased variance, which is undefined for a single value.
        biased = variance * ((count - 1) / count) if count > 1 else torch.zeros_like(variance)
        self.update_moving(mean, biased)
        return y

    def update_moving(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Update the moving statistics from the statistics of a batch."""
        with torch.no_grad():
            self.moving_mean.lerp_(mean, self.update)
            self.moving_variance.lerp_(variance, self.update)

    def coefficients(
        self, mean: torch.Tensor, variance: torch.Tensor, by: Affine = affine
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scale and offset [C] that normalize a batch, and update the moving statistics.

        ``mean`` and ``variance`` are of the batch; ``by`` is an implementation of `affine`.
        """
        self.update_moving(mean, variance)
        return by(mean, variance, self.weight, self.bias, self.epsilon)

    def inference_coefficients(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scale and offset [C] that normalize by the moving statistics."""
        statistics = (self.moving_mean, self.moving_variance)
        return affine(*statistics, self.weight, self.bias, self.epsilon)


class BatchRenormalizationModule(BatchNormalizationModule, StepDependentModule):
    """Batch renormalization: with statistics for r and d in addition to those for inference."""

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
        for name, limit in self.clipping.initial().items():
            self.register_buffer(name, torch.tensor(limit), persistent=False)

    @torch.no_grad()
    def begin_step(self, seed: int, progress: Progress, name: str) -> None:
        """Set the limits for this step."""
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
        self.update_moving(mean, variance)
        return y

    @torch.no_grad()
    def correction(
        self, mean: torch.Tensor, variance: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return r and d of the paper, [C]."""
        floor = self.renorm_stddev.clamp(min=math.sqrt(self.epsilon))
        r = (torch.sqrt(variance + self.epsilon) / floor).clamp(self.rmin, self.rmax)
        return r, ((mean - self.renorm_mean) / floor).clamp(-self.dmax, self.dmax)

    def corrected(
        self, mean: torch.Tensor, variance: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the gamma and beta of a plain normalization that includes r and d, [C]."""
        r, d = self.correction(mean, variance)
        scale = r if self.weight is None else r * self.weight
        offset = d if self.weight is None else d * self.weight
        return scale, offset if self.bias is None else offset + self.bias

    def coefficients(
        self, mean: torch.Tensor, variance: torch.Tensor, by: Affine = affine
    ) -> tuple[torch.Tensor, torch.Tensor]:
        scale, offset = self.corrected(mean, variance)
        self.update_moving(mean, variance)
        return by(mean, variance, scale, offset, self.epsilon)

    @torch.no_grad()
    def update_moving(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        stddev = torch.sqrt(variance + self.epsilon)
        self.renorm_mean.lerp_(mean, self.renorm_update)
        self.renorm_stddev.lerp_(stddev, self.renorm_update)
        self.moving_mean.lerp_(mean, self.update)
        self.moving_stddev.lerp_(stddev, self.update)
        self.moving_variance.copy_((self.moving_stddev**2 - self.epsilon).clamp(min=0))


class SquareRoot(Initializer):
    """The square root of another initializer, for moving standard deviations as in Keras."""

    of: Initializer
    """initializer of the variance"""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return self.of.draw(shape, generator).sqrt()
