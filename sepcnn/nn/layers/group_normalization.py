"""LayerNormalization and GroupNormalization, which normalize each image independently."""

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
    """Normalization with statistics of one image: fields of the learned factor and offset."""

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
    beta_regularizer: VectorRegularizer = None
    """penalty on the offset, added to the loss"""
    beta_constraint: Constraint | None = None
    """constraint applied to the offset after each step"""
    gamma_regularizer: VectorRegularizer = None
    """penalty on the factor, added to the loss"""
    gamma_constraint: Constraint | None = None
    """constraint applied to the factor after each step"""

    @classmethod
    def own_fields(cls) -> list[str]:
        """Fields of the subclass come first: ``GroupNormalization: 8`` sets groups."""
        return sorted(
            super().own_fields(), key=lambda name: name in PerImageNormalization.model_fields
        )


class LayerNormalization(PerImageNormalization):
    """Normalizes each image by its own mean and variance along ``axis``.

    ``y = gamma · (x − mean) / √(variance + epsilon) + beta``, the same in training and inference.
    Ba et al. 2016, arXiv:1607.06450. By default, as in Keras, the channels of each pixel are
    normalized on their own. ``axis: [1, 2, 3]`` normalizes the whole image, with one gamma and beta
    per element; for one per channel use ``GroupNormalization: {groups: 1}``. Weights are stored
    flat in torch order (channel, height, width). The default epsilon is 1e-3 as in Keras
    (torch: 1e-5).
    """

    axis: Axes = (-1,)
    """axis or axes to normalize over; gamma and beta have the shape of these axes"""

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
    """Normalizes each group of consecutive channels by its mean and variance over the whole image.

    ``y = gamma · (x − mean) / √(variance + epsilon) + beta``, the same in training and inference,
    and independent of the batch size. Wu & He 2018, arXiv:1803.08494. ``groups: -1`` is instance
    normalization, each channel on its own (Ulyanov et al. 2016, arXiv:1607.08022). The default
    epsilon is 1e-3 as in Keras (torch: 1e-5).
    """

    groups: Groups = 32
    """number of groups, a divisor of the number of channels; -1: one group per channel"""
    axis: Axis = -1
    """axis to normalize; must be the channel axis"""

    def output_shape(self, *inputs: Shape) -> Shape:
        check_channel_axis(self.axis, inputs[0])
        self.check_constraints(1)
        channels = inputs[0][-1]
        if channels % self.groups:
            suggestion = max(
                n for n in range(1, min(self.groups, channels) + 1) if not channels % n
            )
            message = (
                f"cannot divide {counted(channels, 'channel')} into {self.groups} equal groups"
            )
            raise ShapeError(message, f"write groups: {suggestion}, or -1: one group per channel")
        return inputs[0]

    def build(self, *inputs: Shape) -> nn.Module:
        return GroupNormalizationModule(self, inputs[0][-1])

    def receptive_field(self, *inputs: Shape) -> None:
        """Return None: the statistics depend on the whole image."""
        return


class PerImageNormalizationModule(LayerModule):
    """Takes N×C×H×W or N×C. Computes in float32 for bfloat16 inputs, too.

    Weights are stored flat, because optimizers decay only weights with more than one axis.
    """

    weight: torch.Tensor | None
    bias: torch.Tensor | None

    def __init__(
        self, spec: PerImageNormalization, keras_shape: Shape, axes: tuple[int, ...] = (0,)
    ) -> None:
        super().__init__()
        self.epsilon = spec.epsilon
        flat = (math.prod(keras_shape),)
        if spec.scale:
            self.add_weight("weight", spec.weight_rules("gamma"), keras_shape, axes, flat)
        else:
            self.register_parameter("weight", None)
        if spec.center:
            self.add_weight("bias", spec.weight_rules("beta"), keras_shape, axes, flat)
        else:
            self.register_parameter("bias", None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.normalize(x.to(torch.promote_types(x.dtype, torch.float32))).to(x.dtype)

    @abstractmethod
    def normalize(self, x: torch.Tensor) -> torch.Tensor:
        """Normalize a tensor of float32 or wider."""


class LayerNormalizationModule(PerImageNormalizationModule):
    """Layer normalization of inputs of one shape."""

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
    """Group normalization."""

    def __init__(self, spec: GroupNormalization, channels: int) -> None:
        super().__init__(spec, (channels,))
        self.groups = channels if spec.groups == -1 else spec.groups

    def normalize(self, x: torch.Tensor) -> torch.Tensor:
        if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
            x = self._centred(x)
        weight = self.weight
        if weight is None and self.bias is not None:
            weight = torch.ones_like(
                self.bias
            )  # torch 2.11 has no gradient for a bias without a weight
        return torch.group_norm(x, self.groups, weight, self.bias, self.epsilon)

    def _centred(self, x: torch.Tensor) -> torch.Tensor:
        """Subtract the mean of each group, which changes neither output nor gradient.

        In channels_last format torch computes the variance as the mean square minus the squared
        mean: with mean 1000 and standard deviation 1, no digit of the result would be correct.
        """
        size = x.shape[1] // self.groups
        with torch.no_grad():
            means = x.mean(dim=(2, 3)).view(len(x), self.groups, size).mean(dim=2)
            shifts = means.repeat_interleave(size, dim=1)
        return x - shifts[:, :, None, None]
