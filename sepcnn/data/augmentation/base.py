"""Base classes of augmentations: random changes of a batch, drawn separately for each image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch

from sepcnn.backends.machine import copy_to
from sepcnn.data.batch import Batch
from sepcnn.errors import DataError
from sepcnn.language.spec import Choice, Table
from sepcnn.language.values import ImageShape

FillMode = Literal["reflect", "nearest", "constant"]


@dataclass(frozen=True, slots=True)
class BatchRandom:
    """Random numbers for the augmentations of one batch.

    They are drawn on the CPU, so that they are the same on every device, and copied without
    waiting for a GPU. An augmentation needs only a few numbers per image.
    """

    generator: torch.Generator
    """on the CPU"""
    device: torch.device
    """of the images"""
    size: tuple[int, int]
    """height and width of the model's input; stored images may be larger"""

    def uniform(self, count: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """Uniform numbers from ``low`` to below ``high``: float32 [count], on the device."""
        numbers = torch.rand(count, generator=self.generator)
        return copy_to(low + (high - low) * numbers, self.device)

    def bernoulli(self, count: int, probability: float | torch.Tensor) -> torch.Tensor:
        """True with the given probability, scalar or [count]: bool [count], on the device."""
        return self.uniform(count) < probability

    def signs(self, count: int) -> torch.Tensor:
        """1 or −1 with equal probability: float32 [count], on the device."""
        return 1 - 2 * self.bernoulli(count, 0.5).float()

    def integers(self, count: int, options: int) -> torch.Tensor:
        """Integers from 0 to below ``options``: int64 [count], on the CPU."""
        return torch.randint(options, (count,), generator=self.generator)

    def permutation(self, count: int) -> torch.Tensor:
        """A random permutation: int64 [count], on the device."""
        return copy_to(torch.randperm(count, generator=self.generator), self.device)

    def new_seed(self) -> int:
        """A seed for another generator."""
        return int(torch.randint(1 << 62, (), generator=self.generator))


class Augmentation(Choice):
    """A random change of every image of a batch."""

    first_arguments = 0
    table: ClassVar[Table] = Table(
        "augmentation", "keep one; in a list, start each augmentation with its own '- '"
    )

    def check(self, shape: ImageShape) -> None:
        """Check that images of ``shape`` can be changed. Errors: `DataError` if they cannot."""
        return

    @abstractmethod
    def apply(self, batch: Batch, random: BatchRandom) -> Batch:
        """Return the augmented batch; ``batch`` is unchanged."""


class UInt8Augmentation(Augmentation):
    """An augmentation that works on uint8 images and keeps the labels."""

    def apply(self, batch: Batch, random: BatchRandom) -> Batch:
        return replace(batch, images=self.change(batch.images, random))

    @abstractmethod
    def change(self, images: torch.Tensor, random: BatchRandom) -> torch.Tensor:
        """Return the changed images, uint8 N×H×W×C, as a new tensor."""


class FloatAugmentation(Augmentation):
    """An augmentation that works on float images and keeps the labels.

    Consecutive float augmentations share one conversion: values are rounded to uint8 only after
    the last of them.
    """

    def apply(self, batch: Batch, random: BatchRandom) -> Batch:
        return replace(
            batch, images=to_uint8_nhwc(self.change(to_float_nchw(batch.images), random))
        )

    @abstractmethod
    def change(self, planes: torch.Tensor, random: BatchRandom) -> torch.Tensor:
        """Return the changed images, float N×C×H×W from 0 to 255, as a new tensor."""


class AlphaPreservingAugmentation(FloatAugmentation):
    """A float augmentation that keeps alpha, the fourth of four channels."""

    def change(self, planes: torch.Tensor, random: BatchRandom) -> torch.Tensor:
        if planes.shape[1] != 4:
            return self.change_colours(planes, random)
        return torch.cat([self.change_colours(planes[:, :3], random), planes[:, 3:]], dim=1)

    @abstractmethod
    def change_colours(self, planes: torch.Tensor, random: BatchRandom) -> torch.Tensor:
        """As `change`, for images without the alpha channel."""


def to_float_nchw(images: torch.Tensor) -> torch.Tensor:
    """Convert uint8 N×H×W×C to contiguous float32 N×C×H×W; values stay 0 to 255."""
    planes = images.permute(0, 3, 1, 2)
    return planes.to(torch.float32, memory_format=torch.contiguous_format)


def to_uint8_nhwc(planes: torch.Tensor) -> torch.Tensor:
    """Round float N×C×H×W to uint8 N×H×W×C, clipped to 0 to 255."""
    rounded = planes.round().clamp_(0, 255).to(torch.uint8)
    return torch.stack(rounded.unbind(1), dim=-1)


def select(chosen: torch.Tensor, first: torch.Tensor | int, second: torch.Tensor) -> torch.Tensor:
    """`torch.where` for uint8 tensors, in a third of its time."""
    mask = chosen.view(torch.uint8).neg()  # 0 or 255
    return second ^ ((second ^ first) & mask)


def per_image(values: torch.Tensor) -> torch.Tensor:
    """Reshape [N] to [N, 1, 1, 1], to broadcast over the pixels of each image."""
    return values[:, None, None, None]


def random_rectangles(
    size: Sequence[int], random: BatchRandom, tall: torch.Tensor, wide: torch.Tensor
) -> torch.Tensor:
    """A mask with one rectangle per image, ``tall`` × ``wide`` pixels, at a random place inside it.

    ``tall`` and ``wide`` are float [N] with whole numbers. Returns bool [N, H, W].
    """
    height, width = size
    top = (random.uniform(len(tall)) * (height - tall + 1)).floor()
    left = (random.uniform(len(wide)) * (width - wide + 1)).floor()
    rows = torch.arange(height, device=random.device)
    columns = torch.arange(width, device=random.device)
    in_rows = (rows >= top[:, None]) & (rows < (top + tall)[:, None])
    in_columns = (columns >= left[:, None]) & (columns < (left + wide)[:, None])
    return in_rows[:, :, None] & in_columns[:, None, :]


def check_colours(shape: ImageShape) -> None:
    """Errors: `DataError` unless images have 1 (grey), 3 (RGB) or 4 (RGBA) channels."""
    channels = shape[2]
    if channels not in (1, 3, 4):
        message = f"changes colours: expected 1, 3 or 4 channels, found {channels}"
        raise DataError(message, "remove it from data.augment")
