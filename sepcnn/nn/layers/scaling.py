"""Rescaling and Normalization, which scale pixels for the model."""

from __future__ import annotations

from typing import Annotated, Any, Self

import torch
from pydantic import PlainValidator, WithJsonSchema, model_validator
from torch import nn

from sepcnn.language.messages import invalid, quote
from sepcnn.language.values import number_or_list_schema, numbers
from sepcnn.nn.layers.axes import Axis, check_channel_axis
from sepcnn.nn.layers.base import LeafLayer, Shape, ShapeError
from sepcnn.wording import counted


def _numbers(value: Any) -> tuple[float, ...]:
    if found := numbers(value):
        return found
    raise invalid(f"expected a number, or a list with one number per channel, found {quote(value)}")


def _factor(value: Any) -> float | tuple[float, ...]:
    found = _numbers(value)
    return found if isinstance(value, list | tuple) else found[0]


def _statistics(value: Any) -> tuple[float, ...] | None:
    return None if value is None else _numbers(value)


Factor = Annotated[
    float | tuple[float, ...], PlainValidator(_factor), WithJsonSchema(number_or_list_schema())
]
Statistics = Annotated[
    tuple[float, ...] | None,
    PlainValidator(_statistics),
    WithJsonSchema({"anyOf": [*number_or_list_schema()["anyOf"], {"type": "null"}]}),
]


def check_count(values: float | tuple[float, ...] | None, shape: Shape) -> None:
    """Raise `ShapeError` if the number of values is neither 1 nor the number of channels."""
    if isinstance(values, tuple) and len(values) not in (1, shape[-1]):
        message = f"{len(values)} values given for {counted(shape[-1], 'channel')}"
        raise ShapeError(message, "give one number for all channels, or one per channel")


class Rescaling(LeafLayer):
    """Rescales its input: ``y = x · scale + offset``.

    Usually the first layer, because the model receives float pixels from 0 to 255, as in Keras.
    """

    scale: Factor
    """factor, such as 1/255 or 1/127.5, or a list of one factor per channel"""
    offset: Factor = 0.0
    """number added after scaling, or a list of one number per channel"""

    def output_shape(self, *inputs: Shape) -> Shape:
        check_count(self.scale, inputs[0])
        check_count(self.offset, inputs[0])
        return inputs[0]

    def build(self, *inputs: Shape) -> nn.Module:
        return RescalingModule(self, len(inputs[0]))


class RescalingModule(nn.Module):
    """Takes and returns any shape; axis 1 holds the channels."""

    scale: float | torch.Tensor
    offset: float | torch.Tensor

    def __init__(self, spec: Rescaling, rank: int) -> None:
        super().__init__()
        for name, value in (("scale", spec.scale), ("offset", spec.offset)):
            if isinstance(value, tuple):
                each = torch.tensor(value).reshape(-1, *[1] * (rank - 1))
                self.register_buffer(name, each, persistent=False)
            else:
                setattr(self, name, value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale + self.offset


class Normalization(LeafLayer):
    """Normalizes with fixed statistics: ``y = (x − mean) / √variance``, channel by channel.

    If mean and variance are not given, they are computed once from the training images, and saved
    in the checkpoint. The layer must then be the first.
    """

    first_arguments = 0

    mean: Statistics = None
    """mean of the data, one number or one per channel; null: computed from the training images"""
    variance: Statistics = None
    """variance of the data, a number or one per channel; null: computed from the training images"""
    invert: bool = False
    """apply the inverse: ``y = x · √variance + mean``"""
    axis: Axis | None = -1
    """channel axis, for statistics per channel; null: one mean and one variance for all values"""

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.mean is None) != (self.variance is None):
            raise invalid("mean and variance must be given together", "give both, or neither")
        if self.variance and min(self.variance) < 0:
            message = f"variance must be at least 0, found {min(self.variance):g}"
            raise invalid(message, "the variance is the square of the standard deviation")
        if self.axis is None and max(len(self.mean or ()), len(self.variance or ())) > 1:
            hint = "leave out axis for one number per channel"
            raise invalid("with axis: null, mean and variance must be one number each", hint)
        return self

    def output_shape(self, *inputs: Shape) -> Shape:
        if self.axis is not None:
            check_channel_axis(self.axis, inputs[0])
        check_count(self.mean, inputs[0])
        check_count(self.variance, inputs[0])
        return inputs[0]

    def build(self, *inputs: Shape) -> nn.Module:
        return NormalizationModule(self, inputs[0][-1])


class NormalizationModule(nn.Module):
    """Takes N×C×H×W or N×C. Statistics are stored per channel, even if all are equal."""

    KERAS_EPSILON = 1e-7

    mean: torch.Tensor
    variance: torch.Tensor

    def __init__(self, spec: Normalization, channels: int) -> None:
        super().__init__()
        self.invert = spec.invert
        self.adapts = spec.mean is None
        self.pools = spec.axis is None
        mean = torch.tensor(spec.mean or (0.0,)).expand(channels).clone()
        variance = torch.tensor(spec.variance or (1.0,)).expand(channels).clone()
        self.register_buffer("mean", mean, persistent=self.adapts)
        self.register_buffer("variance", variance, persistent=self.adapts)
        if self.adapts:
            # Keras stores the number of values seen; here it shows whether the layer is adapted.
            self.register_buffer("count", torch.tensor(0))

    @torch.no_grad()
    def adapt(self, mean: torch.Tensor, variance: torch.Tensor, count: int) -> None:
        """Set the statistics of the training images: mean and variance, float [C]."""
        if self.pools:
            variance = variance.mean() + mean.var(correction=0)
            mean = mean.mean()
        self.mean.copy_(mean)
        self.variance.copy_(variance)
        self.get_buffer("count").fill_(count)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = (1, -1, *([1] * (x.dim() - 2)))
        mean = self.mean.view(shape)
        stddev = self.variance.sqrt().clamp(min=self.KERAS_EPSILON).view(shape)
        return x * stddev + mean if self.invert else (x - mean) / stddev
