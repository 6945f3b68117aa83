"""Gaussian blur."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import PlainValidator, WithJsonSchema
from torch.nn import functional

from sepcnn.data.augmentation.base import AlphaPreservingAugmentation, BatchRandom, per_image
from sepcnn.data.augmentation.ranges import UnitRange, limits_from_zero
from sepcnn.language.messages import invalid, quote


def _odd(value: Any) -> int | tuple[int, int]:
    pair = value if isinstance(value, list | tuple) else (value, value)
    whole = all(isinstance(n, int) and not isinstance(n, bool) and n > 0 and n % 2 for n in pair)
    if whole and len(pair) == 2:
        return (pair[0], pair[1]) if isinstance(value, list | tuple) else pair[0]
    raise invalid(f"expected an odd number or [height, width] of odd numbers, found {quote(value)}")


_ODD = {"type": "integer", "minimum": 1}
OddPair = Annotated[
    int | tuple[int, int],
    PlainValidator(_odd),
    WithJsonSchema(
        {"anyOf": [_ODD, {"type": "array", "items": _ODD, "minItems": 2, "maxItems": 2}]}
    ),
]


class RandomGaussianBlur(AlphaPreservingAugmentation):
    """Blurs some images with a Gaussian kernel.

    Each image has its own sigma, and edge pixels are repeated. In Keras all images of a batch
    share one sigma for rows and one for columns, and edges become darker.
    """

    factor: UnitRange = 1.0
    """probability that an image is changed, drawn per image from [lower, upper]; a number f means
    [0, f]"""
    kernel_size: OddPair = 3
    """[height, width] of the kernel in pixels, odd; one number sets both"""
    sigma: UnitRange = 1.0
    """standard deviation in pixels: drawn from [lower, upper]; a number s means [0, s]"""

    def change_colours(self, planes: torch.Tensor, random: BatchRandom) -> torch.Tensor:
        count = len(planes)
        chosen = random.bernoulli(count, random.uniform(count, *limits_from_zero(self.factor)))
        sigma = random.uniform(count, *limits_from_zero(self.sigma)) + 1e-6
        size = self.kernel_size
        blurred = planes
        for axis, taps in enumerate(size if isinstance(size, tuple) else (size, size), start=2):
            blurred = _smooth(blurred, axis, taps, sigma.to(planes.dtype))
        return torch.where(per_image(chosen), blurred, planes)


def _smooth(planes: torch.Tensor, axis: int, taps: int, sigma: torch.Tensor) -> torch.Tensor:
    """Blur along one axis, with one sigma per image: float [N]."""
    reach, side = taps // 2, planes.shape[axis]
    offsets = torch.arange(-reach, reach + 1, device=planes.device)
    weights = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    weights = weights / weights.sum(1, keepdim=True)
    margins = [reach, reach, 0, 0] if axis == 3 else [0, 0, reach, reach]
    padded = functional.pad(planes, margins, mode="replicate")
    total = torch.zeros_like(planes)
    for tap in range(taps):
        total.addcmul_(padded.narrow(axis, tap, side), per_image(weights[:, tap]))
    return total
