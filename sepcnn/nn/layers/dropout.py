"""Layers that are random in training and do nothing in inference."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import PlainValidator, ValidationInfo, WithJsonSchema
from torch import nn

from sepcnn.language.data_format import read_image
from sepcnn.language.messages import invalid, quote
from sepcnn.language.values import Rate, UnitNumber
from sepcnn.nn.layers.activation import ElementwiseLayer
from sepcnn.nn.layers.base import Shape, ShapeError, format_shape, image_shape
from sepcnn.nn.layers.module import StepDependentModule
from sepcnn.nn.schedules import Progress
from sepcnn.randomness import restart, stream

Sizes = tuple[int | None, ...]
"""lengths of axes with the batch first; None is the length at hand"""


def _noise_shape(value: object, info: ValidationInfo) -> Sizes | None:
    if value is None:
        return None
    if isinstance(value, list | tuple) and all(
        size is None or (isinstance(size, int) and not isinstance(size, bool) and size > 0)
        for size in value
    ):
        return (*value[:1], *read_image(value[1:], info))
    hint = "null is an axis's own length, 1 shares along it, as in [null, 1, 1, null]"
    raise invalid(f"expected a list of whole numbers above 0 and null, found {quote(value)}", hint)


_SIZE_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}
NoiseShape = Annotated[
    Sizes | None,
    PlainValidator(_noise_shape),
    WithJsonSchema({"anyOf": [{"type": "array", "items": _SIZE_SCHEMA}, {"type": "null"}]}),
]


class Dropout(ElementwiseLayer):
    """Sets a share of the values to 0 and divides the others by 1 − rate, in training only.

    Srivastava et al. 2014. The mask is drawn from (seed, layer, step): a resumed run drops what
    the run never stopped would have dropped.
    """

    rate: Rate
    """share of the values set to 0"""
    noise_shape: NoiseShape = None
    """shape of the mask, the batch first, as in [null, 1, 1, null]: along 1 all share one fate"""

    def output_shape(self, *inputs: Shape) -> Shape:
        if self.noise_shape is not None:
            self._check(self.noise_shape, inputs[0])
        return inputs[0]

    def _check(self, noise_shape: Sizes, shape: Shape) -> None:
        batch, *rest = noise_shape or (None,)
        example = quote([None, *[1] * (len(shape) - 1), None])
        if len(rest) != len(shape):
            message = f"noise_shape has {len(noise_shape)} numbers for {format_shape(shape)}"
            raise ShapeError(message, f"write {len(shape) + 1}, the batch first, as in {example}")
        if batch not in (None, 1):
            message = f"noise_shape begins with {batch}, but the last batch may be smaller"
            raise ShapeError(message, "begin with null: each image has a mask of its own")
        for wanted, found in zip(rest, shape, strict=True):
            if wanted not in (None, 1, found):
                message = f"noise_shape has {wanted} where {format_shape(shape)} has {found}"
                raise ShapeError(message, f"write null or 1, as in {example}")

    def build(self, *inputs: Shape) -> nn.Module:
        if self.noise_shape is None:
            return DropoutModule(self.rate)
        batch, *rest = self.noise_shape
        return DropoutModule(self.rate, (batch, rest[-1], *rest[:-1]))


class SpatialDropout2D(ElementwiseLayer):
    """Dropout of whole channels of an image: neighbouring pixels would tell what was dropped.

    Tompson et al. 2014, arXiv:1411.4280. The others are divided by 1 − rate; in training only.
    """

    rate: Rate
    """share of the channels set to 0"""

    def output_shape(self, *inputs: Shape) -> Shape:
        return image_shape(inputs[0])

    def build(self, *inputs: Shape) -> nn.Module:
        return DropoutModule(self.rate, (None, None, 1, 1))


class StochasticDepth(ElementwiseLayer):
    """Drops all of its input for a share of the images and divides the others by 1 − rate.

    Huang et al. 2016, arXiv:1603.09382. As last layer of a Residual's ``layers`` it drops the
    branch, and the image takes the shortcut alone. Training only; the paper scales in inference
    instead, which has the same mean. Not a layer of Keras: there ``Dropout`` with a
    ``noise_shape`` of [null, 1, 1, 1] is the same.
    """

    rate: Rate
    """share of the images dropped"""

    def build(self, *inputs: Shape) -> nn.Module:
        return DropoutModule(self.rate, (None, *[1] * len(inputs[0])))


class GaussianNoise(ElementwiseLayer):
    """Adds normal noise of mean 0 to every value, in training only.

    The noise is drawn from (seed, layer, step), as Dropout's mask is. It suits values of about
    1: put it below the layer that scales the pixels.
    """

    stddev: UnitNumber
    """standard deviation of the noise"""

    def build(self, *inputs: Shape) -> nn.Module:
        return GaussianNoiseModule(self.stddev)


class RandomModule(StepDependentModule):
    """Draws from (seed, layer, step), and goes on within a step.

    A device's generator lasts from step to step, for a CUDA graph draws from the one it recorded.
    """

    def __init__(self) -> None:
        super().__init__()
        self.generators: dict[torch.device, torch.Generator] = {}
        self.position: tuple[int, str, int] | None = None

    def begin_step(self, seed: int, progress: Progress, name: str) -> None:
        self.position = (seed, name, progress.step)
        self.restart()

    def restart(self) -> None:
        """Draw the step's numbers from the first on."""
        if self.position is not None:
            seed, name, step = self.position
            for generator in self.generators.values():
                restart(generator, seed, "dropout", name, step)

    def random(self, device: torch.device) -> torch.Generator | None:
        """The step's generator; None outside a run, where torch's own serves."""
        if self.position is None:
            return None
        if device not in self.generators:
            seed, name, step = self.position
            self.generators[device] = stream(seed, "dropout", name, step, device=device)
        return self.generators[device]


class DropoutModule(RandomModule):
    """Takes and gives any shape; ``sizes`` are the mask's in torch's order, None: the input's."""

    def __init__(self, rate: float, sizes: Sizes | None = None) -> None:
        super().__init__()
        self.keep = 1 - rate
        self.sizes = sizes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.keep == 1:
            return x
        mask = torch.empty_like(x) if self.sizes is None else x.new_empty(self._size(x, self.sizes))
        mask.bernoulli_(self.keep, generator=self.random(x.device))
        return x * mask.div_(self.keep)

    def _size(self, x: torch.Tensor, sizes: Sizes) -> list[int]:
        return [size or length for size, length in zip(sizes, x.shape, strict=True)]


class GaussianNoiseModule(RandomModule):
    """Takes and gives any shape."""

    def __init__(self, stddev: float) -> None:
        super().__init__()
        self.stddev = stddev

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.stddev == 0:
            return x
        noise = torch.empty_like(x).normal_(0, self.stddev, generator=self.random(x.device))
        return x + noise
