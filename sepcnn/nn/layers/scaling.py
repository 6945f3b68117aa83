"""Layers that bring pixels into the range a net likes: Rescaling and Normalization."""

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
    raise invalid(f"expected a number, or a list with one number a channel, found {quote(value)}")


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
    """Errors: `ShapeError` if there are neither one nor as many as channels."""
    if isinstance(values, tuple) and len(values) not in (1, shape[-1]):
        message = f"{len(values)} values given for {counted(shape[-1], 'channel')}"
        raise ShapeError(message, "give one number for all channels, or one for each")


class Rescaling(LeafLayer):
    """``y = x · scale + offset``: brings pixels of 0 to 255 into the range a net likes.

    The net receives float pixels 0 to 255, as in Keras; this is usually its first layer.
    """

    scale: Factor
    """factor, as in 1/255 or 1/127.5; a list has one a channel"""
    offset: Factor = 0.0
    """added afterwards; a list has one a channel"""

    def output_shape(self, *inputs: Shape) -> Shape:
        check_count(self.scale, inputs[0])
        check_count(self.offset, inputs[0])
        return inputs[0]

    def build(self, *inputs: Shape) -> nn.Module:
        return RescalingModule(self, len(inputs[0]))


class RescalingModule(nn.Module):
    """Takes and gives any shape; axis 1 holds the channels."""

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
    """``y = (x − mean) / √variance`` with fixed statistics, a channel or, without axis, of all.

    Unless given, they are taken once from the training images (then the layer must be the
    first), and travel in the checkpoint.
    """

    mean: Statistics = None
    """mean, one for all channels or one each; taken from the data unless given"""
    variance: Statistics = None
    """variance, likewise"""
    invert: bool = False
    """do the opposite: ``y = x · √variance + mean``"""
    axis: Axis | None = -1
    """the axis of the channels, each with its statistics; null: one mean and variance of all"""

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.mean is None) != (self.variance is None):
            raise invalid("mean and variance must be given together, or neither", "give the other")
        if self.variance and min(self.variance) < 0:
            message = f"variance must be at least 0, found {min(self.variance):g}"
            raise invalid(message, "give the square of the standard deviation, as the data has it")
        if self.axis is None and max(len(self.mean or ()), len(self.variance or ())) > 1:
            hint = "leave axis out: each channel has its own"
            raise invalid("with axis: null, mean and variance are one number each", hint)
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
    """Takes N×C×H×W or N×C. Statistics are kept a channel also where all have the same."""

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
            # Keras keeps and counts the number of values seen; here it tells whether any were.
            self.register_buffer("count", torch.tensor(0))

    @torch.no_grad()
    def adapt(self, mean: torch.Tensor, variance: torch.Tensor, count: int) -> None:
        """Take the statistics of the training images: float [C] each."""
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
