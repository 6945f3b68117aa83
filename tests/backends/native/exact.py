"""Compare the results of kernels with torch in float64: values and every gradient."""

from __future__ import annotations

import pytest
import torch

from sepcnn.backends.native import library
from sepcnn.backends.native.arguments import ClampedAffine, Limits

needs_kernels = pytest.mark.skipif(
    library.load_kernels("float32") is None, reason="no C++ compiler here can build the kernels"
)
LIMITS = {
    "identity": None,
    "scaled": Limits(),
    "rectified": Limits(low=0.0),
    "clamped": Limits(low=0.0, high=1.5),
}
UNITS = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-9}
"""the largest relative error of one rounding"""
SHAPES = [(3, 7, 9, 5), (2, 12, 8, 16), (1, 9, 9, 33), (4, 5, 6, 1), (5, 6, 5, 48)]
"""images, height, width, channels: fewer and more channels than a vector, odd sizes, one channel"""


def image(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    images, height, width, channels = shape
    x = torch.randn(images, channels, height, width).to(dtype)
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


def make_affine(name: str, channels: int) -> ClampedAffine:
    limits = LIMITS[name]
    if limits is None:
        return ClampedAffine()
    scale, offset = torch.randn(channels), torch.randn(channels)
    return ClampedAffine(scale.requires_grad_(), offset.requires_grad_(), limits)


def detached(affine: ClampedAffine) -> ClampedAffine:
    scale, offset, limits = affine
    if scale is None or offset is None:
        return affine
    return ClampedAffine(scale.detach(), offset.detach(), limits)


def applied(affine: ClampedAffine, x: torch.Tensor) -> torch.Tensor:
    """``clamp(scale · x + offset)`` in float64."""
    scale, offset, limits = affine
    if scale is None or offset is None:
        return x.double()
    y = x.double() * scale.double()[:, None, None] + offset.double()[:, None, None]
    return y.clamp(limits.low, limits.high)


def moments_of(y: torch.Tensor) -> torch.Tensor:
    variance, mean = torch.var_mean(y, (0, 2, 3), correction=0)
    return torch.stack([mean, variance])


def compare(
    found: tuple[torch.Tensor, ...],
    expected: tuple[torch.Tensor, ...],
    inputs: list[torch.Tensor | None],
    roundings: float,
) -> None:
    """Assert that values, and the gradients of a random sum of them, differ by a few roundings.

    Sums over pixels may cancel out. Their roundings are relative to their terms, whose size is that
    of the gradient of the first input, the image.
    """
    sums = [torch.randn_like(y) for y in expected]
    given = [t for t in inputs if t is not None]
    gradients = [
        torch.autograd.grad(
            torch.stack([(y.double() * s).sum() for y, s in zip(ys, sums, strict=True)]).sum(),
            given,
            retain_graph=True,
        )
        for ys in (found, expected)
    ]
    unit = UNITS[given[0].dtype]
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.double() - theirs).norm() <= roundings * unit * theirs.norm()
    image, terms = given[0].detach().double(), gradients[1][0].double().norm()
    for ours, theirs in zip(*gradients, strict=True):
        size = theirs.double().norm()
        if theirs.dim() == 1:
            size = size + terms * (image.norm() + image.numel() ** 0.5)
        assert (ours.double() - theirs.double()).norm() <= roundings * unit * size


def compare_weights(
    found: tuple[torch.Tensor, ...],
    expected: tuple[torch.Tensor, ...],
    weights: list[torch.Tensor],
    most: float,
) -> None:
    sums = [torch.randn_like(y) for y in expected]
    ours, theirs = (
        torch.autograd.grad(
            torch.stack([(y.double() * s).sum() for y, s in zip(ys, sums, strict=True)]).sum(),
            weights,
        )
        for ys in (found, expected)
    )
    for actual, exact in zip(ours, theirs, strict=True):
        assert (actual.double() - exact.double()).norm() <= most * exact.double().norm()
