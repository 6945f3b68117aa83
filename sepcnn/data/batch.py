"""A batch: the images of one step and what the net should say of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Batch:
    """All on one device. Images may be larger than the net takes until they are fitted."""

    images: torch.Tensor
    """uint8 [N, H, W, C]"""
    labels: torch.Tensor
    """int64 [N]"""
    second_labels: torch.Tensor | None = None
    """int64 [N]: where images are mixed of two, the label of the second"""
    first_shares: torch.Tensor | None = None
    """float32 [N]: share of the first label"""

    def tensors(self) -> tuple[torch.Tensor | None, ...]:
        """The fields in their order: ``Batch(*batch.tensors())`` is the batch again."""
        return self.images, self.labels, self.second_labels, self.first_shares


def centre_crop(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The middle of images [N, H, W, C] that are stored larger than height and width ``size``."""
    height, width = size
    top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
    return images[:, top : top + height, left : left + width]
