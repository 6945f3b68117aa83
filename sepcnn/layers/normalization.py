"""Batch normalization, with batch renormalization, as Keras and the papers define it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from operator import attrgetter, methodcaller
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import PlainValidator, ValidationInfo, WithJsonSchema, model_validator
from torch import nn

from sepcnn.constraints import VectorConstraint
from sepcnn.initializers import Initializer, Ones, VectorInitializer, Zeros
from sepcnn.layers.axes import Axis, check_channel_axis
from sepcnn.layers.base import LeafLayer, Shape
from sepcnn.layers.module import LayerModule, Rules, SteppedModule
from sepcnn.refusal import refuse, show
from sepcnn.regularizers import VectorRegularizer
from sepcnn.schedules import Progress, Ramp
from sepcnn.spec import Spec
from sepcnn.values import PositiveNumber, UnitNumber, finite_number, number_schema

Limit = Ramp | Literal["paper"] | None
CROSSING = 1e-9
"""what rounding may make of two ramps that touch"""


def _limit(value: Any, info: ValidationInfo) -> Limit:
    """A number, a ramp, ``paper`` (of rmin only), or no limit."""
    if value is None or isinstance(value, Ramp) or value == math.inf:
        return None if value == math.inf else value
    if value == "paper" and info.field_name == "rmin":
        return "paper"
    if (number := finite_number(value)) is not None:
        return Ramp.constant(number)
    if isinstance(value, dict):
        return Ramp.model_validate(value, context=info.context)
    hint = "write a number, or {start: 1, end: 3, after: 10%, until: 50%}"
    raise refuse(f"expected a limit, found {show(value)}", hint)


_LIMIT_SCHEMA: dict[str, Any] = {
    "anyOf": [*number_schema()["anyOf"], {"const": "paper"}, {"type": "object"}, {"type": "null"}]
}
LimitValue = Annotated[Limit, PlainValidator(_limit), WithJsonSchema(_LIMIT_SCHEMA)]


class RenormClipping(Spec):
    """Limits of batch renormalization's correction; each a number, a ramp, or absent.

    Ramps must not cross. Where durations have several units that depends on the run: then it is
    not refused, and while rmin is above rmax, r is rmax.
    """

    rmax: LimitValue = None
    """r is at most this; absent: no limit"""
    rmin: LimitValue = None
    """r is at least this; absent: 0; paper: 1/rmax"""
    dmax: LimitValue = None
    """d lies within ±dmax; absent: no limit"""

    @model_validator(mode="after")
    def _right_way_up(self) -> Self:
        for place, moment in self._moments():
            rmax = moment(self.rmax) if isinstance(self.rmax, Ramp) else math.inf
            if self.rmin == "paper" and rmax < 1:
                raise refuse(f"with rmin: paper, rmax must be at least 1, found {rmax:g}")
            limits = self._limits(moment)
            if limits["rmin"] > rmax + CROSSING:
                raise refuse(
                    f"rmin ({limits['rmin']:g}) is above rmax ({rmax:g}){place}",
                    "r lies between rmin and rmax; rmin is 0 unless given",
                )
            if limits["dmax"] < 0:
                raise refuse(f"dmax must be at least 0, found {limits['dmax']:g}")
        return self

    def _moments(self) -> Iterator[tuple[str, Callable[[Ramp], float]]]:
        """Where limits are farthest from each other: at both ends, and where a ramp has a corner.

        Each with its name for messages. Corners are known where all durations have one unit.
        """
        yield "", attrgetter("start")
        yield "", attrgetter("end")
        ramps = [ramp for ramp in (self.rmin, self.rmax) if isinstance(ramp, Ramp)]
        corners = {corner for ramp in ramps for corner in (ramp.after, ramp.until) if corner.amount}
        if len({corner.unit for corner in corners}) == 1:
            for corner in sorted(corners, key=attrgetter("amount")):
                before = math.nextafter(corner.amount, 0)  # a ramp may jump there
                yield f" before {corner}", methodcaller("at_amount", before)
                yield f" after {corner}", methodcaller("at_amount", corner.amount)

    def first(self) -> dict[str, float]:
        """The three limits at the start of a run."""
        return self._limits(attrgetter("start"))

    def at(self, progress: Progress) -> dict[str, float]:
        """The three limits at a moment of the run."""
        return self._limits(lambda ramp: ramp.at(progress))

    def _limits(self, value: Callable[[Ramp], float]) -> dict[str, float]:
        rmax = value(self.rmax) if isinstance(self.rmax, Ramp) else math.inf
        dmax = value(self.dmax) if isinstance(self.dmax, Ramp) else math.inf
        rmin = value(self.rmin) if isinstance(self.rmin, Ramp) else 0.0
        return {"rmax": rmax, "rmin": 1 / rmax if self.rmin == "paper" else rmin, "dmax": dmax}


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
            self.add_weight("weight", spec.rules("gamma"), shape)
        else:
            self.register_parameter("weight", None)
        self.add_bias(spec.rules("beta") if spec.center else None, channels)
        mean, variance = spec.moving_mean_initializer, spec.moving_variance_initializer
        self.add_weight("moving_mean", Rules(mean), shape, trainable=False)
        self.add_weight("moving_variance", Rules(variance), shape, trainable=False)

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
        with torch.no_grad():
            # torch gives the unbiased variance, which a single value does not have.
            biased = variance * ((count - 1) / count) if count > 1 else torch.zeros_like(variance)
            self.moving_mean.lerp_(mean, self.update)
            self.moving_variance.lerp_(biased, self.update)
        return y


class BatchRenormalizationModule(BatchNormalizationModule, SteppedModule):
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
        mean = Rules(spec.moving_mean_initializer)
        stddev = Rules(SquareRoot(of=spec.moving_variance_initializer))
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
        with torch.no_grad():
            axes = [axis for axis in range(x.dim()) if axis != 1]
            values = x.to(self.moving_mean.dtype)
            variance, mean = torch.var_mean(values, dim=axes, correction=0)
            stddev = torch.sqrt(variance + self.epsilon)
            floor = self.renorm_stddev.clamp(min=math.sqrt(self.epsilon))
            r = (stddev / floor).clamp(self.rmin, self.rmax)
            d = ((mean - self.renorm_mean) / floor).clamp(-self.dmax, self.dmax)
        # gamma · ((x − mean)/σ · r + d) + beta is a plain normalization with other parameters.
        scale = r if self.weight is None else r * self.weight
        offset = d if self.weight is None else d * self.weight
        offset = offset if self.bias is None else offset + self.bias
        y = torch.batch_norm(x, scale, offset, None, None, True, 0.0, self.epsilon, True)
        with torch.no_grad():
            self.renorm_mean.lerp_(mean, self.renorm_update)
            self.renorm_stddev.lerp_(stddev, self.renorm_update)
            self.moving_mean.lerp_(mean, self.update)
            self.moving_stddev.lerp_(stddev, self.update)
            self.moving_variance.copy_((self.moving_stddev**2 - self.epsilon).clamp(min=0))
        return y


class SquareRoot(Initializer):
    """The square root of another initializer's values: Keras' first standard deviations."""

    of: Initializer
    """initializer of the variance"""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        return self.of.draw(shape, generator).sqrt()
