"""Progressive resizing: training begins on smaller images, which is faster."""

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


class ProgressiveResizing(Spec):
    """Training images grow in a straight line from a share of the net's size to all of it.

    Howard 2018 (fast.ai's DAWNBench entry); Touvron et al. 2019, arXiv:1906.06423. They are resized
    after augmentation, smoothed. Evaluation is always at the net's size.
    """

    start: PositiveUnitNumber = 0.5
    """share of height and width before ``after``"""
    until: DurationValue
    """when images have the net's size"""
    after: DurationValue = NO_STEPS
    """when they begin to grow"""
    multiple: PositiveInt = 8
    """sizes on the way are multiples of so many pixels"""

    @model_validator(mode="after")
    def _order(self) -> Self:
        check_after_until(self.after, self.until)
        return self

    def size(self, full: Size, progress: Progress) -> Size:
        """Height and width for the step after ``progress.step`` completed ones."""
        ramp = Ramp(start=self.start, end=1.0, after=self.after, until=self.until)
        return self._rounded(full, ramp.at(progress))

    def sizes(self, full: Size) -> list[Size]:
        """All that images can have on the way, the smallest first."""
        turns = {
            (count + 0.5) * self.multiple / side
            for side in full
            for count in range(side // self.multiple + 1)
        }
        corners = [self.start, *sorted(turn for turn in turns if self.start < turn < 1), 1.0]
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
    """A batch with images of another size, bilinear and smoothed where they get smaller."""
    if tuple(batch.images.shape[1:3]) == size:
        return batch
    planes = batch.images.permute(0, 3, 1, 2)
    if planes.device.type != "cpu":  # only there torch resizes bytes
        planes = planes.float()
    smaller = functional.interpolate(planes, size, mode="bilinear", antialias=True)
    if smaller.dtype != torch.uint8:
        smaller = smaller.round_().clamp_(0, 255).to(torch.uint8)
    return replace(batch, images=smaller.permute(0, 2, 3, 1).contiguous())
