"""What an augmentation is: a random change of a whole batch, different for each image."""

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

Fill = Literal["reflect", "nearest", "constant"]


@dataclass(frozen=True, slots=True)
class Draw:
    """What the augmentations of one batch are drawn from.

    What an image gets is drawn on the CPU, so that it is the same on every device and nothing
    waits for a GPU: a few numbers an image.
    """

    generator: torch.Generator
    """on the CPU"""
    device: torch.device
    """of the images"""
    size: tuple[int, int]
    """height and width that the net takes; images may be stored larger"""

    def uniform(self, count: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """float32 [count] from ``low`` to below ``high``, on the device."""
        return copy_to(low + (high - low) * self._shares(count), self.device)

    def chosen(self, count: int, probability: float | torch.Tensor) -> torch.Tensor:
        """bool [count]: each true with a probability."""
        return self.uniform(count) < probability

    def signs(self, count: int) -> torch.Tensor:
        """float32 [count]: 1 and −1, with even odds."""
        return 1 - 2 * self.chosen(count, 0.5).float()

    def choices(self, count: int, options: int) -> torch.Tensor:
        """int64 [count] below ``options``, on the CPU: for what the host decides."""
        return torch.randint(options, (count,), generator=self.generator)

    def order(self, count: int) -> torch.Tensor:
        """A permutation int64 [count], on the device."""
        return copy_to(torch.randperm(count, generator=self.generator), self.device)

    def seed(self) -> int:
        """A number that another generator may start from."""
        return int(torch.randint(1 << 62, (), generator=self.generator))

    def _shares(self, count: int) -> torch.Tensor:
        return torch.rand(count, generator=self.generator)


class Augmentation(Choice):
    """A random change of every image of a batch."""

    table: ClassVar[Table] = Table(
        "augmentation", "keep one; in a list, write each augmentation behind its own '- '"
    )

    def check(self, shape: ImageShape) -> None:
        """Whether images of that shape can be changed so. Errors: `DataError`."""
        return

    @abstractmethod
    def apply(self, batch: Batch, draw: Draw) -> Batch:
        """Another batch; the given one is not changed."""


class ImageAugmentation(Augmentation):
    """One that moves bytes around and leaves the labels alone."""

    def apply(self, batch: Batch, draw: Draw) -> Batch:
        return replace(batch, images=self.change(batch.images, draw))

    @abstractmethod
    def change(self, images: torch.Tensor, draw: Draw) -> torch.Tensor:
        """uint8 N×H×W×C in and out; the input is not changed."""


class PlaneAugmentation(Augmentation):
    """One that computes with pixels, and leaves the labels alone.

    Neighbours in the list compute in one go: pixels are rounded to bytes after the last.
    """

    def apply(self, batch: Batch, draw: Draw) -> Batch:
        return replace(batch, images=to_bytes(self.change(to_planes(batch.images), draw)))

    @abstractmethod
    def change(self, planes: torch.Tensor, draw: Draw) -> torch.Tensor:
        """Floats N×C×H×W of 0 to 255 in and out; the input is not changed."""


class ColourPlanes(PlaneAugmentation):
    """One that changes values where they are. Of four channels the last is alpha, which stays."""

    def change(self, planes: torch.Tensor, draw: Draw) -> torch.Tensor:
        if planes.shape[1] != 4:
            return self.change_colours(planes, draw)
        return torch.cat([self.change_colours(planes[:, :3], draw), planes[:, 3:]], dim=1)

    @abstractmethod
    def change_colours(self, planes: torch.Tensor, draw: Draw) -> torch.Tensor:
        """As `change`, without alpha."""


def to_planes(images: torch.Tensor) -> torch.Tensor:
    """uint8 N×H×W×C as contiguous float32 N×C×H×W."""
    planes = images.permute(0, 3, 1, 2)
    return planes.to(torch.float32, memory_format=torch.contiguous_format)


def to_bytes(planes: torch.Tensor) -> torch.Tensor:
    """The nearest uint8 N×H×W×C."""
    rounded = planes.round().clamp_(0, 255).to(torch.uint8)
    return torch.stack(rounded.unbind(1), dim=-1)


def select(chosen: torch.Tensor, first: torch.Tensor | int, second: torch.Tensor) -> torch.Tensor:
    """Bytes of ``first`` where chosen, else of ``second``: what `torch.where` gives, in a third of
    its time.
    """
    mask = chosen.view(torch.uint8).neg()  # no bit or all eight
    return second ^ ((second ^ first) & mask)


def each(values: torch.Tensor) -> torch.Tensor:
    """One number an image, to be spread over its pixels: [N, 1, 1, 1]."""
    return values[:, None, None, None]


def rectangles(
    size: Sequence[int], draw: Draw, tall: torch.Tensor, wide: torch.Tensor
) -> torch.Tensor:
    """A rectangle of whole pixels an image, anywhere inside of it: bool [N, H, W]."""
    height, width = size
    top = (draw.uniform(len(tall)) * (height - tall + 1)).floor()
    left = (draw.uniform(len(wide)) * (width - wide + 1)).floor()
    rows = torch.arange(height, device=draw.device)
    columns = torch.arange(width, device=draw.device)
    in_rows = (rows >= top[:, None]) & (rows < (top + tall)[:, None])
    in_columns = (columns >= left[:, None]) & (columns < (left + wide)[:, None])
    return in_rows[:, :, None] & in_columns[:, None, :]


def check_colours(shape: ImageShape) -> None:
    """Errors: `DataError` for channels that are neither grey nor colours, with alpha or not."""
    channels = shape[2]
    if channels not in (1, 3, 4):
        message = f"changes colours: images of 1, 3 or 4 channels, but the net takes {channels}"
        raise DataError(message, "take it out of data.augment")
