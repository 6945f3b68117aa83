"""Convolutions beside those of torch in float64: values and every gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from sepcnn.backends.native.arguments import Kernels, Limits, View, Window
from sepcnn.backends.native.convolution import convolve
from sepcnn.nn.layers.window import Padding, same_padding, window_size
from tests.backends.native.exact import (
    SHAPES,
    UNITS,
    VIEWS,
    compare,
    compare_kernels,
    detached,
    image,
    looked_at,
    make_view,
    moments_of,
    needs_kernels,
)

Pair = tuple[int, int]
pytestmark = needs_kernels


def make_kernels(kind: str, channels: int, filters: int) -> Kernels:
    depthwise = torch.randn(channels, 1, 3, 3, requires_grad=True)
    pointwise = torch.randn(filters, channels, 1, 1, requires_grad=True)
    if kind == "dense":
        dense = torch.randn(filters, channels, 3, 3)
        dense = dense.contiguous(memory_format=torch.channels_last)
        return Kernels(dense=dense.requires_grad_())
    return Kernels(
        None if kind == "pointwise" else depthwise, None if kind == "depthwise" else pointwise
    )


def convolved(
    seen: torch.Tensor, kernels: Kernels, strides: Pair, padding: Padding
) -> torch.Tensor:
    """By torch in float64, with TensorFlow's padding."""
    last = kernels.pointwise
    size = (3, 3) if last is None or kernels.depthwise is not None else (1, 1)
    if padding == "same":
        (top, bottom), (left, right) = (
            same_padding(*axis) for axis in zip(seen.shape[2:], size, strides, strict=True)
        )
        seen = functional.pad(seen, (left, right, top, bottom))
    if kernels.dense is not None:
        return functional.conv2d(seen, kernels.dense.double(), stride=strides)
    if kernels.depthwise is not None:
        channels = seen.shape[1]
        seen = functional.conv2d(seen, kernels.depthwise.double(), stride=strides, groups=channels)
        strides = (1, 1)
    return seen if last is None else functional.conv2d(seen, last.double(), stride=strides)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("seen", VIEWS)
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
    seen: str,
    dtype: torch.dtype,
) -> None:
    torch.manual_seed(0)
    x, view = image(shape, dtype), make_view(seen, shape[3])
    kernels = make_kernels(kind, shape[3], filters)
    size = (1, 1) if kind == "pointwise" else (3, 3)
    window = Window(size, strides, *window_size(x.shape[2:], size, strides, padding))
    expected = convolved(looked_at(x, view), kernels, strides, padding)
    weights = [kernel for kernel in kernels if kernel is not None]
    inputs = [x, view.scale, view.offset, *weights]
    y, moments = convolve(x, view, kernels, window)
    assert y.dtype == dtype
    assert y.is_contiguous(memory_format=torch.channels_last)
    compare((y,), (expected,), inputs, roundings=8)
    count = y.numel() // y.shape[1]  # so that neither is small beside the other
    scaled = torch.stack(moments) * count, moments_of(expected) * count
    compare((y, scaled[0]), (expected, scaled[1]), inputs, roundings=64)
    compare_on_images(x, view, kernels, window, expected)


def compare_on_images(
    x: torch.Tensor, view: View, kernels: Kernels, window: Window, expected: torch.Tensor
) -> None:
    """Where the input is the images, nobody wants their gradient."""
    weights = [kernel for kernel in kernels if kernel is not None]
    y, moments = convolve(x.detach(), detached(view), kernels, window)
    found = (y, torch.stack(moments))
    compare_kernels(found, (expected, moments_of(expected)), weights, UNITS[x.dtype] * 16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("seen", VIEWS)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("strides", "filters"), [((1, 1), 32), ((2, 2), 21), ((1, 2), 16)])
@pytest.mark.parametrize("shape", [(3, 7, 9, 5), (4, 5, 6, 1), (2, 12, 11, 3)], ids=str)
@pytest.mark.usefixtures("threads")
def test_dense_convolution_of_images(
    shape: tuple[int, ...],
    strides: Pair,
    filters: int,
    padding: Padding,
    seen: str,
    dtype: torch.dtype,
) -> None:
    torch.manual_seed(0)
    x, view = image(shape, dtype), make_view(seen, shape[3])
    kernels = make_kernels("dense", shape[3], filters)
    window = Window((3, 3), strides, *window_size(x.shape[2:], (3, 3), strides, padding))
    compare_on_images(
        x, view, kernels, window, convolved(looked_at(x, view), kernels, strides, padding)
    )


def test_a_value_that_is_not_a_number_is_not_hidden() -> None:
    x = torch.zeros(1, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    x[0, 1, 2, 2] = math.nan
    view = View(torch.ones(3), torch.ones(3), Limits(low=0.0))
    kernels = Kernels(torch.ones(3, 1, 3, 3), torch.ones(2, 3, 1, 1))
    y, moments = convolve(x, view, kernels, Window((3, 3), (1, 1), (0, 0), (2, 2)))
    assert y.isnan().all()
    assert torch.stack(moments).isnan().all()


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
def test_equal_numbers_in_every_run(kind: str, channels: int, filters: int, images: int) -> None:
    """Whichever thread did what, and with any number of them up to four."""
    torch.manual_seed(0)
    x = image((images, 13, 11, channels), torch.bfloat16)
    if kind == "dense":
        x = x.detach()
    view, kernels = make_view("rectified", channels), make_kernels(kind, channels, filters)
    view = detached(view) if kind == "dense" else view
    size = (1, 1) if kind == "pointwise" else (3, 3)
    window = Window(size, (1, 1), *window_size(x.shape[2:], size, (1, 1), "same"))
    inputs = [one for one in (x, *view[:2], *kernels) if one is not None and one.requires_grad]

    def run(threads: int) -> list[torch.Tensor]:
        torch.set_num_threads(threads)
        y, moments = convolve(x, view, kernels, window)
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
