"""Normalization within one image, which no batch enters: over channels, or groups of them."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated

import torch
from pydantic import PlainValidator, WithJsonSchema
from torch import nn

from sepcnn.language.messages import invalid, quote
from sepcnn.language.values import PositiveNumber
from sepcnn.nn.constraints import Constraint
from sepcnn.nn.initializers import Ones, VectorInitializer, Zeros
from sepcnn.nn.layers.activation import ElementwiseLayer
from sepcnn.nn.layers.axes import (
    Axes,
    Axis,
    check_channel_axis,
    only_channels,
    resolve_axes,
    torch_axes,
)
from sepcnn.nn.layers.base import ReceptiveField, Shape, ShapeError
from sepcnn.nn.layers.module import LayerModule
from sepcnn.nn.regularizers import VectorRegularizer
from sepcnn.wording import counted


class PerImageNormalization(ElementwiseLayer):
    """What the normalizations within one image share: learned factors and offsets."""

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
    beta_regularizer: VectorRegularizer = None
    """what the offset adds to the loss"""
    beta_constraint: Constraint | None = None
    """what the offset is held to"""
    gamma_regularizer: VectorRegularizer = None
    """what the factor adds to the loss"""
    gamma_constraint: Constraint | None = None
    """what the factor is held to"""

    @classmethod
    def own_fields(cls) -> list[str]:
        """The layer's own before those that all share: ``GroupNormalization: 8`` is groups."""
        return sorted(
            super().own_fields(), key=lambda name: name in PerImageNormalization.model_fields
        )


class LayerNormalization(PerImageNormalization):
    """Normalizes the channels of each pixel by their own mean and variance, or along other axes.

    ``y = scale · (x − mean) / √(variance + epsilon) + center``, in training and inference alike.
    Ba et al. 2016, arXiv:1607.06450. As Keras' default ``axis`` of −1 has it, every pixel stands
    alone. ``axis: [1, 2, 3]`` is over all of an image, each of its values with a factor and an
    offset of its own; with one a channel that is ``GroupNormalization: {groups: 1}``. The weights
    are kept as one row in torch's order (channel, height, width). epsilon is Keras' 1e-3; torch's
    is 1e-5.
    """

    axis: Axes = (-1,)
    """axes that are normalized together, each place along them with its own factor and offset"""

    def output_shape(self, *inputs: Shape) -> Shape:
        self.check_constraints(len(resolve_axes(self.axis, inputs[0])))
        return inputs[0]

    def build(self, *inputs: Shape) -> nn.Module:
        return LayerNormalizationModule(self, inputs[0])

    def receptive_field(self, *inputs: Shape) -> ReceptiveField | None:
        return super().receptive_field(*inputs) if only_channels(self.axis, inputs[0]) else None


def _groups(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and (value > 0 or value == -1):
        return value
    raise invalid(f"expected a whole number above 0, or -1, found {quote(value)}")


Groups = Annotated[
    int,
    PlainValidator(_groups),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": -1}]}),
]


class GroupNormalization(PerImageNormalization):
    """Normalizes groups of neighbouring channels, over the whole image, by mean and variance.

    ``y = scale · (x − mean) / √(variance + epsilon) + center``, in training and inference alike,
    so the size of the batch does not matter. Wu & He 2018, arXiv:1803.08494. ``groups: -1`` is
    instance normalization (Ulyanov et al. 2016, arXiv:1607.08022), each channel alone. epsilon is
    Keras' 1e-3; torch's is 1e-5.
    """

    groups: Groups = 32
    """number of groups; it must divide the channels; -1: as many as channels"""
    axis: Axis = -1
    """the axis of the channels: the last"""

    def output_shape(self, *inputs: Shape) -> Shape:
        check_channel_axis(self.axis, inputs[0])
        self.check_constraints(1)
        channels = inputs[0][-1]
        if channels % self.groups:
            fitting = max(n for n in range(1, min(self.groups, channels) + 1) if not channels % n)
            fall = "does not fall" if channels == 1 else "do not fall"
            message = f"{counted(channels, 'channel')} {fall} into {self.groups} equal groups"
            raise ShapeError(message, f"write groups: {fitting}, or -1: each channel alone")
        return inputs[0]

    def build(self, *inputs: Shape) -> nn.Module:
        return GroupNormalizationModule(self, inputs[0][-1])

    def receptive_field(self, *inputs: Shape) -> None:
        """Every pixel is normalized by the statistics of the whole image."""
        return


class PerImageNormalizationModule(LayerModule):
    """Takes N×C×H×W or N×C. The arithmetic is float32 also for bfloat16 inputs.

    Weights are one row, since optimizers tell by the number of axes what may decay.
    """

    weight: torch.Tensor | None
    bias: torch.Tensor | None

    def __init__(
        self, spec: PerImageNormalization, keras_shape: Shape, axes: tuple[int, ...] = (0,)
    ) -> None:
        super().__init__()
        self.epsilon = spec.epsilon
        row = (math.prod(keras_shape),)
        if spec.scale:
            self.add_weight("weight", spec.weight_rules("gamma"), keras_shape, axes, row)
        else:
            self.register_parameter("weight", None)
        if spec.center:
            self.add_weight("bias", spec.weight_rules("beta"), keras_shape, axes, row)
        else:
            self.register_parameter("bias", None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.normalize(x.to(torch.promote_types(x.dtype, torch.float32))).to(x.dtype)

    @abstractmethod
    def normalize(self, x: torch.Tensor) -> torch.Tensor:
        """The layer on float32 or wider."""


class LayerNormalizationModule(PerImageNormalizationModule):
    """Over the channels of each pixel, or other axes of the one shape it is made for."""

    def __init__(self, spec: LayerNormalization, shape: Shape) -> None:
        found = resolve_axes(spec.axis, shape)
        keras_shape = tuple(shape[axis - 1] for axis in found)
        order = tuple(range(len(found)))
        if found[-1] == len(shape):
            order = (order[-1], *order[:-1])  # the channels first
        super().__init__(spec, keras_shape, order)
        self.sizes = [keras_shape[axis] for axis in order]
        self.dims = torch_axes(spec.axis, shape)

    def normalize(self, x: torch.Tensor) -> torch.Tensor:
        last = tuple(range(-len(self.dims), 0))
        weight = None if self.weight is None else self.weight.view(self.sizes)
        bias = None if self.bias is None else self.bias.view(self.sizes)
        y = x.movedim(self.dims, last)
        return torch.layer_norm(y, self.sizes, weight, bias, self.epsilon).movedim(last, self.dims)


class GroupNormalizationModule(PerImageNormalizationModule):
    """Over the pixels and channels of each group."""

    def __init__(self, spec: GroupNormalization, channels: int) -> None:
        super().__init__(spec, (channels,))
        self.groups = channels if spec.groups == -1 else spec.groups

    def normalize(self, x: torch.Tensor) -> torch.Tensor:
        if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
            x = self._centred(x)
        weight = self.weight
        if weight is None and self.bias is not None:
            weight = torch.ones_like(self.bias)  # torch 2.11 has no gradient of a bias alone
        return torch.group_norm(x, self.groups, weight, self.bias, self.epsilon)

    def _centred(self, x: torch.Tensor) -> torch.Tensor:
        """The input with its groups' means near 0, which changes neither output nor gradient.

        On this memory format torch takes the variance as the mean square less the squared mean:
        with a mean of 1000 and a deviation of 1 no digit of the result would be right.
        """
        size = x.shape[1] // self.groups
        with torch.no_grad():
            means = x.mean(dim=(2, 3)).view(len(x), self.groups, size).mean(dim=2)
            shifts = means.repeat_interleave(size, dim=1)
        return x - shifts[:, :, None, None]
