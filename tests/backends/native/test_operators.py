"""The other kernels compared with torch in float64: values and every gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from sepcnn.backends.native import operators
from sepcnn.backends.native.arguments import ClampedAffine, Geometry, Limits
from sepcnn.nn.layers import normalization
from sepcnn.nn.layers.sliding_window import Padding
from tests.backends.native.exact import (
    LIMITS,
    SHAPES,
    applied,
    compare,
    image,
    make_affine,
    moments_of,
    needs_kernels,
)

pytestmark = needs_kernels


@pytest.mark.covering("pairs")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("read_as", LIMITS)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("kernel_size", "strides"),
    [((2, 2), (2, 2)), ((3, 3), (2, 2)), ((2, 2), (1, 3)), ((3, 3), (1, 1))],
)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("threads")
def test_max_pool(
    shape: tuple[int, ...],
    kernel_size: tuple[int, int],
    strides: tuple[int, int],
    padding: Padding,
    read_as: str,
    dtype: torch.dtype,
) -> None:
    torch.manual_seed(0)
    x, affine = image(shape, dtype), make_affine(read_as, shape[3])
    geometry = Geometry.of(x.shape[2:], kernel_size, strides, padding)
    y = operators.apply_clamped_affine(operators.max_pool(x, affine.scale, geometry), affine)
    top, left = geometry.padding
    bottom, right = (
        (out - 1) * step + kernel - side - before
        for out, step, kernel, side, before in zip(
            geometry.output_size, strides, kernel_size, x.shape[2:], (top, left), strict=True
        )
    )
    padded = functional.pad(
        applied(affine, x),
        (left, max(right, 0), top, max(bottom, 0)),
        value=-math.inf,
    )
    expected = functional.max_pool2d(padded, kernel_size, strides)
    compare((y,), (expected,), [x, affine.scale, affine.offset], roundings=4)


@pytest.mark.covering("pairs")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("read_as", ["scaled", "rectified", "clamped"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("threads")
def test_clamped_affine(shape: tuple[int, ...], read_as: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, affine = image(shape, dtype), make_affine(read_as, shape[3])
    y = operators.apply_clamped_affine(x, affine)
    compare((y,), (applied(affine, x),), [x, affine.scale, affine.offset], roundings=4)


@pytest.mark.covering("pairs")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("other_read_as", ["identity", "rectified"])
@pytest.mark.parametrize("read_as", ["identity", "scaled", "clamped"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.usefixtures("threads")
def test_add(shape: tuple[int, ...], read_as: str, other_read_as: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, other = image(shape, dtype), image(shape, dtype)
    affine, other_affine = make_affine(read_as, shape[3]), make_affine(other_read_as, shape[3])
    y = operators.add(x, affine, other, other_affine)
    expected = applied(affine, x) + applied(other_affine, other)
    inputs = [x, affine.scale, affine.offset, other, other_affine.scale, other_affine.offset]
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
def test_normalization_coefficients(weighted: bool, biased: bool) -> None:
    torch.manual_seed(0)
    mean, variance = torch.randn(37, requires_grad=True), torch.rand(37, requires_grad=True)
    weight = torch.randn(37, requires_grad=True) if weighted else None
    bias = torch.randn(37, requires_grad=True) if biased else None
    inputs = [mean, variance, weight, bias]
    found = operators.normalization_coefficients(torch.float32, mean, variance, weight, bias, 1e-3)
    exact = [None if one is None else one.double() for one in inputs]
    expected = normalization.affine(*exact, 1e-3)
    compare(found, expected, inputs, roundings=16)


def test_the_first_of_equal_values_gets_the_gradient() -> None:
    x = torch.ones(1, 16, 2, 2).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = operators.max_pool(x, None, Geometry((2, 2), (2, 2), (0, 0), (1, 1)))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient[0, 0].tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize(("scale", "expected"), [(0.0, -math.inf), (-2.0, -math.inf), (2.0, 1.0)])
def test_infinite_values(scale: float, expected: float) -> None:
    x = torch.tensor([[-math.inf, -math.inf], [0.0, 1.0]]).expand(1, 16, 2, 2)
    x = x.contiguous(memory_format=torch.channels_last)
    geometry = Geometry((2, 2), (2, 2), (0, 0), (1, 1))
    y = operators.max_pool(x, torch.full([16], scale), geometry)
    assert y.unique().tolist() == [expected]
    lowest = operators.max_pool(x.clamp(max=-math.inf), torch.full([16], scale or 1.0), geometry)
    assert lowest.unique().tolist() == [-math.inf]


def test_nan_is_not_hidden() -> None:
    x = torch.zeros(1, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    x[0, 1, 2, 2] = math.nan
    ones, rectify = torch.ones(3), Limits(low=0.0)
    affine = ClampedAffine(ones, ones, rectify)
    pooled = operators.max_pool(x, ones, Geometry((2, 2), (2, 2), (0, 0), (2, 2)))
    assert pooled.isnan().sum() == 1
    assert operators.apply_clamped_affine(x, affine).isnan().sum() == 1
