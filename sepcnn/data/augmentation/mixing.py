"""Augmentations that make one image of two, with both labels: mixup and CutMix.

A batch is mixed once: where a list names several, one of them is drawn for each batch. They come
after all others, since the shares of the labels are those of the image that mixing made.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import numpy as np
import torch

from sepcnn.backends.machine import copy_to
from sepcnn.data.augmentation.base import Augmentation, Draw, each, rectangles, select
from sepcnn.data.augmentation.ranges import ShareRange, from_zero
from sepcnn.data.batch import Batch, centre_crop
from sepcnn.language.values import PositiveNumber


class Mixing(Augmentation):
    """Mixes each image with another of its batch. One of a list is drawn for each batch."""

    def apply(self, batch: Batch, draw: Draw) -> Batch:
        order = draw.order(len(batch.labels))
        whole = centre_crop(batch.images, draw.size)  # a share is one of what the net sees
        images, shares = self.mix(whole, whole[order], draw)
        return replace(batch, images=images, second_labels=batch.labels[order], first_shares=shares)

    @abstractmethod
    def mix(
        self, images: torch.Tensor, others: torch.Tensor, draw: Draw
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mixed images uint8 N×H×W×C, and the share of the first in each: float32 [N]."""


def beta(count: int, alpha: float, draw: Draw) -> torch.Tensor:
    """float32 [count] of Beta(alpha, alpha), on the device."""
    # torch draws it from its global generator alone.
    numbers = np.random.default_rng(draw.seed()).beta(alpha, alpha, count)
    return copy_to(torch.from_numpy(numbers.astype(np.float32)), draw.device)


class MixUp(Mixing):
    """``λ · image + (1 − λ) · other``, with λ of Beta(alpha, alpha) for each image.

    The loss is mixed the same way. Zhang et al. 2017, arXiv:1710.09412 (one λ a batch there). It
    comes last; of several mixing augmentations in a list one is drawn for each batch.
    """

    alpha: PositiveNumber = 0.2
    """small: mostly one of the two images; 1: any mixture is as likely"""

    def mix(
        self, images: torch.Tensor, others: torch.Tensor, draw: Draw
    ) -> tuple[torch.Tensor, torch.Tensor]:
        shares = beta(len(images), self.alpha, draw)
        mixed = torch.lerp(others.float(), images.float(), each(shares))
        return mixed.round_().clamp_(0, 255).to(torch.uint8), shares


class CutMix(Mixing):
    """A rectangle of another image over each, with a share of its label as large as its area.

    The area is 1 − λ with λ of Beta(alpha, alpha). Yun et al. 2019, arXiv:1905.04899, where alpha
    is 1: ``factor: [1, 1]``. As in Keras the rectangle lies inside the image; the paper cuts it
    off at the edge. It comes last; of several mixing augmentations in a list one is drawn for each
    batch.
    """

    factor: ShareRange = 1.0
    """alpha is drawn from [smallest, largest] for each batch; a number f means [0, f]"""

    def mix(
        self, images: torch.Tensor, others: torch.Tensor, draw: Draw
    ) -> tuple[torch.Tensor, torch.Tensor]:
        count, height, width, _ = images.shape
        low, high = from_zero(self.factor)
        alpha = low + (high - low) * float(torch.rand((), generator=draw.generator)) + 1e-6
        side = (1 - beta(count, alpha, draw)).sqrt()
        tall, wide = (side * height).round(), (side * width).round()
        covered = rectangles((height, width), draw, tall, wide)
        shares = 1 - tall * wide / (height * width)
        return select(covered[..., None], others, images), shares
