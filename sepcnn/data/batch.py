"""A batch: images and their labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors on one device. Stored images may be larger than the model's input until cropped."""

    images: torch.Tensor
    """uint8 [N, H, W, C]"""
    labels: torch.Tensor
    """int64 [N]"""
    second_labels: torch.Tensor | None = None
    """int64 [N]: the labels of the second images if two images are mixed, else None"""
    first_shares: torch.Tensor | None = None
    """float32 [N]: the shares of the first labels, from 0 to 1"""

    def tensors(self) -> tuple[torch.Tensor | None, ...]:
        """The fields in order: ``Batch(*batch.tensors())`` equals the batch."""
        return self.images, self.labels, self.second_labels, self.first_shares


def centre_crop(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Crop images [N, H, W, C] to height and width ``size``, around their centre."""
    height, width = size
    top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
    return images[:, top : top + height, left : left + width]
