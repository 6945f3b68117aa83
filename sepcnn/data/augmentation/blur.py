"""The augmentation that makes images soft."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import PlainValidator, WithJsonSchema
from torch.nn import functional

from sepcnn.data.augmentation.base import ColourPlanes, Draw, each
from sepcnn.data.augmentation.ranges import ShareRange, from_zero
from sepcnn.language.messages import invalid, quote


def _odd(value: Any) -> int | tuple[int, int]:
    pair = value if isinstance(value, list | tuple) else (value, value)
    whole = all(isinstance(n, int) and not isinstance(n, bool) and n > 0 and n % 2 for n in pair)
    if whole and len(pair) == 2:
        return (pair[0], pair[1]) if isinstance(value, list | tuple) else pair[0]
    raise invalid(f"expected an odd number or [height, width], found {quote(value)}")


_ODD = {"type": "integer", "minimum": 1}
OddPair = Annotated[
    int | tuple[int, int],
    PlainValidator(_odd),
    WithJsonSchema(
        {"anyOf": [_ODD, {"type": "array", "items": _ODD, "minItems": 2, "maxItems": 2}]}
    ),
]


class RandomGaussianBlur(ColourPlanes):
    """Softens some images with a normal curve over a few pixels.

    Each image has a sigma of its own, and its edges are repeated; in Keras a batch shares one for
    its rows and one for its columns, and edges become darker.
    """

    factor: ShareRange = 1.0
    """probability that an image is changed, drawn from [smallest, largest]; f means [0, f]"""
    kernel_size: OddPair = 3
    """odd numbers of pixels: height and width, or one for both"""
    sigma: ShareRange = 1.0
    """standard deviation in pixels, drawn from [smallest, largest]; a number s means [0, s]"""

    def change_colours(self, planes: torch.Tensor, draw: Draw) -> torch.Tensor:
        count = len(planes)
        chosen = draw.chosen(count, draw.uniform(count, *from_zero(self.factor)))
        sigma = draw.uniform(count, *from_zero(self.sigma)) + 1e-6
        size = self.kernel_size
        blurred = planes
        for axis, taps in enumerate(size if isinstance(size, tuple) else (size, size), start=2):
            blurred = _smooth(blurred, axis, taps, sigma.to(planes.dtype))
        return torch.where(each(chosen), blurred, planes)


def _smooth(planes: torch.Tensor, axis: int, taps: int, sigma: torch.Tensor) -> torch.Tensor:
    """Along one axis, with a kernel an image."""
    reach, side = taps // 2, planes.shape[axis]
    offsets = torch.arange(-reach, reach + 1, device=planes.device)
    weights = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    weights = weights / weights.sum(1, keepdim=True)
    margins = [reach, reach, 0, 0] if axis == 3 else [0, 0, reach, reach]
    padded = functional.pad(planes, margins, mode="replicate")
    total = torch.zeros_like(planes)
    for tap in range(taps):
        total.addcmul_(padded.narrow(axis, tap, side), each(weights[:, tap]))
    return total
