"""Augmentations that combine two images and their labels: MixUp and CutMix.

If a list has several, one of them is drawn for each batch. They come last, because the shares of
the labels are valid only for the whole mixed image.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import numpy as np
import torch

from sepcnn.backends.machine import copy_to
from sepcnn.data.augmentation.base import (
    Augmentation,
    BatchRandom,
    per_image,
    random_rectangles,
    select,
)
from sepcnn.data.augmentation.ranges import UnitRange, limits_from_zero
from sepcnn.data.batch import Batch, centre_crop
from sepcnn.language.values import PositiveNumber


class MixingAugmentation(Augmentation):
    """Mixes each image with another image of the batch."""

    def apply(self, batch: Batch, random: BatchRandom) -> Batch:
        order = random.permutation(len(batch.labels))
        whole = centre_crop(batch.images, random.size)  # shares refer to the model's input
        images, shares = self.mix(whole, whole[order], random)
        return replace(batch, images=images, second_labels=batch.labels[order], first_shares=shares)

    @abstractmethod
    def mix(
        self, images: torch.Tensor, others: torch.Tensor, random: BatchRandom
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mixed images, uint8 N×H×W×C, and the fraction of the first image: float32 [N]."""


def beta(count: int, alpha: float, random: BatchRandom) -> torch.Tensor:
    """Numbers drawn from Beta(alpha, alpha): float32 [count], on the device."""
    # torch.distributions.Beta draws only from the global generator.
    numbers = np.random.default_rng(random.new_seed()).beta(alpha, alpha, count)
    return copy_to(torch.from_numpy(numbers.astype(np.float32)), random.device)


class MixUp(MixingAugmentation):
    """``λ · image + (1 − λ) · other``, with λ drawn from Beta(alpha, alpha) for each image.

    The loss is mixed with the same λ. Zhang et al. 2017, arXiv:1710.09412, where λ is drawn once
    per batch. MixUp and CutMix must come after all augmentations of single images. If both are
    listed, one of them is drawn for each batch.
    """

    alpha: PositiveNumber = 0.2
    """with small values the mixture is mostly one of the two images; with 1, λ is uniform"""

    def mix(
        self, images: torch.Tensor, others: torch.Tensor, random: BatchRandom
    ) -> tuple[torch.Tensor, torch.Tensor]:
        shares = beta(len(images), self.alpha, random)
        mixed = torch.lerp(others.float(), images.float(), per_image(shares))
        return mixed.round_().clamp_(0, 255).to(torch.uint8), shares


class CutMix(MixingAugmentation):
    """Pastes a rectangle of another image onto each; labels are mixed by area.

    The area is 1 − λ, with λ drawn from Beta(alpha, alpha). Yun et al. 2019, arXiv:1905.04899,
    where alpha is 1: ``factor: [1, 1]``. As in Keras, the rectangle is inside the image; in the
    paper it may extend beyond the edge. MixUp and CutMix must come after all augmentations of
    single images. If both are listed, one of them is drawn for each batch.
    """

    factor: UnitRange = 1.0
    """alpha of the Beta distribution, drawn for each batch from [lower, upper]; a number f means
    [0, f]"""

    def mix(
        self, images: torch.Tensor, others: torch.Tensor, random: BatchRandom
    ) -> tuple[torch.Tensor, torch.Tensor]:
        count, height, width, _ = images.shape
        low, high = limits_from_zero(self.factor)
        alpha = low + (high - low) * float(torch.rand((), generator=random.generator)) + 1e-6
        side = (1 - beta(count, alpha, random)).sqrt()
        tall, wide = (side * height).round(), (side * width).round()
        covered = random_rectangles((height, width), random, tall, wide)
        shares = 1 - tall * wide / (height * width)
        return select(covered[..., None], others, images), shares
