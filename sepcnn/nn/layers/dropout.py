"""Layers that are random in training and the identity in inference."""

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
"""sizes of axes, batch first; None is the size of the input"""


def _noise_shape(value: object, info: ValidationInfo) -> Sizes | None:
    if value is None:
        return None
    if isinstance(value, list | tuple) and all(
        size is None or (isinstance(size, int) and not isinstance(size, bool) and size > 0)
        for size in value
    ):
        return (*value[:1], *read_image(value[1:], info))
    hint = "null: size of the input, 1: one value for the whole axis, as in [null, 1, 1, null]"
    raise invalid(f"expected a list of whole numbers above 0 and null, found {quote(value)}", hint)


_SIZE_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}
NoiseShape = Annotated[
    Sizes | None,
    PlainValidator(_noise_shape),
    WithJsonSchema({"anyOf": [{"type": "array", "items": _SIZE_SCHEMA}, {"type": "null"}]}),
]


class Dropout(ElementwiseLayer):
    """Sets a fraction of the values to 0 and divides the others by 1 − rate, only in training.

    Srivastava et al. 2014. The mask depends on (seed, layer, step), so a resumed run draws the same
    masks as an uninterrupted one. ``noise_shape: [null, 1, 1, null]`` drops whole channels.
    """

    rate: Rate
    """fraction of the values set to 0"""
    noise_shape: NoiseShape = None
    """mask shape, batch first; null: size of the input, 1: one value for the whole axis"""

    def output_shape(self, *inputs: Shape) -> Shape:
        if self.noise_shape is not None:
            self._check(self.noise_shape, inputs[0])
        return inputs[0]

    def _check(self, noise_shape: Sizes, shape: Shape) -> None:
        batch, *rest = noise_shape or (None,)
        example = quote([None, *[1] * (len(shape) - 1), None])
        if len(rest) != len(shape):
            message = (
                f"noise_shape has {len(noise_shape)} sizes for an input of {format_shape(shape)}"
            )
            raise ShapeError(message, f"write {len(shape) + 1}, batch first, as in {example}")
        if batch not in (None, 1):
            message = f"noise_shape starts with {batch}, but the last batch may be smaller"
            raise ShapeError(message, "start with null: each image has its own mask")
        for given, found in zip(rest, shape, strict=True):
            if given not in (None, 1, found):
                message = (
                    f"noise_shape has {given} for an axis of size {found} in {format_shape(shape)}"
                )
                raise ShapeError(message, f"write null or 1, as in {example}")

    def build(self, *inputs: Shape) -> nn.Module:
        if self.noise_shape is None:
            return DropoutModule(self.rate)
        batch, *rest = self.noise_shape
        return DropoutModule(self.rate, (batch, rest[-1], *rest[:-1]))


class SpatialDropout2D(ElementwiseLayer):
    """Drops whole channels of an image and divides the others by 1 − rate, only in training.

    Tompson et al. 2014, arXiv:1411.4280. Neighbouring pixels are correlated, so dropping single
    values hides little information.
    """

    rate: Rate
    """fraction of the channels set to 0"""

    def output_shape(self, *inputs: Shape) -> Shape:
        return image_shape(inputs[0])

    def build(self, *inputs: Shape) -> nn.Module:
        return DropoutModule(self.rate, (None, None, 1, 1))


class StochasticDepth(ElementwiseLayer):
    """Sets the whole input of an image to 0 with probability ``rate``, only in training.

    Other images are divided by 1 − rate. As the last layer of ``layers`` in a Residual it drops the
    branch, so that only the shortcut remains. Huang et al. 2016, arXiv:1603.09382; the paper
    scales at inference instead, which gives the same expected output. Keras has no such layer;
    there, ``Dropout`` with ``noise_shape: [null, 1, 1, 1]`` does the same.
    """

    rate: Rate
    """probability that the input of an image is set to 0"""

    def build(self, *inputs: Shape) -> nn.Module:
        return DropoutModule(self.rate, (None, *[1] * len(inputs[0])))


class GaussianNoise(ElementwiseLayer):
    """Adds normal noise of mean 0 to every value, only in training.

    The noise depends on (seed, layer, step), like the mask of Dropout. The largest stddev is 1, so
    the values should be about 1: put this layer after the one that scales the pixels.
    """

    stddev: UnitNumber
    """standard deviation of the noise"""

    def build(self, *inputs: Shape) -> nn.Module:
        return GaussianNoiseModule(self.stddev)


class RandomModule(StepDependentModule):
    """Draws from a stream of (seed, layer, step).

    The generator of a device is reused in every step, because a CUDA graph draws from the generator
    that it recorded.
    """

    def __init__(self) -> None:
        super().__init__()
        self.generators: dict[torch.device, torch.Generator] = {}
        self.position: tuple[int, str, int] | None = None

    def begin_step(self, seed: int, progress: Progress, name: str) -> None:
        self.position = (seed, name, progress.step)
        self.restart()

    def restart(self) -> None:
        """Restart the stream of the current step."""
        if self.position is not None:
            seed, name, step = self.position
            for generator in self.generators.values():
                restart(generator, seed, "dropout", name, step)

    def random(self, device: torch.device) -> torch.Generator | None:
        """Return the generator of the step; None, the default one of torch, outside a run."""
        if self.position is None:
            return None
        if device not in self.generators:
            seed, name, step = self.position
            self.generators[device] = stream(seed, "dropout", name, step, device=device)
        return self.generators[device]


class DropoutModule(RandomModule):
    """Takes and returns any shape. ``sizes`` is the shape of the mask in torch order."""

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
    """Takes and returns any shape."""

    def __init__(self, stddev: float) -> None:
        super().__init__()
        self.stddev = stddev

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.stddev == 0:
            return x
        noise = torch.empty_like(x).normal_(0, self.stddev, generator=self.random(x.device))
        return x + noise
