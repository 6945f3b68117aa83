"""Interpolation compared with the formulas of TensorFlow and with Pillow."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from sepcnn.nn.layers import Resizing, UpSampling2D
from sepcnn.nn.layers.interpolation import Interpolation
from tests.reference import Array, assert_close, channels_first, channels_last, float64

SIZES = [(7, 9), (14, 18), (3, 9), (5, 4), (1, 1), (8, 20), (21, 3)]

KERNELS: dict[str, tuple[int, Callable[[float], float]]] = {
    "bilinear": (1, lambda d: 1 - d),
    "bicubic": (
        2,
        lambda d: 1.5 * d**3 - 2.5 * d**2 + 1 if d <= 1 else -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2,
    ),
    "lanczos3": (3, lambda d: float(np.sinc(d) * np.sinc(d / 3))),
    "lanczos5": (5, lambda d: float(np.sinc(d) * np.sinc(d / 5))),
}
"""radius and weight; tensorflow/core/kernels/image/sampling_kernels.h"""


def spans(source: int, target: int, interpolation: str, antialias: bool) -> Array:
    """Target × source: ``ComputeSpansCore`` of TensorFlow's scale_and_translate_op.cc.

    `_resize_images_common` and its callers in tensorflow/python/ops/image_ops_impl.py take it for
    lanczos always and for bilinear and bicubic with antialias; resize_bicubic_op.cc is the same
    without: "sampling locations outside the image have their weight set to 0, and the weights are
    renormalized so that their sum is 1.0".
    """
    radius, kernel = KERNELS[interpolation]
    inverse = source / target
    stretch = max(inverse, 1.0) if antialias else 1.0
    found = np.zeros((target, source))
    for new in range(target):
        sample = (new + 0.5) * inverse
        start = max(math.ceil(sample - radius * stretch - 0.5), 0)
        end = min(math.floor(sample + radius * stretch - 0.5), source - 1) + 1
        for old in range(start, end):
            found[new, old] = kernel(abs(old + 0.5 - sample) / stretch)
    return np.asarray(found / found.sum(1, keepdims=True))


@pytest.mark.parametrize("antialias", [False, True], ids=["plain", "antialias"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("interpolation", KERNELS)
def test_resizing_matches_tensorflow(
    interpolation: Interpolation, size: tuple[int, int], antialias: bool
) -> None:
    """Keras on torch has no lanczos, and a = −¾ in bicubic without antialias."""
    random = np.random.default_rng(0)
    x, direction = random.normal(size=(2, 7, 12, 3)), random.normal(size=(2, *size, 3))
    rows, columns = (
        spans(*sizes, interpolation, antialias) for sizes in zip((7, 12), size, strict=True)
    )
    ours = torch.tensor(x, requires_grad=True)
    layer = Resizing(
        height=size[0], width=size[1], interpolation=interpolation, antialias=antialias
    )
    with float64():
        module = layer.build((7, 12, 3))
    found = channels_last(module(channels_first(ours)))
    found.backward(torch.tensor(direction))
    assert_close(found, np.einsum("ih,jw,nhwc->nijc", rows, columns, x))
    assert ours.grad is not None
    assert_close(ours.grad, np.einsum("ih,jw,nijc->nhwc", rows, columns, direction))
    assert not module.state_dict()


@pytest.mark.parametrize("factors", [(2, 2), (3, 1), (4, 5)], ids=str)
@pytest.mark.parametrize("interpolation", ["lanczos3", "lanczos5", "bicubic"])
def test_upsampling_matches_tensorflow(
    interpolation: Interpolation, factors: tuple[int, int]
) -> None:
    x = torch.rand(6, 8, generator=torch.Generator().manual_seed(0)).double()
    with float64():
        module = UpSampling2D(size=factors, interpolation=interpolation).build((6, 8, 1))
    rows, columns = (
        spans(n, n * f, interpolation, False) for n, f in zip((6, 8), factors, strict=True)
    )
    assert_close(module(x[None, None])[0, 0], rows @ x.numpy() @ columns.T)


@pytest.mark.parametrize("size", [(12, 16), (5, 3), (1, 1), (4, 30)], ids=str)
@pytest.mark.parametrize(
    ("interpolation", "filtering"),
    [
        ("bilinear", Image.Resampling.BILINEAR),
        ("bicubic", Image.Resampling.BICUBIC),
        ("lanczos3", Image.Resampling.LANCZOS),
    ],
)
def test_antialiasing_matches_pillow(
    interpolation: Interpolation, filtering: Image.Resampling, size: tuple[int, int]
) -> None:
    x = torch.rand(12, 16, generator=torch.Generator().manual_seed(0))
    layer = Resizing(height=size[0], width=size[1], interpolation=interpolation, antialias=True)
    found = layer.build((12, 16, 1))(x[None, None])[0, 0]
    expected = np.array(Image.fromarray(x.numpy()).resize(size[::-1], filtering))
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("autocast", [False, True])
def test_arithmetic_is_float32_for_bfloat16(autocast: bool) -> None:
    """The input is exact in bfloat16, so only the output is rounded, once."""
    x = torch.rand(2, 3, 12, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    module = Resizing(height=5, width=20, interpolation="bicubic").build((12, 16, 3))
    expected = module(x.float())
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        assert torch.equal(module(x.float()), expected)
        assert torch.equal(module(x), expected.bfloat16())


def test_resizing_to_the_same_size_is_the_identity() -> None:
    x = torch.rand(2, 3, 7, 9)
    layer = Resizing(height=7, width=9, interpolation="lanczos5", antialias=True)
    assert torch.equal(layer.build((7, 9, 3))(x), x)
