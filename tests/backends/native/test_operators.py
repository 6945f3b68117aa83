"""The kernels beside the same computation of torch in float64: values and every gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from sepcnn.backends.native import operators
from sepcnn.backends.native.arguments import Limits, View, Window
from sepcnn.nn.layers.normalization import affine
from sepcnn.nn.layers.window import Padding, window_size
from tests.backends.native.exact import (
    SHAPES,
    VIEWS,
    compare,
    image,
    looked_at,
    make_view,
    moments_of,
    needs_kernels,
)

pytestmark = needs_kernels


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("seen", VIEWS)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("size", "strides"), [((2, 2), (2, 2)), ((3, 3), (2, 2)), ((2, 2), (1, 3)), ((3, 3), (1, 1))]
)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("threads")
def test_max_pool(
    shape: tuple[int, ...],
    size: tuple[int, int],
    strides: tuple[int, int],
    padding: Padding,
    seen: str,
    dtype: torch.dtype,
) -> None:
    torch.manual_seed(0)
    x, view = image(shape, dtype), make_view(seen, shape[3])
    margin, output = window_size(x.shape[2:], size, strides, padding)
    y = operators.max_pool(x, view.scale, Window(size, strides, margin, output))
    y = operators.see(y, view)
    below = [
        (out - 1) * step + window - side - before
        for out, step, window, side, before in zip(
            output, strides, size, x.shape[2:], margin, strict=True
        )
    ]
    padded = functional.pad(
        looked_at(x, view),
        (margin[1], max(below[1], 0), margin[0], max(below[0], 0)),
        value=-math.inf,
    )
    expected = functional.max_pool2d(padded, size, strides)
    compare((y,), (expected,), [x, view.scale, view.offset], roundings=4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("seen", ["scaled", "rectified", "clamped"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("threads")
def test_what_is_seen_is_written_down(
    shape: tuple[int, ...], seen: str, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    x, view = image(shape, dtype), make_view(seen, shape[3])
    y = operators.see(x, view)
    compare((y,), (looked_at(x, view),), [x, view.scale, view.offset], roundings=4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("other_seen", ["as it is", "rectified"])
@pytest.mark.parametrize("seen", ["as it is", "scaled", "clamped"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("threads")
def test_add(shape: tuple[int, ...], seen: str, other_seen: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, other = image(shape, dtype), image(shape, dtype)
    view, other_view = make_view(seen, shape[3]), make_view(other_seen, shape[3])
    y = operators.add(x, view, other, other_view)
    expected = looked_at(x, view) + looked_at(other, other_view)
    inputs = [x, view.scale, view.offset, other, other_view.scale, other_view.offset]
    compare((y,), (expected,), inputs, roundings=4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [*SHAPES, (3, 40, 41, 3)], ids=str)
@pytest.mark.usefixtures("threads")
def test_moments(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = image(shape, dtype)
    y, moments = operators.moments(x)
    exact = x.double()
    sums = moments_of(exact)
    count = y.numel() // y.shape[1]
    compare((y, torch.stack(moments) * count), (exact, sums * count), [x], roundings=8)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("biased", [True, False])
def test_affine(weighted: bool, biased: bool) -> None:
    torch.manual_seed(0)
    mean, variance = torch.randn(37, requires_grad=True), torch.rand(37, requires_grad=True)
    weight = torch.randn(37, requires_grad=True) if weighted else None
    bias = torch.randn(37, requires_grad=True) if biased else None
    inputs = [mean, variance, weight, bias]
    found = operators.affine(torch.float32, mean, variance, weight, bias, 1e-3)
    exact = [None if one is None else one.double() for one in inputs]
    expected = affine(*exact, 1e-3)
    compare(found, expected, inputs, roundings=16)


def test_the_first_of_equals_has_the_gradient() -> None:
    x = torch.ones(1, 16, 2, 2).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = operators.max_pool(x, None, Window((2, 2), (2, 2), (0, 0), (1, 1)))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient[0, 0].tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize(("scale", "expected"), [(0.0, -math.inf), (-2.0, -math.inf), (2.0, 1.0)])
def test_infinite_values(scale: float, expected: float) -> None:
    x = torch.tensor([[-math.inf, -math.inf], [0.0, 1.0]]).expand(1, 16, 2, 2)
    x = x.contiguous(memory_format=torch.channels_last)
    window = Window((2, 2), (2, 2), (0, 0), (1, 1))
    y = operators.max_pool(x, torch.full([16], scale), window)
    assert y.unique().tolist() == [expected]
    lowest = operators.max_pool(x.clamp(max=-math.inf), torch.full([16], scale or 1.0), window)
    assert lowest.unique().tolist() == [-math.inf]


def test_a_value_that_is_not_a_number_is_not_hidden() -> None:
    x = torch.zeros(1, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    x[0, 1, 2, 2] = math.nan
    ones, rectify = torch.ones(3), Limits(low=0.0)
    view = View(ones, ones, rectify)
    pooled = operators.max_pool(x, ones, Window((2, 2), (2, 2), (0, 0), (2, 2)))
    assert pooled.isnan().sum() == 1
    assert operators.see(x, view).isnan().sum() == 1
