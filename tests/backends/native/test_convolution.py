"""Convolutions compared with torch in float64: values and every gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from sepcnn.backends.native.arguments import ClampedAffine, ConvolutionWeights, Geometry, Limits
from sepcnn.backends.native.convolution import convolve
from sepcnn.nn.layers.sliding_window import Padding, same_padding
from tests.backends.native.exact import (
    LIMITS,
    SHAPES,
    UNITS,
    applied,
    compare,
    compare_weights,
    detached,
    image,
    make_affine,
    moments_of,
    needs_kernels,
)

Pair = tuple[int, int]
pytestmark = needs_kernels


def make_weights(kind: str, channels: int, filters: int) -> ConvolutionWeights:
    depthwise = torch.randn(channels, 1, 3, 3, requires_grad=True)
    pointwise = torch.randn(filters, channels, 1, 1, requires_grad=True)
    if kind == "dense":
        dense = torch.randn(filters, channels, 3, 3)
        dense = dense.contiguous(memory_format=torch.channels_last)
        return ConvolutionWeights(dense=dense.requires_grad_())
    return ConvolutionWeights(
        None if kind == "pointwise" else depthwise, None if kind == "depthwise" else pointwise
    )


def convolved(
    x: torch.Tensor, weights: ConvolutionWeights, strides: Pair, padding: Padding
) -> torch.Tensor:
    """By torch in float64, with TensorFlow's padding."""
    last = weights.pointwise
    kernel_size = (3, 3) if last is None or weights.depthwise is not None else (1, 1)
    if padding == "same":
        (top, bottom), (left, right) = (
            same_padding(*axis) for axis in zip(x.shape[2:], kernel_size, strides, strict=True)
        )
        x = functional.pad(x, (left, right, top, bottom))
    if weights.dense is not None:
        return functional.conv2d(x, weights.dense.double(), stride=strides)
    if weights.depthwise is not None:
        channels = x.shape[1]
        x = functional.conv2d(x, weights.depthwise.double(), stride=strides, groups=channels)
        strides = (1, 1)
    return x if last is None else functional.conv2d(x, last.double(), stride=strides)


@pytest.mark.covering("values")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("read_as", LIMITS)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("kind", "strides", "filters"),
    [
        ("separable", (1, 1), 21),
        ("separable", (1, 1), 32),
        ("separable", (2, 1), 21),
        ("separable", (2, 2), 32),
        ("depthwise", (1, 1), 0),
        ("depthwise", (2, 2), 0),
        ("pointwise", (1, 1), 32),
        ("pointwise", (1, 1), 21),
        ("pointwise", (3, 2), 21),
    ],
)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("threads")
def test_convolution(
    shape: tuple[int, ...],
    kind: str,
    strides: Pair,
    filters: int,
    padding: Padding,
    read_as: str,
    dtype: torch.dtype,
) -> None:
    torch.manual_seed(0)
    x, affine = image(shape, dtype), make_affine(read_as, shape[3])
    weights = make_weights(kind, shape[3], filters)
    kernel_size = (1, 1) if kind == "pointwise" else (3, 3)
    geometry = Geometry.of(x.shape[2:], kernel_size, strides, padding)
    expected = convolved(applied(affine, x), weights, strides, padding)
    trained = [weight for weight in weights if weight is not None]
    inputs = [x, affine.scale, affine.offset, *trained]
    y, moments = convolve(x, affine, weights, geometry)
    assert y.dtype == dtype
    assert y.is_contiguous(memory_format=torch.channels_last)
    compare((y,), (expected,), inputs, roundings=8)
    count = y.numel() // y.shape[1]  # both moments are of one size then
    scaled = torch.stack(moments) * count, moments_of(expected) * count
    compare((y, scaled[0]), (expected, scaled[1]), inputs, roundings=64)
    compare_on_images(x, affine, weights, geometry, expected)


def compare_on_images(
    x: torch.Tensor,
    affine: ClampedAffine,
    weights: ConvolutionWeights,
    geometry: Geometry,
    expected: torch.Tensor,
) -> None:
    """The input is the data: its gradient is not needed."""
    trained = [weight for weight in weights if weight is not None]
    y, moments = convolve(x.detach(), detached(affine), weights, geometry)
    found = (y, torch.stack(moments))
    compare_weights(found, (expected, moments_of(expected)), trained, UNITS[x.dtype] * 16)


@pytest.mark.covering("values")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("read_as", LIMITS)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("strides", "filters"), [((1, 1), 32), ((2, 2), 21), ((1, 2), 16)])
@pytest.mark.parametrize("shape", [(3, 7, 9, 5), (4, 5, 6, 1), (2, 12, 11, 3)], ids=str)
@pytest.mark.usefixtures("threads")
def test_dense_convolution_of_images(
    shape: tuple[int, ...],
    strides: Pair,
    filters: int,
    padding: Padding,
    read_as: str,
    dtype: torch.dtype,
) -> None:
    torch.manual_seed(0)
    x, affine = image(shape, dtype), make_affine(read_as, shape[3])
    weights = make_weights("dense", shape[3], filters)
    geometry = Geometry.of(x.shape[2:], (3, 3), strides, padding)
    compare_on_images(
        x, affine, weights, geometry, convolved(applied(affine, x), weights, strides, padding)
    )


def test_nan_is_not_hidden() -> None:
    x = torch.zeros(1, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    x[0, 1, 2, 2] = math.nan
    affine = ClampedAffine(torch.ones(3), torch.ones(3), Limits(low=0.0))
    weights = ConvolutionWeights(torch.ones(3, 1, 3, 3), torch.ones(2, 3, 1, 1))
    y, moments = convolve(x, affine, weights, Geometry((3, 3), (1, 1), (0, 0), (2, 2)))
    assert y.isnan().all()
    assert torch.stack(moments).isnan().all()


@pytest.mark.covering("values")
@pytest.mark.parametrize("images", [1, 2, 37])
@pytest.mark.parametrize(
    ("kind", "channels", "filters"),
    [
        ("separable", 24, 40),
        ("separable", 384, 384),
        ("depthwise", 24, 0),
        ("pointwise", 24, 40),
        ("dense", 3, 40),
    ],
)
def test_results_are_the_same_in_every_run(
    kind: str, channels: int, filters: int, images: int
) -> None:
    """Independent of which thread does what, and of their number up to four."""
    torch.manual_seed(0)
    x = image((images, 13, 11, channels), torch.bfloat16)
    if kind == "dense":
        x = x.detach()
    affine, weights = make_affine("rectified", channels), make_weights(kind, channels, filters)
    affine = detached(affine) if kind == "dense" else affine
    kernel_size = (1, 1) if kind == "pointwise" else (3, 3)
    geometry = Geometry.of(x.shape[2:], kernel_size, (1, 1), "same")
    inputs = [t for t in (x, *affine[:2], *weights) if t is not None and t.requires_grad]

    def run(threads: int) -> list[torch.Tensor]:
        torch.set_num_threads(threads)
        y, moments = convolve(x, affine, weights, geometry)
        loss = (y.float().square() * y.detach().sin()).sum() + torch.stack(moments).sum()
        return [y, *moments, *torch.autograd.grad(loss, inputs)]

    before = torch.get_num_threads()
    try:
        expected = run(1)
        for threads in (1, 2, 3, 4, 3, 2):
            found = run(threads)
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True)), threads
    finally:
        torch.set_num_threads(before)
