"""Interpolation of resized images, as in TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from sepcnn.language.values import Pair

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"]

ROUNDED_ZERO = 1e-9
"""weights below this are 0 up to rounding: a kernel is 0 at whole distances except 0"""


def triangle(distance: torch.Tensor) -> torch.Tensor:
    """The linear kernel: 1 − distance, down to 0."""
    return (1 - distance).clamp(min=0)


def keys_cubic(distance: torch.Tensor) -> torch.Tensor:
    """Keys 1981, "Cubic convolution interpolation for digital image processing", a = −½."""
    d = distance
    near, far = (1.5 * d - 2.5) * d * d + 1, ((-0.5 * d + 2.5) * d - 4) * d + 2
    return torch.where(d <= 1, near, torch.where(d < 2, far, 0.0))


def lanczos(radius: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Duchon 1979, "Lanczos filtering in one and two dimensions"."""

    def kernel(distance: torch.Tensor) -> torch.Tensor:
        windowed = torch.sinc(distance) * torch.sinc(distance / radius)
        return torch.where(distance < radius, windowed, 0.0)

    return kernel


KERNELS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "bilinear": triangle,
    "bicubic": keys_cubic,
    "lanczos3": lanczos(3),
    "lanczos5": lanczos(5),
}
"""functions from the distance in pixels to the weight"""


def resampling_matrix(
    source: int, target: int, interpolation: Interpolation, antialias: bool
) -> torch.Tensor:
    """Return the weight of each source pixel in each target pixel of one axis: target × source.

    Float64. As in ScaleAndTranslate of TensorFlow: pixels outside the image are left out and the
    remaining weights are divided by their sum; ``antialias`` stretches the kernel if the axis
    shrinks.
    """
    step = source / target
    old = torch.arange(source, dtype=torch.float64)
    center = (torch.arange(target, dtype=torch.float64) + 0.5)[:, None] * step - 0.5
    if interpolation == "nearest":
        return (old == (center + 0.5).floor()).double()
    stretch = max(step, 1.0) if antialias else 1.0
    weights = KERNELS[interpolation]((old - center).abs() / stretch)
    return weights / weights.sum(dim=1, keepdim=True)


def support(source: int, target: int, interpolation: Interpolation, antialias: bool) -> int:
    """Return the largest number of adjacent source pixels that one target pixel depends on."""
    seen = resampling_matrix(source, target, interpolation, antialias).abs() > ROUNDED_ZERO
    first, after = seen.int().argmax(dim=1), source - seen.flip(1).int().argmax(dim=1)
    return int((after - first).max())


# ── modules ───────────────────────────────────────────────────────────────────────────────────


def make_resizer(
    source: Pair, target: Pair, interpolation: Interpolation, antialias: bool = False
) -> nn.Module:
    """Build the module that resizes images from ``source`` to ``target``: (height, width)."""
    if source == target:
        return nn.Identity()
    if interpolation == "nearest":
        # "nearest" of torch ignores the half-pixel offset.
        return InterpolateModule(target, "nearest-exact")
    shrinks = target[0] < source[0] or target[1] < source[1]
    if interpolation == "bilinear" and not (antialias and shrinks):
        return InterpolateModule(target, "bilinear")
    return ResampleModule(source, target, interpolation, antialias)


class InterpolateModule(nn.Module):
    """Takes N×C×H×W of any size. For the modes in which torch agrees with TensorFlow."""

    def __init__(self, size: Pair, mode: Literal["nearest-exact", "bilinear"]) -> None:
        super().__init__()
        self.size, self.mode = size, mode

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        corners = None if self.mode == "nearest-exact" else False
        return functional.interpolate(x, self.size, mode=self.mode, align_corners=corners)


class ResampleModule(nn.Module):
    """Takes N×C×H×W of the source size; multiplies by a matrix on each side.

    Two dense matrix products are faster than gathering the few pixels with weights above 0.
    Computes in float32 for bfloat16 inputs and under autocast, too.
    """

    rows: torch.Tensor
    columns: torch.Tensor

    def __init__(
        self, source: Pair, target: Pair, interpolation: Interpolation, antialias: bool
    ) -> None:
        super().__init__()
        for axis, name in enumerate(("rows", "columns")):
            matrix = resampling_matrix(source[axis], target[axis], interpolation, antialias)
            self.register_buffer(name, matrix.to(torch.get_default_dtype()), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return (self.rows @ x.to(self.rows.dtype) @ self.columns.T).to(x.dtype)
