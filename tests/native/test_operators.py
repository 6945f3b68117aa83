"""The kernels beside the same computation of torch in float64: values and every gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch.nn import functional

from sepcnn.layers.normalization import affine
from sepcnn.layers.window import Padding, same_padding, window_size
from sepcnn.native import library, operators
from sepcnn.native.arguments import Kernels, Limits, View, Window

Pair = tuple[int, int]

pytestmark = pytest.mark.skipif(
    library.load("float32") is None, reason="no C++ compiler here that compiles the kernels"
)
VIEWS = {
    "as it is": None,
    "scaled": Limits(),
    "rectified": Limits(low=0.0),
    "clamped": Limits(low=0.0, high=1.5),
}
UNITS = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-9}
"""the largest relative error of one rounding"""
SHAPES = [(3, 7, 9, 5), (2, 12, 8, 16), (1, 9, 9, 33), (4, 5, 6, 1), (5, 6, 5, 48)]
"""images, height, width, channels: fewer and more than a vector, odd sizes, one channel"""


@pytest.fixture(params=[1, 3], ids=["one thread", "three threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def image(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    images, height, width, channels = shape
    x = torch.randn(images, channels, height, width).to(dtype)
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


def make_view(name: str, channels: int) -> View:
    limits = VIEWS[name]
    if limits is None:
        return View()
    scale, offset = torch.randn(channels), torch.randn(channels)
    return View(scale.requires_grad_(), offset.requires_grad_(), limits)


def detached(view: View) -> View:
    scale, offset, limits = view
    return (
        view if scale is None or offset is None else View(scale.detach(), offset.detach(), limits)
    )


def looked_at(x: torch.Tensor, view: View) -> torch.Tensor:
    """What an operation sees, in float64."""
    scale, offset, limits = view
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
    """Values, and the gradients of a random sum of them, within a few roundings.

    What is summed over pixels may cancel out: there roundings are those of the terms, of which
    the gradient of the first input, the image, tells the size.
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


def compare_kernels(
    found: tuple[torch.Tensor, ...],
    expected: tuple[torch.Tensor, ...],
    kernels: list[torch.Tensor],
    most: float,
) -> None:
    sums = [torch.randn_like(y) for y in expected]
    ours, theirs = (
        torch.autograd.grad(
            torch.stack([(y.double() * s).sum() for y, s in zip(ys, sums, strict=True)]).sum(),
            kernels,
        )
        for ys in (found, expected)
    )
    for one, other in zip(ours, theirs, strict=True):
        assert (one.double() - other.double()).norm() <= most * other.double().norm()


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
        ("dense", (1, 1), 32),
        ("dense", (2, 2), 21),
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
    channels = shape[3]
    x, view, kernels = (
        image(shape, dtype),
        make_view(seen, channels),
        make_kernels(kind, channels, filters),
    )
    size = (1, 1) if kind == "pointwise" else (3, 3)
    window = Window(size, strides, *window_size(x.shape[2:], size, strides, padding))
    expected = convolved(looked_at(x, view), kernels, strides, padding)
    sums = moments_of(expected)
    weights = [kernel for kernel in kernels if kernel is not None]
    if kind != "dense":
        inputs = [x, view.scale, view.offset, *weights]
        y, moments = operators.convolution(x, view, kernels, window)
        assert y.dtype == dtype
        assert y.is_contiguous(memory_format=torch.channels_last)
        compare((y,), (expected,), inputs, roundings=8)
        count = y.numel() // y.shape[1]  # so that neither is small beside the other
        moments = torch.stack(moments) * count
        compare((y, moments), (expected, sums * count), inputs, roundings=64)
    elif 9 * channels > operators.MOST_STEM_TAPS:
        return
    # Where the input is the images, nobody wants their gradient.
    y, moments = operators.convolution(x.detach(), detached(view), kernels, window)
    compare_kernels((y, torch.stack(moments)), (expected, sums), weights, UNITS[dtype] * 16)


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
    window = Window((3, 3), (1, 1), (0, 0), (2, 2))
    kernels = Kernels(torch.ones(3, 1, 3, 3), torch.ones(2, 3, 1, 1))
    y, moments = operators.convolution(x, view, kernels, window)
    assert y.isnan().all()
    assert torch.stack(moments).isnan().all()


def test_equal_numbers_in_every_run() -> None:
    torch.manual_seed(0)
    x = image((5, 13, 11, 24), torch.bfloat16)
    view, kernels = make_view("rectified", 24), make_kernels("separable", 24, 40)
    weights = [kernel for kernel in kernels if kernel is not None]
    window = Window((3, 3), (1, 1), (1, 1), (13, 11))

    def run() -> list[torch.Tensor]:
        y, moments = operators.convolution(x, view, kernels, window)
        loss = y.float().square().sum() + torch.stack(moments).sum()
        return [y, *moments, *torch.autograd.grad(loss, [x, *weights])]

    assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))
