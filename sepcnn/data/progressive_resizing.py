"""Progressive resizing: training starts with smaller images, which is faster."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Self

import torch
from pydantic import model_validator
from torch.nn import functional

from sepcnn.data.batch import Batch
from sepcnn.language.spec import Spec
from sepcnn.language.values import DurationValue, PositiveInt, PositiveUnitNumber
from sepcnn.nn.schedules import NO_STEPS, Progress, Ramp, check_after_until

Size = tuple[int, int]
"""height and width"""


class ProgressiveResizing(Spec):
    """The size of the training images increases during training, from ``start`` to the input size.

    The increase is linear. Howard 2018 (the DAWNBench entry of fast.ai); Touvron et al. 2019,
    arXiv:1906.06423. Images are resized after augmentation, with antialiasing. Evaluation always
    uses the full size.
    """

    start: PositiveUnitNumber = 0.5
    """height and width at the start, as a fraction of the full size"""
    until: DurationValue
    """when images reach the full size"""
    after: DurationValue = NO_STEPS
    """when the size starts to increase"""
    multiple: PositiveInt = 8
    """intermediate sizes are multiples of this number of pixels"""

    @model_validator(mode="after")
    def _order(self) -> Self:
        check_after_until(self.after, self.until)
        return self

    def size(self, full: Size, progress: Progress) -> Size:
        """Height and width of the images at the step after ``progress.step`` completed steps."""
        ramp = Ramp(start=self.start, end=1.0, after=self.after, until=self.until)
        return self._rounded(full, ramp.at(progress))

    def sizes(self, full: Size) -> list[Size]:
        """All sizes that occur during training, the smallest first."""
        # The shares at which the rounded size of a side changes.
        thresholds = {
            (count + 0.5) * self.multiple / side
            for side in full
            for count in range(side // self.multiple + 1)
        }
        corners = [self.start, *sorted(t for t in thresholds if self.start < t < 1), 1.0]
        between = [(low + high) / 2 for low, high in pairwise(corners)]
        return sorted({self._rounded(full, share) for share in (*corners, *between)})

    def _rounded(self, full: Size, share: float) -> Size:
        height, width = (self._side(side, share) for side in full)
        return height, width

    def _side(self, side: int, share: float) -> int:
        if share == 1:
            return side
        rounded = round(side * share / self.multiple) * self.multiple
        return min(max(rounded, self.multiple), side)


def resize_batch(batch: Batch, size: Size) -> Batch:
    """Resize the images of a batch, bilinear with antialiasing."""
    if tuple(batch.images.shape[1:3]) == size:
        return batch
    planes = batch.images.permute(0, 3, 1, 2)
    if planes.device.type != "cpu":  # only the CPU can interpolate uint8
        planes = planes.float()
    smaller = functional.interpolate(planes, size, mode="bilinear", antialias=True)
    if smaller.dtype != torch.uint8:
        smaller = smaller.round_().clamp_(0, 255).to(torch.uint8)
    return replace(batch, images=smaller.permute(0, 2, 3, 1).contiguous())
